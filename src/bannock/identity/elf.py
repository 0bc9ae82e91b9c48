"""What an ELF file says about what it is loaded with: its interpreter and the libraries it needs. Pure.

Parses only that, from bytes that anybody may have written; everything is bounded, and what two loaders might read in
two ways is refused. Source: the System V ABI, chapters 4 and 5. 64-bit little-endian files, as on x86-64 and AArch64.
(A general library for ELF takes 70 ms to import, which every start of an application would pay.)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KIND_BYTES", "MAGIC", "Elf", "code_of", "kind", "parse"]

MAGIC: Final = b"\x7fELF"
#: As much of a file as :func:`kind` looks at.
KIND_BYTES: Final = 20

_CLASS_64_LITTLE: Final = b"\x02\x01"
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_PF_EXECUTABLE: Final = 1
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 10, 14, 15, 29
#: Entries by which further libraries come in, in ways that hardly a program uses and no two loaders share.
_UNMEASURED: Final = {
    0x6FFFFEFB: "DT_DEPAUDIT",
    0x6FFFFEFC: "DT_AUDIT",
    0x7FFFFFFD: "DT_AUXILIARY",
    0x7FFFFFFF: "DT_FILTER",
}
#: Of what linkers make, the largest has about a dozen program headers, some hundred libraries and 10 MiB of strings.
_MAX_PROGRAM_HEADERS: Final = 256
_MAX_DYNAMIC_BYTES: Final = 1 << 20
_MAX_NEEDED: Final = 1024
_MAX_STRING_BYTES: Final = 64 << 20
_MAX_NAME: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """What a file is loaded with.

    Attributes:
        interpreter: the dynamic loader; None for a library or a static program.
        soname: the name that a library is known by once it is loaded.
        needed: names of libraries, in order.
        rpath, runpath: where to look for them first, separated by colons; None if it does not say.
    """

    interpreter: str | None
    soname: str | None
    needed: tuple[str, ...]
    rpath: str | None
    runpath: str | None


class _Segment(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    file_bytes: int
    memory_bytes: int
    alignment: int


def kind(head: bytes) -> bytes | None:
    """Return class, byte order and machine of an ELF file; None for any other file.

    Args:
        head: the first :data:`KIND_BYTES` of the file.
    """
    if len(head) < KIND_BYTES or not head.startswith(MAGIC):
        return None
    return head[4:6] + head[18:20]


def code_of(read: Callable[[int, int], bytes]) -> tuple[int, list[tuple[int, int, int]]]:
    """Return where a program starts, and the parts of its file with code, as offset, size and address of each.

    Args:
        read: as for :func:`parse`.

    Raises:
        InputError: it is not a well-formed ELF file of a supported kind.
    """
    try:
        code = [each for each in _segments(read) if each.kind == _PT_LOAD and each.flags & _PF_EXECUTABLE]
        start = _HEADER.unpack(read(0, _HEADER.size))[4]
    except (struct.error, OverflowError) as error:
        raise InputError("the ELF file is malformed or cut") from error
    return start, [(each.offset, each.file_bytes, each.address) for each in code]


def parse(read: Callable[[int, int], bytes]) -> Elf:
    """Parse a file.

    Args:
        read: returns up to ``size`` bytes from ``offset``, as ``read(offset, size)``.

    Raises:
        InputError: it is not a well-formed ELF file of a supported kind.
    """
    try:
        segments = _segments(read)
        return _resolve(read, _interpreter(read, segments), _dynamic(read, segments), segments)
    except (struct.error, UnicodeDecodeError, OverflowError) as error:
        raise InputError("the ELF file is malformed or cut") from error


def _segments(read: Callable[[int, int], bytes]) -> list[_Segment]:
    header = _HEADER.unpack(read(0, _HEADER.size))
    identification, program_offset, entry_bytes, entries = header[0], header[5], header[9], header[10]
    if not identification.startswith(MAGIC + _CLASS_64_LITTLE):
        raise InputError("only 64-bit little-endian ELF files are supported")
    if entry_bytes != _PROGRAM.size or not 0 < entries <= _MAX_PROGRAM_HEADERS:
        raise InputError("the program headers of the ELF file are out of bounds")
    table = _exactly(read, program_offset, entries * _PROGRAM.size)
    return [_Segment(*fields) for fields in _PROGRAM.iter_unpack(table)]


def _only(segments: list[_Segment], wanted: int) -> _Segment | None:
    """Return the segment of a kind of which there is one at most: loaders differ in which of two they take."""
    found = [segment for segment in segments if segment.kind == wanted]
    if len(found) > 1:
        raise InputError(f"the ELF file has {len(found)} segments of type {wanted}, expected one")
    return found[0] if found else None


def _interpreter(read: Callable[[int, int], bytes], segments: list[_Segment]) -> str | None:
    segment = _only(segments, _PT_INTERP)
    if segment is None:
        return None
    if segment.file_bytes > _MAX_NAME:
        raise InputError(f"the interpreter's name has {segment.file_bytes} bytes, at most {_MAX_NAME} are allowed")
    return _text(_exactly(read, segment.offset, segment.file_bytes), 0)


def _dynamic(read: Callable[[int, int], bytes], segments: list[_Segment]) -> list[tuple[int, int]]:
    segment = _only(segments, _PT_DYNAMIC)
    if segment is None:
        return []
    if segment.file_bytes > _MAX_DYNAMIC_BYTES or segment.offset != _file_offset(segment.address, segments):
        raise InputError("the dynamic section of the ELF file is out of bounds, or not where it is loaded")
    data = _exactly(read, segment.offset, segment.file_bytes)
    entries: list[tuple[int, int]] = []
    for tag, value in _DYNAMIC.iter_unpack(data[: len(data) // _DYNAMIC.size * _DYNAMIC.size]):
        if tag == _DT_NULL:
            return entries
        entries.append((tag, value))
    raise InputError("the dynamic section of the ELF file has no end")


def _resolve(
    read: Callable[[int, int], bytes],
    interpreter: str | None,
    entries: list[tuple[int, int]],
    segments: list[_Segment],
) -> Elf:
    """Look up the strings that the dynamic section refers to."""
    values = dict(entries)
    if unmeasured := [name for tag, name in _UNMEASURED.items() if tag in values]:
        raise InputError(f"the ELF file has {unmeasured[0]}, which is not supported: what it loads is not measured")
    wanted = [value for tag, value in entries if tag == _DT_NEEDED]
    if len(wanted) > _MAX_NEEDED:
        raise InputError(f"the ELF file needs {len(wanted)} libraries, at most {_MAX_NEEDED} are allowed")
    strings = b""
    if _DT_STRTAB in values:
        size = values.get(_DT_STRSZ, 0)
        if size > _MAX_STRING_BYTES:
            raise InputError(f"the ELF file has {size} bytes of strings, at most {_MAX_STRING_BYTES} are allowed")
        strings = _exactly(read, _file_offset(values[_DT_STRTAB], segments), size)

    def text(tag: int) -> str | None:
        return _text(strings, values[tag]) if tag in values else None

    return Elf(
        interpreter=interpreter,
        soname=text(_DT_SONAME),
        needed=tuple(_text(strings, value) for value in wanted),
        rpath=text(_DT_RPATH),
        runpath=text(_DT_RUNPATH),
    )


def _file_offset(address: int, segments: list[_Segment]) -> int:
    for segment in segments:
        if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.file_bytes:
            return address - segment.address + segment.offset
    raise InputError("a part of the ELF file is in no segment")


def _exactly(read: Callable[[int, int], bytes], offset: int, size: int) -> bytes:
    data = read(offset, size)
    if len(data) != size:
        raise InputError(f"the ELF file is cut: {size} bytes at {offset} were expected, found {len(data)}")
    return data


def _text(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset, offset + _MAX_NAME + 1)
    if offset >= len(data) or end < 0:
        raise InputError("a string of the ELF file has no end")
    return data[offset:end].decode()
