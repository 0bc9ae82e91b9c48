"""Answers to the kernel, put together.

Source: include/uapi/linux/fuse.h of Linux (ABI 7.x). Pure.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = [
    "ENTRY_PLUS_BYTES",
    "NO_ENTRY",
    "Attributes",
    "attributes",
    "entry",
    "entry_bytes",
    "entry_node",
    "listed_nodes",
    "put_entry",
    "put_entry_plus",
    "put_name_plus",
    "statfs",
    "written",
]

#: Nobody but the mount changes its volumes, so the kernel may keep what it was told until it needs the memory.
_VALID_SECONDS: Final = 10 * 365 * 86400
_SECOND: Final = 1_000_000_000

#: ino, size, blocks; seconds and nanoseconds of access, modification, change; mode, nlink, uid, gid, rdev, blksize.
_ATTR: Final = "QQQqqqIIIIIIIII4x"
#: nodeid, generation, how long the name and how long the attributes are valid.
_ENTRY: Final = f"QQQQ8x{_ATTR}"
_ENTRY_OUT: Final = struct.Struct(f"={_ENTRY}")
_ATTR_OUT: Final = struct.Struct(f"=Q8x{_ATTR}")
#: ino, offset of the next one, length of the name, type.
_DIRENT: Final = struct.Struct("=QQII")
_DIRENT_PLUS: Final = struct.Struct(f"={_ENTRY}QQII")
_DIRENT_PLUS_LENGTH: Final = struct.Struct("=Q136xI4x")
_STATFS_OUT: Final = struct.Struct("=QQQQQIII28x")
_WRITE_OUT: Final = struct.Struct("=I4x")

#: Bytes of an entry in a directory before its name, without and with attributes.
_ENTRY_BYTES: Final = _DIRENT.size
ENTRY_PLUS_BYTES: Final = _DIRENT_PLUS.size


class Attributes(Protocol):
    """What the kernel is told of an inode; times in nanoseconds since 1970."""

    mode: int
    links: int
    uid: int
    gid: int
    size: int
    accessed: int
    modified: int
    changed: int
    chunk_bytes: int


def _fields(number: int, inode: Attributes, blocks: int) -> tuple[int, ...]:
    accessed, accessed_ns = divmod(inode.accessed, _SECOND)
    modified, modified_ns = divmod(inode.modified, _SECOND)
    changed, changed_ns = divmod(inode.changed, _SECOND)
    return (
        number, inode.size, blocks, accessed, modified, changed, accessed_ns, modified_ns, changed_ns,
        inode.mode, inode.links, inode.uid, inode.gid, 0, inode.chunk_bytes,
    )  # fmt: skip


def entry(number: int, inode: Attributes, blocks: int) -> bytes:
    """Tell of an inode that a name was found or made for (struct fuse_entry_out)."""
    return _ENTRY_OUT.pack(number, 0, _VALID_SECONDS, _VALID_SECONDS, *_fields(number, inode, blocks))


#: There is no such name, and the kernel may rely on it.
NO_ENTRY: Final = _ENTRY_OUT.pack(0, 0, _VALID_SECONDS, *([0] * 16))


def attributes(number: int, inode: Attributes, blocks: int) -> bytes:
    """Tell the attributes of an inode (struct fuse_attr_out)."""
    return _ATTR_OUT.pack(_VALID_SECONDS, *_fields(number, inode, blocks))


def entry_bytes(name: bytes) -> int:
    """Return how long the record of a name in a directory is, without attributes."""
    return (_ENTRY_BYTES + len(name) + 7) & ~7


def put_entry(into: bytearray, position: int, name: bytes, number: int, kind: int, following: int) -> int:
    """Put a name into a zeroed listing (struct fuse_dirent); return where the next one comes."""
    _DIRENT.pack_into(into, position, number, following, len(name), kind >> 12)
    start = position + _ENTRY_BYTES
    into[start : start + len(name)] = name
    return (start + len(name) + 7) & ~7


def put_entry_plus(
    into: bytearray, position: int, name: bytes, number: int, inode: Attributes, blocks: int, following: int
) -> int:
    """Put a name and its inode into a zeroed listing (struct fuse_direntplus); return where the next one comes."""
    _DIRENT_PLUS.pack_into(
        into, position, number, 0, _VALID_SECONDS, _VALID_SECONDS, *_fields(number, inode, blocks),
        number, following, len(name), inode.mode >> 12,
    )  # fmt: skip
    start = position + ENTRY_PLUS_BYTES
    into[start : start + len(name)] = name
    return (start + len(name) + 7) & ~7


def put_name_plus(into: bytearray, position: int, name: bytes, number: int, kind: int, following: int) -> int:
    """Put a name without its inode into a zeroed listing with attributes; return where the next one comes."""
    return put_entry(into, position + ENTRY_PLUS_BYTES - _ENTRY_BYTES, name, number, kind, following)


def entry_node(reply: bytes | bytearray | memoryview) -> int:
    """Return the node that the kernel learns of from an :func:`entry`; 0 for none."""
    node: int = _ENTRY_OUT.unpack_from(reply)[0]
    return node


def listed_nodes(listing: bytes | bytearray | memoryview) -> Iterator[int]:
    """Yield the nodes that the kernel learns of from a listing with attributes."""
    position = 0
    while position < len(listing):
        node, length = _DIRENT_PLUS_LENGTH.unpack_from(listing, position)
        if node:
            yield node
        position = (position + ENTRY_PLUS_BYTES + length + 7) & ~7


def statfs(space: os.statvfs_result, longest_name: int) -> bytes:
    """Tell the room that there is (struct fuse_statfs_out)."""
    return _STATFS_OUT.pack(
        space.f_blocks, space.f_bfree, space.f_bavail, space.f_files, space.f_ffree,
        space.f_bsize, longest_name, space.f_frsize,
    )  # fmt: skip


def written(size: int) -> bytes:
    """Say how much was written."""
    return _WRITE_OUT.pack(size)
