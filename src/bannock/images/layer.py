"""The runtime as one layer of an image: interpreter, loader, libraries and modules below ``/opt/bannock``.

It needs nothing of the image that it is put on, neither a C library nor a shell, and it has no more than the runtime
imports. From the same installation it is the same, bit for bit.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import InputError
from bannock.files import make_durable_directory
from bannock.identity.layout import BUILD_FILE, LAYER_ROOT, PREPARED
from bannock.identity.runtime_build import PACKAGES, runtime_build
from bannock.images import loaded
from bannock.images.clean_interpreter import ask
from bannock.images.compiled import compiled
from bannock.images.elf_parts import LIBRARIES, loader_part, parse, program_part, strip_runpath, stripped
from bannock.images.imports import closure, modules_of
from bannock.images.own_layer import is_in_image, list_of_layers, own_parts
from bannock.images.prepared import prepared
from bannock.images.tar_layer import BuiltLayer, Part, write_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["build_layer", "cached_layer"]

_ROOTS: Final = (
    "bannock.cli.launch",
    "bannock.cli.bannock",
    "bannock.cli.run",
    "bannock.execution.carrier",
    "bannock.execution.dapps.host",
)
#: What starts programs, and is to be quick.
_STARTED: Final = ("bannock.cli.launch",)
#: What is imported by the interpreter itself, when it needs it.
_ON_DEMAND: Final = (
    "_strptime", "encodings.ascii", "encodings.cp437", "encodings.idna", "encodings.latin_1", "encodings.utf_16",
    "encodings.utf_16_be", "encodings.utf_16_le", "encodings.utf_8_sig", "linecache", "stringprep", "traceback",
    "tracemalloc", "unicodedata",
)  # fmt: skip
#: The interpreter looks for this file to know where its library is, and for a directory of this name beside it.
_LANDMARK: Final = "os"
_DYNLOAD: Final = "lib-dynload"
_COMMANDS: Final = {
    "launch": "bannock.cli.launch",
    "bannock": "bannock.cli.bannock",
    "carry": "bannock.execution.carrier",
    "dapp": "bannock.execution.dapps.host",
}
_COMMAND: Final = """\
#!{root}/bin/python3 -IS
from {module} import entry

entry()
"""


class _Loaded(NamedTuple):
    modules: Mapping[str, Path]
    libraries: frozenset[Path]


class _Source(NamedTuple):
    """What becomes a file of the layer."""

    read: Callable[[], bytes]
    mode: int = 0o644


def _script(module: str) -> bytes:
    return _COMMAND.format(root=LAYER_ROOT, module=module).encode()


def _compiled(path: Path, place: str) -> bytes:
    return compiled(path.read_bytes(), place)


def _library(path: Path) -> bytes:
    """Return a library, or a module that is one, as it is in the layer."""
    runpath = parse(path).runpath
    # One that is relative to the library goes with it; any other would hide that of the interpreter.
    return stripped(path.read_bytes() if runpath is None or "$ORIGIN" in runpath else strip_runpath(path))


def build_layer(target: Path, *, whole: bool = False) -> BuiltLayer:
    """Write the layer of this installation to a file.

    Args:
        target: the file.
        whole: whether all commands are in it, and not only what starts programs.

    Raises:
        InputError: the interpreter is none that can be moved.
        EnvironmentFault: a tool is missing, or the file system refuses.
    """
    return write_layer(target, _parts(whole=whole))


def cached_layer(directory: Path | None = None, *, whole: bool = False) -> BuiltLayer:
    """Return the layer of this installation, made if it has not been made yet.

    Args:
        directory: where layers are kept; by default one of the user's.
        whole: see :func:`build_layer`.

    Raises:
        InputError, EnvironmentFault: see :func:`build_layer`.
    """
    kept = directory or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "bannock" / "layers"
    make_durable_directory(kept)
    path = kept / f"{runtime_build().hex()}{'-whole' if whole else ''}.tar.gz"
    notes = path.with_suffix(".json")
    try:
        told = json.loads(notes.read_bytes())
        found = BuiltLayer(path=path, **told)
        if path.stat().st_size == found.size:
            return found
    except (OSError, ValueError, TypeError):
        pass
    made = build_layer(path, whole=whole)
    told = {name: getattr(made, name) for name in ("digest", "size", "diff_id", "unpacked")}
    notes.write_text(json.dumps(told), encoding="utf-8")
    return made


def _commands() -> Mapping[str, str]:
    # Imported here: it takes the modules of every package to know them, and most layers need none of them.
    from bannock.images import whole  # noqa: PLC0415

    return whole.COMMANDS


def _parts(*, whole: bool) -> Iterator[Part]:
    """Yield the files of the layer; with all that any command needs, if it is the whole one."""
    if is_in_image():
        yield from own_parts(Path("/"), whole=whole)
        return
    sources = _sources(_commands() if whole else {})
    yield from (Part(name, sources[name].read(), sources[name].mode) for name in sorted(sources))
    if whole:
        yield list_of_layers(_sources({}), sources)


def _sources(more: Mapping[str, str]) -> dict[str, _Source]:
    """Return what becomes files of the layer, by their paths in it, with these commands besides the runtime's."""
    roots: tuple[str, ...] = _ROOTS
    if more:
        from bannock.images import whole  # noqa: PLC0415 # see _commands

        roots = (*_ROOTS, *whole.ROOTS)
    found = _load([*closure(roots), *(name for package in PACKAGES for name in modules_of(package)), *_ON_DEMAND])
    library = f"{LIBRARIES}/{_version()}"
    sources = {
        BUILD_FILE: _Source(lambda: runtime_build().hex().encode()),
        PREPARED: _Source(lambda: prepared(closure(_STARTED))),
    }
    for name, module in {**_COMMANDS, **more}.items():
        sources[f"{LAYER_ROOT}/bin/{name}"] = _Source(partial(_script, module), 0o755)
    sources |= _interpreter(found)
    sources |= dict(_module(name, path, library) for name, path in found.modules.items())
    if more:
        names = {Path(name).name for name in sources}
        sources |= dict(_file(f"{library}/{name}", path) for name, path in whole.standard_library(names))
        sources |= dict(_file(f"{library}/{name}", path) for name, path in whole.packages(found.modules))
        sources |= {f"{library}/{name}": _Source(path.read_bytes) for name, path in whole.own_data()}
    return {name.removeprefix("/"): source for name, source in sources.items()}


def _interpreter(found: _Loaded) -> dict[str, _Source]:
    program = Path(sys.executable).resolve()
    loader = parse(program).interpreter
    if loader is None:
        raise InputError(f"{program} is a static program, of which no layer can be made")
    place = f"{LIBRARIES}/{Path(loader).name}"
    parts = {
        place: _Source(partial(loader_part, Path(loader)), 0o755),
        f"{LAYER_ROOT}/bin/python3": _Source(lambda: stripped(program_part(program, place)), 0o755),
    }
    modules = set(found.modules.values())
    for library in sorted(found.libraries - modules - {program, Path(loader).resolve()}):
        parts[f"{LIBRARIES}/{parse(library).soname or library.name}"] = _Source(partial(_library, library), 0o755)
    return parts


def _module(name: str, path: Path, library: str) -> tuple[str, _Source]:
    """Return a module and the place that its name says."""
    place = f"{library}/{name.replace('.', '/')}"
    if path.suffix == ".py":
        return _file(f"{place}/__init__.py" if path.name == "__init__.py" else f"{place}.py", path)
    if "." not in name and path.parent.name == _DYNLOAD:
        return _file(f"{library}/{_DYNLOAD}/{path.name}", path)
    return _file(f"{Path(place).parent}/{path.name}", path)


def _file(place: str, path: Path) -> tuple[str, _Source]:
    """Return a file of Python's or of a package's, and its place; a module is compiled if it has a source."""
    if path.suffix == ".py":
        return f"{place}c", _Source(partial(_compiled, path, place))
    if ".so" in path.suffixes:
        return place, _Source(partial(_library, path), 0o755)
    return place, _Source(path.read_bytes)


def _load(names: Iterable[str]) -> _Loaded:
    """Find what is loaded with modules, in an interpreter of its own."""
    told = ask(loaded, names, "the runtime imports")
    origins = {name: Path(origin) for name, origin in told["modules"].items() if origin.startswith("/")}
    origins[_LANDMARK] = Path(sysconfig.get_path("stdlib")) / f"{_LANDMARK}.py"
    mapped = frozenset(Path(path) for path in told["mapped"])
    return _Loaded(origins, mapped)


def _version() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"
