"""The runtime as one layer of an image: interpreter, loader, libraries and modules below ``/opt/bannock``.

It needs nothing of the image that it is put on, neither a C library nor a shell, and it has no more than the runtime
imports. From the same installation it is the same, bit for bit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import Bug, InputError
from bannock.files import make_durable_directory
from bannock.identity.layout import BUILD_FILE, LAYER_ROOT
from bannock.identity.runtime_build import PACKAGES, runtime_build
from bannock.images import loaded
from bannock.images.compiled import compiled
from bannock.images.elf_parts import LIBRARIES, loader_part, parse, program_part, strip_runpath, stripped
from bannock.images.imports import closure, modules_of
from bannock.images.tar_layer import BuiltLayer, Part, write_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["build_layer", "cached_layer"]

_ROOTS: Final = ("bannock.cli.launch", "bannock.cli.bannock", "bannock.cli.run")
#: What is imported by the interpreter itself, when it needs it.
_ON_DEMAND: Final = (
    "_strptime", "encodings.ascii", "encodings.cp437", "encodings.idna", "encodings.latin_1", "encodings.utf_16",
    "encodings.utf_16_le", "encodings.utf_8_sig", "linecache", "stringprep", "traceback", "tracemalloc", "unicodedata",
)  # fmt: skip
#: The interpreter looks for this file to know where its library is, and for a directory of this name beside it.
_LANDMARK: Final = "os"
_DYNLOAD: Final = "lib-dynload"
_COMMANDS: Final = {"launch": "bannock.cli.launch", "bannock": "bannock.cli.bannock"}
_COMMAND: Final = """\
#!{root}/bin/python3 -IS
from {module} import entry

entry()
"""


class _Loaded(NamedTuple):
    modules: Mapping[str, Path]
    libraries: frozenset[Path]


def build_layer(target: Path) -> BuiltLayer:
    """Write the layer of this installation to a file.

    Raises:
        InputError: the interpreter is none that can be moved.
        EnvironmentFault: a tool is missing, or the file system refuses.
    """
    return write_layer(target, _parts())


def cached_layer(directory: Path | None = None) -> BuiltLayer:
    """Return the layer of this installation, made if it has not been made yet.

    Args:
        directory: where layers are kept; by default one of the user's.

    Raises:
        InputError, EnvironmentFault: see :func:`build_layer`.
    """
    kept = directory or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "bannock" / "layers"
    make_durable_directory(kept)
    path = kept / f"{runtime_build().hex()}.tar.gz"
    notes = path.with_suffix(".json")
    try:
        told = json.loads(notes.read_bytes())
        found = BuiltLayer(path=path, **told)
        if path.stat().st_size == found.size:
            return found
    except (OSError, ValueError, TypeError):
        pass
    made = build_layer(path)
    told = {name: getattr(made, name) for name in ("digest", "size", "diff_id", "unpacked")}
    notes.write_text(json.dumps(told), encoding="utf-8")
    return made


def _parts() -> Iterator[Part]:
    found = _load([*closure(_ROOTS), *(name for package in PACKAGES for name in modules_of(package)), *_ON_DEMAND])
    yield _part(BUILD_FILE, f"{runtime_build().hex()}\n".encode().strip())
    for name, module in _COMMANDS.items():
        yield _part(f"{LAYER_ROOT}/bin/{name}", _COMMAND.format(root=LAYER_ROOT, module=module).encode(), 0o755)
    yield from _interpreter(found)
    library = f"{LIBRARIES}/{_version()}"
    for name, path in found.modules.items():
        yield _module(name, path, library)


def _interpreter(found: _Loaded) -> Iterator[Part]:
    program = Path(sys.executable).resolve()
    loader = parse(program).interpreter
    if loader is None:
        raise InputError(f"{program} is a static program, of which no layer can be made")
    place = f"{LIBRARIES}/{Path(loader).name}"
    yield _part(place, loader_part(Path(loader)), 0o755)
    yield _part(f"{LAYER_ROOT}/bin/python3", stripped(program_part(program, place)), 0o755)
    modules = set(found.modules.values())
    for library in sorted(found.libraries - modules - {program, Path(loader).resolve()}):
        yield _part(f"{LIBRARIES}/{parse(library).soname or library.name}", _library(library), 0o755)


def _library(path: Path) -> bytes:
    """Return a library, or a module that is one, as it is in the layer."""
    return stripped(path.read_bytes() if parse(path).runpath is None else strip_runpath(path))


def _module(name: str, path: Path, library: str) -> Part:
    """Return a module at the place that its name says, compiled if it has a source."""
    place = f"{library}/{name.replace('.', '/')}"
    if path.name == "__init__.py":
        place += "/__init__"
    if path.suffix == ".py":
        return _part(f"{place}.pyc", compiled(path.read_bytes(), f"{place}.py"))
    if "." not in name and path.parent.name == _DYNLOAD:
        return _part(f"{library}/{_DYNLOAD}/{path.name}", _library(path), 0o755)
    return _part(f"{Path(place).parent}/{path.name}", _library(path), 0o755)


def _load(names: Iterable[str]) -> _Loaded:
    """Find what is loaded with modules, in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-I", loaded.__file__],
        input="\n".join(names), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode != 0:
        raise Bug(f"cannot find what the runtime imports: {done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    origins = {name: Path(origin) for name, origin in told["modules"].items() if origin.startswith("/")}
    origins[_LANDMARK] = Path(sysconfig.get_path("stdlib")) / f"{_LANDMARK}.py"
    mapped = frozenset(Path(path) for path in told["mapped"])
    return _Loaded(origins, mapped)


def _part(path: str, content: bytes, mode: int = 0o644) -> Part:
    return Part(path.removeprefix("/"), content, mode)


def _version() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"
