"""What an ELF file says about what it is loaded with: its interpreter and the libraries it needs. Pure.

Parses only that, from bytes that anybody may have written; everything is bounded. Source: the System V ABI, chapters
4 and 5. 64-bit little-endian files, as on x86-64 and AArch64.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAGIC", "Elf", "parse"]

MAGIC: Final = b"\x7fELF"
_CLASS_64_LITTLE: Final = b"\x02\x01"
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 10, 15, 29
_MAX_PROGRAM_HEADERS: Final = 256
_MAX_DYNAMIC_BYTES: Final = 1 << 20
_MAX_STRING_BYTES: Final = 16 << 20
_MAX_NAME: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """What a file is loaded with.

    Attributes:
        interpreter: the dynamic loader; None for a library or a static program.
        needed: names of libraries, in order.
        rpath, runpath: where to look for them first.
    """

    interpreter: str | None
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]


def parse(read: Callable[[int, int], bytes]) -> Elf:
    """Parse a file.

    Args:
        read: returns up to ``size`` bytes from ``offset``, as ``read(offset, size)``.

    Raises:
        InputError: it is not a well-formed ELF file of a supported kind.
    """
    try:
        return _parse(read)
    except (struct.error, UnicodeDecodeError, OverflowError) as error:
        raise InputError("the ELF file is malformed or cut") from error


def _parse(read: Callable[[int, int], bytes]) -> Elf:
    header = _HEADER.unpack(read(0, _HEADER.size))
    identification, program_offset, entry_bytes, entries = header[0], header[5], header[9], header[10]
    if not identification.startswith(MAGIC + _CLASS_64_LITTLE):
        raise InputError("only 64-bit little-endian ELF files are supported")
    if entry_bytes != _PROGRAM.size or entries > _MAX_PROGRAM_HEADERS:
        raise InputError("the program headers of the ELF file are out of bounds")
    table = read(program_offset, entries * _PROGRAM.size)
    segments = [_PROGRAM.unpack_from(table, index * _PROGRAM.size) for index in range(entries)]
    interpreter = None
    dynamic: list[tuple[int, int]] = []
    for kind, _, offset, _, _, size, _, _ in segments:
        if kind == _PT_INTERP:
            interpreter = _text(read(offset, min(size, _MAX_NAME)))
        elif kind == _PT_DYNAMIC:
            data = read(offset, min(size, _MAX_DYNAMIC_BYTES))
            dynamic = list(_DYNAMIC.iter_unpack(data[: len(data) // _DYNAMIC.size * _DYNAMIC.size]))
    return _resolve(read, interpreter, dynamic, segments)


def _resolve(
    read: Callable[[int, int], bytes],
    interpreter: str | None,
    dynamic: list[tuple[int, int]],
    segments: list[tuple[int, ...]],
) -> Elf:
    """Look up the strings that the dynamic section refers to."""
    entries: list[tuple[int, int]] = []
    for tag, value in dynamic:
        if tag == _DT_NULL:
            break
        entries.append((tag, value))
    values = dict(entries)
    size = min(values.get(_DT_STRSZ, 0), _MAX_STRING_BYTES)
    strings = read(_file_offset(values[_DT_STRTAB], segments), size) if _DT_STRTAB in values else b""

    def names(wanted: int) -> tuple[str, ...]:
        return tuple(_text(strings[value : value + _MAX_NAME]) for tag, value in entries if tag == wanted)

    def paths(wanted: int) -> tuple[str, ...]:
        return tuple(path for text in names(wanted) for path in text.split(":") if path)

    return Elf(interpreter=interpreter, needed=names(_DT_NEEDED), rpath=paths(_DT_RPATH), runpath=paths(_DT_RUNPATH))


def _file_offset(address: int, segments: list[tuple[int, ...]]) -> int:
    for kind, _, offset, start, _, size, _, _ in segments:
        if kind == _PT_LOAD and start <= address < start + size:
            return address - start + offset
    raise InputError("the strings of the ELF file are in no segment")


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode()
