"""What the runtime is made of: all that it loads is in its hash, wherever it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from bannock.identity.runtime_build import PACKAGES, runtime_build, runtime_files

#: Everything that a run may import, with volumes, images and evidence of the machine's own.
_LOADS: Final = """
import json, sys, pkgutil, importlib
import bannock.runtime, bannock.cli.run, bannock.shield.fuse, bannock.shield.memory
for module in pkgutil.iter_modules(bannock.runtime.__path__, "bannock.runtime."):
    importlib.import_module(module.name)
print(json.dumps({name: getattr(module, "__file__", None) for name, module in sys.modules.items()}))
"""


def test_everything_that_a_runtime_loads_is_measured() -> None:
    """Modules in Python and in machine code: those of this package, of others, and of Python itself."""
    done = subprocess.run([sys.executable, "-I", "-c", _LOADS], capture_output=True, text=True, check=True)
    loaded = {Path(path).resolve() for path in json.loads(done.stdout).values() if path}
    measured = {file.path.resolve() for file in runtime_files()}
    # Whoever installs may add to the start of the interpreter, as editable installations and setuptools do.
    added = ("__editable__", "sitecustomize", "_virtualenv", "_distutils_hack")
    assert not [
        path
        for path in loaded - measured
        if not f"{path.parent.name}/{path.name}".startswith(added) and not path.name.startswith(added)
    ]
    assert {path.name for path in measured} >= {"libc.so.6", "os.py", "_rust.abi3.so"}


def test_names_say_nothing_of_places() -> None:
    """Two installations of the same files are the same."""
    names = [file.name for file in runtime_files()]
    assert {name.split("/")[0] for name in names} == {"bannock", "interpreter", "packages", "python"}
    assert {name.split("/")[1].split(".")[0] for name in names if name.startswith("packages/")} == {*PACKAGES}
    assert not [name for name in names if "__pycache__" in name or name.startswith("/")]


def test_build_is_read_once() -> None:
    """Code that is loaded does not change."""
    assert runtime_build() is runtime_build()
    assert len(runtime_build()) == 32
