"""Which files decide how a program starts: itself, its loader, its libraries; for a script its interpreter's too.

Every file that the loader might choose is in the set, also where only one is chosen in the end. With glibc, the
loader's cache is in the set, because it decides which libraries are found. What a running program opens or starts by
itself (dlopen(3), execve(2)) is not.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import InputError
from bannock.identity import elf

if TYPE_CHECKING:
    from bannock.identity.elf import Elf

__all__ = ["FileReader", "measured_files"]

_CACHE: Final = "/etc/ld.so.cache"
_CACHE_MAGIC: Final = b"glibc-ld.so.cache1.1"
_CACHE_HEADER: Final = struct.Struct("<20sII20s")
_CACHE_ENTRY: Final = struct.Struct("<iIIIQ")
_MAX_CACHE_BYTES: Final = 16 << 20
_DIRECTORIES: Final = (
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
    "/lib64", "/usr/lib64", "/lib", "/usr/lib",
)  # fmt: skip
_MUSL_DIRECTORIES: Final = ("/lib", "/usr/local/lib", "/usr/lib")
#: More than any program has; a bound for files that name each other without end.
_MAX_FILES: Final = 2000
_MAX_INTERPRETERS: Final = 4
_FIRST_LINE: Final = 256


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


def measured_files(program: str, reader: FileReader) -> tuple[str, ...]:
    """Return the canonical paths of the files that decide how a program starts, sorted.

    Raises:
        InputError: one is missing, is no program, or is malformed.
    """
    found: set[str] = set()
    binary = reader.resolve(program)
    for _ in range(_MAX_INTERPRETERS):
        found.add(binary)
        first = reader.read(binary, 0, _FIRST_LINE)
        if not first.startswith(b"#!"):
            _Closure(reader, found).add_program(binary)
            return tuple(sorted(found))
        words = first[2:].split(b"\n", 1)[0].split()
        if not words:
            raise InputError(f"{binary}: the first line names no interpreter")
        binary = reader.resolve(words[0].decode(errors="surrogateescape"))
    raise InputError(f"{program}: its interpreters are scripts themselves, more than {_MAX_INTERPRETERS} deep")


class _Closure:
    """Collects a program's loader and libraries."""

    def __init__(self, reader: FileReader, found: set[str]) -> None:
        self._reader = reader
        self._found = found
        self._musl = False
        self._cache: dict[str, list[str]] = {}

    def add_program(self, path: str) -> None:
        program = self._parse(path)
        if program.interpreter is None:
            return
        loader = self._reader.resolve(program.interpreter)
        self._found.add(loader)
        self._musl = "ld-musl" in program.interpreter
        if not self._musl and self._reader.exists(_CACHE):
            cache = self._reader.resolve(_CACHE)
            self._found.add(cache)
            self._cache = _read_cache(self._reader.read(cache, 0, _MAX_CACHE_BYTES))
        waiting = [(path, program, program.rpath)]
        seen = {path}
        while waiting:
            user, parsed, inherited = waiting.pop()
            for name in parsed.needed:
                for library in self._candidates(user, parsed, inherited, name):
                    self._found.add(library)
                    if library not in seen:
                        seen.add(library)
                        below = self._parse(library)
                        waiting.append((library, below, (*below.rpath, *inherited)))
            if len(seen) > _MAX_FILES:
                raise InputError(f"{path} needs more than {_MAX_FILES} libraries")

    def _parse(self, path: str) -> Elf:
        try:
            return elf.parse(lambda offset, size: self._reader.read(path, offset, size))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def _candidates(self, user: str, parsed: Elf, inherited: tuple[str, ...], name: str) -> list[str]:
        """Return every file that the loader might take for a library, in the order of ld.so(8)."""
        if "/" in name:
            return [self._reader.resolve(name)]
        origin = user.rsplit("/", 1)[0]
        first = parsed.runpath or (*parsed.rpath, *inherited)
        directories = [_expand(directory, origin) for directory in first]
        if found := self._in(directories, name):
            return found
        if found := [self._reader.resolve(path) for path in self._cache.get(name, []) if self._reader.exists(path)]:
            return sorted(set(found))
        if found := self._in(_MUSL_DIRECTORIES if self._musl else _DIRECTORIES, name):
            return found
        if self._musl and name.startswith("libc."):
            return []  # the loader itself
        raise InputError(f"{user} needs the library {name}, which is not to be found")

    def _in(self, directories: list[str] | tuple[str, ...], name: str) -> list[str]:
        for directory in directories:
            if self._reader.exists(f"{directory}/{name}"):
                return [self._reader.resolve(f"{directory}/{name}")]
        return []


def _expand(directory: str, origin: str) -> str:
    return directory.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)


def _read_cache(data: bytes) -> dict[str, list[str]]:
    """Return name → paths of the cache that ldconfig(8) writes (glibc: elf/dl-cache.h, the new format)."""
    start = data.find(_CACHE_MAGIC)
    if start < 0:
        raise InputError(f"{_CACHE} is of an unknown format")
    found: dict[str, list[str]] = {}
    try:
        _, count, _, _ = _CACHE_HEADER.unpack_from(data, start)
        for index in range(count):
            _, key, value, _, _ = _CACHE_ENTRY.unpack_from(
                data, start + _CACHE_HEADER.size + index * _CACHE_ENTRY.size
            )
            found.setdefault(_string(data, start + key), []).append(_string(data, start + value))
    except (struct.error, ValueError) as error:
        raise InputError(f"{_CACHE} is malformed") from error
    return found


def _string(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
