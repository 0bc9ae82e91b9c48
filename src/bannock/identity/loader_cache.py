"""The cache of glibc's loader, ``/etc/ld.so.cache``: which files ldconfig(8) found for which names. Pure.

Source: glibc, sysdeps/generic/dl-cache.h (the new format, since glibc 2.2; it may follow one in the old format).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from bannock.errors import InputError

__all__ = ["CachedLibrary", "read_cache"]

_MAGIC: Final = b"glibc-ld.so.cache1.1"
_OLD_MAGIC: Final = b"ld.so-1.7.0\0"
_OLD_HEADER: Final = struct.Struct("<12sI")
_OLD_ENTRY: Final = struct.Struct("<iII")
_HEADER: Final = struct.Struct("<20sII20s")
_ENTRY: Final = struct.Struct("<iIIIQ")
#: Machines with very many libraries have some ten thousand.
_MAX_ENTRIES: Final = 200_000
_MAX_PATH: Final = 4096


class CachedLibrary(NamedTuple):
    """A file for a name; whether it is for any processor, or only for those with certain capabilities."""

    path: str
    any_processor: bool


def read_cache(name: str, data: bytes) -> dict[str, list[CachedLibrary]]:
    """Return library name → files.

    Args:
        name: what messages call the cache.
        data: its content; an empty one is a cache without entries.

    Raises:
        InputError: it is malformed, or of an unknown format.
    """
    if not data:
        return {}
    found: dict[str, list[CachedLibrary]] = {}
    try:
        start = _start(data)
        magic, count, _, _ = _HEADER.unpack_from(data, start)
        if magic != _MAGIC:
            raise InputError(f"{name} is of an unknown format")
        if count > _MAX_ENTRIES:
            raise InputError(f"{name} has {count} entries, at most {_MAX_ENTRIES} are allowed")
        entries = _ENTRY.iter_unpack(data[start + _HEADER.size :][: count * _ENTRY.size])
        read = 0
        for _, key, value, _, capabilities in entries:
            library = CachedLibrary(_string(data, start + value), capabilities == 0)
            found.setdefault(_string(data, start + key), []).append(library)
            read += 1
    except (struct.error, ValueError) as error:
        raise InputError(f"{name} is malformed") from error
    if read != count:
        raise InputError(f"{name} is cut: {count} entries were expected, found {read}")
    return found


def _start(data: bytes) -> int:
    """Return where the new format begins: at the start, or aligned after a cache in the old format."""
    if not data.startswith(_OLD_MAGIC):
        return 0
    _, count = _OLD_HEADER.unpack_from(data)
    end: int = _OLD_HEADER.size + count * _OLD_ENTRY.size
    return (end + 7) // 8 * 8


def _string(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset, offset + _MAX_PATH + 1)].decode()
