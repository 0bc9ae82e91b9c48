"""What the runtime itself is made of: this package, the interpreter with its libraries, and the modules that it loads.

Two installations of the same files are one build, wherever they are; so is the layer of an image that was made from
one of them, which has a part of the files and says which build it is. What the interpreter caches of modules
(``__pycache__``) is not looked at: it is made anew on every machine, and who may write it may do anything else there.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import BannockError, Bug
from bannock.files import read_bounded
from bannock.identity.layout import BUILD_FILE, LAYER_ROOT
from bannock.identity.measured import start_of
from bannock.identity.reader import RootedReader

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PACKAGES", "PASSED_OVER", "runtime_build", "runtime_files"]

#: What a runtime imports that neither this package nor Python brings along; a test holds that this is all.
PACKAGES: Final = ("OpenSSL", "_cffi_backend", "cryptography", "typing_extensions")
_CODE: Final = (".py", ".so")
#: Parts of Python's library that are packages of their own, tests, or made on each machine.
PASSED_OVER: Final = frozenset(
    {"__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "tests", "turtledemo"}
)
_BUILD_DIRECTORY: Final = "config-"
_BUILD_FILE_BYTES: Final = 65


class RuntimeFile(NamedTuple):
    """A file, and its name in every installation."""

    name: str
    path: Path


@functools.cache
def runtime_build() -> bytes:
    """Return SHA-256 over all that the runtime is made of; read once, because code that is loaded does not change.

    Raises:
        Bug: the layer of an image does not say what it was made from.
    """
    if sys.prefix == LAYER_ROOT:
        return _told_build(Path(BUILD_FILE))
    lines = sorted(f"{_digest(file.path)}  {file.name}\n".encode() for file in runtime_files())
    return hashlib.sha256(b"".join(lines)).digest()


def _told_build(path: Path) -> bytes:
    try:
        build = bytes.fromhex(read_bounded(path, _BUILD_FILE_BYTES).decode("ascii"))
    except (ValueError, BannockError) as error:
        raise Bug(f"{path} does not say which build of the runtime this is") from error
    return build


def runtime_files() -> Iterator[RuntimeFile]:
    """Yield every file that the runtime is made of."""
    package = Path(__file__).parent.parent
    yield from _below(package, package.name)
    for path in _interpreter():
        yield RuntimeFile(f"interpreter/{path.name}", path)
    for directory in {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}:
        yield from _below(directory, "python")
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise Bug(f"the package {name} is not where packages are")
        origin = Path(found.origin)
        if found.submodule_search_locations is None:
            yield RuntimeFile(f"packages/{origin.name}", origin)
        else:
            yield from _below(origin.parent, f"packages/{name}")


def _interpreter() -> list[Path]:
    """Return the interpreter, its loader and its libraries; the machine's own lists of libraries are none of it."""
    start = start_of(os.path.realpath(sys.executable), RootedReader(Path("/")))
    return [Path(path) for path in start.files if not path.startswith("/etc/")]


def _below(directory: Path, name: str) -> Iterator[RuntimeFile]:
    pending = [(directory, name)]
    while pending:
        place, called = pending.pop()
        for entry in os.scandir(place):
            if entry.is_dir():
                if entry.name not in PASSED_OVER and not entry.name.startswith(_BUILD_DIRECTORY):
                    pending.append((Path(entry.path), f"{called}/{entry.name}"))
            elif entry.name.endswith(_CODE) and entry.is_file():
                yield RuntimeFile(f"{called}/{entry.name}", Path(entry.path))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
