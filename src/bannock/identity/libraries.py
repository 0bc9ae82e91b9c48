"""Which files a dynamic loader takes, or might take, for the libraries that a program needs. Pure but for the reader.

Follows ld.so(8) of glibc and the loader of musl (``ldso/dynlink.c``): a host that could put a library where the loader
looks and this module does not, would run code of its own under an unchanged measurement. So where it is not certain
which of several files a loader takes (that depends on the processor, and on how a distribution built it), all are in
the result; and what depends on the working directory is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from bannock.errors import InputError
from bannock.identity import elf
from bannock.identity.loader_cache import read_cache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.identity.elf import Elf
    from bannock.identity.loader_cache import CachedLibrary

__all__ = ["FileReader", "Libraries"]

_CACHE: Final = "/etc/ld.so.cache"
_MAX_CACHE_BYTES: Final = 16 << 20
#: Libraries that glibc's loader loads into every program; a "#" comments out the rest of a line (ld.so(8), FILES).
_PRELOAD: Final = "/etc/ld.so.preload"
_PRELOAD_SEPARATORS: Final = re.compile(r"[ \t\n:]+")
#: Default directories of the distributions' loaders: each knows some of them.
_GLIBC_DIRECTORIES: Final = (
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
    "/lib64", "/usr/lib64", "/lib", "/usr/lib",
)  # fmt: skip
#: Below each directory, variants for processors; those without glibc-hwcaps in front until glibc 2.36, and nested.
_HWCAPS: Final = tuple(f"glibc-hwcaps/{name}" for name in ("x86-64-v4", "x86-64-v3", "x86-64-v2"))
_OLD_HWCAPS: Final = ("tls", "haswell", "xeon_phi", "avx512_1", "x86_64", "atomics")
_MUSL_DIRECTORIES: Final = ("/lib", "/usr/local/lib", "/usr/lib")
_MUSL_LOADER: Final = re.compile(r"(.*)/lib/(ld-musl-[A-Za-z0-9_-]+)\.so\.1")
_MAX_LIST_BYTES: Final = 64 << 10
#: These are the loader itself (musl, ldso/dynlink.c, load_library).
_MUSL_OWN: Final = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\..*")
_ORIGIN: Final = re.compile(r"\$\{ORIGIN\}|\$ORIGIN(?![A-Za-z0-9_])")
#: More than any program has; bounds for files that name each other without end.
_MAX_LIBRARIES: Final = 2000
_MAX_SEARCHED: Final = 512
_MAX_LOOKUPS: Final = 100_000


class FileReader(Protocol):
    """How files are read (:class:`bannock.identity.reader.RootedReader`)."""

    def resolve(self, path: str) -> str:
        """Return the canonical path; raise InputError if there is none."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Read a part of a file."""

    def digest(self, path: str) -> tuple[bytes, int]:
        """Return SHA-256 and size of a file."""


class _Loaded(NamedTuple):
    """A file that has been loaded, and where the loader looks for what it needs.

    Attributes:
        name: the path that it was found by.
        needed: names of libraries.
        first: directories that are searched first, in order.
        inherited: those of them that hold for the libraries that it needs, too.
    """

    name: str
    needed: tuple[str, ...]
    first: tuple[str, ...]
    inherited: tuple[str, ...]


class Libraries:
    """Collects the loader and the libraries of programs.

    Args:
        reader: reads the enclave's files.
        found: gets what is found, as name that the loader looks it up by → canonical path.
    """

    def __init__(self, reader: FileReader, found: dict[str, str]) -> None:
        self._reader = reader
        self._found = found
        self._kind: bytes | None = None
        self._musl = False
        self._defaults: Sequence[str] = _GLIBC_DIRECTORIES
        self._cache: dict[str, list[CachedLibrary]] = {}
        self._variants: dict[str, tuple[str, ...]] = {}
        self._lookups = 0

    def add_program(self, path: str) -> str | None:
        """Add what the program at a canonical path is loaded with; return the loader's canonical path, if it has one.

        Raises:
            InputError: a library is missing, or a file is malformed.
        """
        program = self._parse(path)
        if program.interpreter is None:
            return None
        if not program.interpreter.startswith("/"):
            raise InputError(f"{path}: its loader is named by a relative path: {program.interpreter[:80]!r}")
        self._kind = elf.kind(self._reader.read(path, 0, elf.KIND_BYTES))
        loader = self._note(program.interpreter)
        self._prepare(program.interpreter)
        # A name that is loaded already is not looked up again.
        names = {program.interpreter.rpartition("/")[2], self._parse(loader).soname or ""}
        main = self._loaded(path, program, ())
        waiting = deque([main._replace(needed=(*self._preloaded(), *main.needed))])
        while waiting:
            user = waiting.popleft()
            for name in user.needed:
                if name in names or (self._musl and _MUSL_OWN.fullmatch(name)):
                    continue
                names.add(name)
                for library in self._candidates(user, name):
                    parsed = self._parse(self._note(library))
                    names |= {parsed.soname} if parsed.soname and not self._musl else set()
                    waiting.append(self._loaded(library, parsed, user.inherited))
            if len(names) > _MAX_LIBRARIES:
                raise InputError(f"{path} needs more than {_MAX_LIBRARIES} libraries")
        return loader

    def _prepare(self, interpreter: str) -> None:
        """Learn where the loader looks by default."""
        musl = _MUSL_LOADER.fullmatch(interpreter)
        self._musl = musl is not None
        if musl is not None:
            configuration = f"{musl[1]}/etc/{musl[2]}.path"
            self._defaults = _MUSL_DIRECTORIES
            if self._exists(configuration):
                self._note(configuration)
                self._defaults = self._musl_path(configuration)
        elif self._exists(_CACHE):
            self._note(_CACHE)
            self._cache = read_cache(_CACHE, self._reader.read(_CACHE, 0, _MAX_CACHE_BYTES))

    def _musl_path(self, configuration: str) -> tuple[str, ...]:
        return tuple(part for part in re.split(r"[:\n]", self._list(configuration)) if part)

    def _preloaded(self) -> tuple[str, ...]:
        """Return what glibc's loader loads before all else, where the machine says so."""
        if self._musl or not self._exists(_PRELOAD):
            return ()
        self._note(_PRELOAD)
        names = _PRELOAD_SEPARATORS.split(re.sub(r"#[^\n]*", " ", self._list(_PRELOAD)))
        return tuple(_expand(_PRELOAD, name) for name in names if name)

    def _list(self, path: str) -> str:
        data = self._reader.read(path, 0, _MAX_LIST_BYTES + 1)
        if len(data) > _MAX_LIST_BYTES:
            raise InputError(f"{path} has more than {_MAX_LIST_BYTES} bytes")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8") from error

    def _loaded(self, name: str, parsed: Elf, inherited: tuple[str, ...]) -> _Loaded:
        """Apply the rules for RPATH and RUNPATH: glibc's RUNPATH replaces what is inherited, and is not inherited."""
        own = _directories(name, parsed.rpath if parsed.runpath is None else parsed.runpath)
        glibc_runpath = parsed.runpath is not None and not self._musl
        first = own if glibc_runpath else (*own, *inherited)
        if len(first) > _MAX_SEARCHED:
            raise InputError(f"{name}: libraries are searched in more than {_MAX_SEARCHED} directories")
        needed = tuple(_expand(name, library) if "/" in library else library for library in parsed.needed)
        return _Loaded(name, needed, first, inherited if glibc_runpath else first)

    def _candidates(self, user: _Loaded, name: str) -> list[str]:
        """Return the paths of every file that the loader might take for a library; at least one."""
        if "/" in name:
            self._require_absolute(user, name)
            return [name]
        found: list[str] = []
        for directory in user.first:
            self._require_absolute(user, directory)
            if self._look(directory, name, found):
                return found
        cached = [entry for entry in self._cache.get(name, ()) if self._fits(entry.path)]
        found += [entry.path for entry in cached]
        if any(entry.any_processor for entry in cached):
            return found
        ends = [self._look(directory, name, found) for directory in self._defaults]
        if not any(ends):
            raise InputError(f"{user.name} needs the library {name[:200]}, which is not to be found")
        return found

    def _look(self, directory: str, name: str, found: list[str]) -> bool:
        """Add what is in a directory and its variants; whether the search ends there on every processor."""
        if not self._musl:
            variants = (f"{directory}/{variant}/{name}" for variant in self._variants_in(directory))
            found += [path for path in variants if self._fits(path)]
        path = f"{directory}/{name}"
        if not self._fits(path):
            return False
        found.append(path)
        return True

    def _variants_in(self, directory: str) -> tuple[str, ...]:
        if directory not in self._variants:
            old = self._nested(directory, _OLD_HWCAPS)
            new = _HWCAPS if self._exists(f"{directory}/glibc-hwcaps") else ()
            self._variants[directory] = (*new, *old)
        return self._variants[directory]

    def _nested(self, directory: str, names: Sequence[str]) -> list[str]:
        """Return the subdirectories that exist of the kind ``tls/haswell``: any choice of names, in their order."""
        found = []
        for index, name in enumerate(names):
            if self._exists(f"{directory}/{name}"):
                found += [f"{name}/{below}" for below in self._nested(f"{directory}/{name}", names[index + 1 :])]
                found.append(name)
        return found

    def _fits(self, path: str) -> bool:
        """Whether a loader would take a file: it passes over those for other machines."""
        if not self._exists(path):
            return False
        if self._musl:
            return True
        try:
            found = elf.kind(self._reader.read(path, 0, elf.KIND_BYTES))
        except InputError:
            return False  # a directory
        return found is None or found == self._kind

    def _exists(self, path: str) -> bool:
        self._lookups += 1
        if self._lookups > _MAX_LOOKUPS:
            raise InputError(f"libraries are searched in more than {_MAX_LOOKUPS} places")
        return self._reader.exists(path)

    def _note(self, name: str) -> str:
        canonical = self._found[name] = self._reader.resolve(name)
        return canonical

    def _parse(self, path: str) -> Elf:
        try:
            return elf.parse(lambda offset, size: self._reader.read(path, offset, size))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def _require_absolute(self, user: _Loaded, path: str) -> None:
        if not path.startswith("/"):
            raise InputError(
                f"{user.name} looks for libraries in {path[:80]!r}, which depends on the working directory",
                hint="give it an absolute RUNPATH, or one with $ORIGIN (patchelf --set-rpath)",
            )


def _directories(name: str, text: str | None) -> tuple[str, ...]:
    """Split an RPATH; an empty part of it, but not an empty text, is the working directory."""
    return tuple(_expand(name, part) or "." for part in text.split(":")) if text else ()


def _expand(name: str, text: str) -> str:
    """Replace $ORIGIN by the directory of the file that says it, as it was found."""
    expanded = _ORIGIN.sub(lambda _: posixpath.dirname(name), text)
    if "$" in expanded:
        raise InputError(f"{name}: {text[:80]!r} has something other than $ORIGIN in it, which is not supported")
    return expanded
