"""ELF files made for tests, and a reader of files that are in memory."""

from __future__ import annotations

import hashlib
import posixpath
import struct
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

GLIBC: Final = "/lib64/ld-linux-x86-64.so.2"
MUSL: Final = "/lib/ld-musl-x86_64.so.1"
_X86_64: Final = 62
_HEADERS: Final = 3
_DATA_AT: Final = 64 + _HEADERS * 56
_BASE: Final = 0x400000


def elf(
    *needed: str,
    interpreter: str | None = None,
    soname: str | None = None,
    rpath: str | None = None,
    runpath: str | None = None,
    machine: int = _X86_64,
    more: Mapping[int, str] | None = None,
) -> bytes:
    """Make a file that is loaded with what is given, and has no code."""
    strings = b"\0"
    entries: list[tuple[int, int]] = []
    given = [*((1, name) for name in needed), (14, soname), (15, rpath), (29, runpath), *(more or {}).items()]
    for tag, text in given:
        if text is not None:
            entries.append((tag, len(strings)))
            strings += text.encode() + b"\0"
    interpreter_bytes = b"" if interpreter is None else interpreter.encode() + b"\0"
    strings_at = _DATA_AT + len(interpreter_bytes)
    entries += [(5, _BASE + strings_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    dynamic_at = strings_at + len(strings)
    end = dynamic_at + len(dynamic)

    def segment(kind: int, offset: int, size: int) -> bytes:
        return struct.pack("<IIQQQQQQ", kind, 4, offset, _BASE + offset, 0, size, size, 8)

    interp = segment(3, _DATA_AT, len(interpreter_bytes)) if interpreter is not None else segment(4, _DATA_AT, 0)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, machine, 1, 0, 64, 0, 0, 64, 56, _HEADERS, 0, 0, 0
    )
    table = segment(1, 0, end) + interp + segment(2, dynamic_at, len(dynamic))
    return header + table + interpreter_bytes + strings + dynamic


def cache(entries: list[tuple[str, str, int]]) -> bytes:
    """Make a cache of glibc's loader from names, paths and processor capabilities."""
    strings_at = 48 + 24 * len(entries)
    strings, table = b"", b""
    for name, path, capabilities in entries:
        key = strings_at + len(strings)
        value = key + len(name.encode()) + 1
        strings += name.encode() + b"\0" + path.encode() + b"\0"
        table += struct.pack("<iIIIQ", 0x303, key, value, 0, capabilities)
    return struct.pack("<20sII20s", b"glibc-ld.so.cache1.1", len(entries), len(strings), b"") + table + strings


class MemoryReader:
    """Reads files that a test gives (:class:`bannock.identity.libraries.FileReader`); a text is a link."""

    def __init__(self, files: Mapping[str, bytes | str]) -> None:
        self.files = dict(files)

    def resolve(self, path: str) -> str:
        """Follow links that are whole paths."""
        clean = posixpath.normpath(path)
        found = self.files.get(clean)
        if isinstance(found, str):
            return self.resolve(posixpath.join(posixpath.dirname(clean), found))
        if found is None and not any(name.startswith(f"{clean}/") for name in self.files):
            raise InputError(f"{path} is not there")
        return clean

    def exists(self, path: str) -> bool:
        """Whether there is a file or a directory."""
        try:
            self.resolve(path)
        except InputError:
            return False
        return True

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Read a part."""
        content = self.files.get(self.resolve(path))
        if not isinstance(content, bytes):
            raise InputError(f"{path} is a directory")
        return content[offset : offset + size]

    def digest(self, path: str) -> tuple[bytes, int]:
        """Return SHA-256 and size."""
        content = self.read(path, 0, 1 << 30)
        return hashlib.sha256(content).digest(), len(content)
