"""The kernel's requests, taken apart.

Source: include/uapi/linux/fuse.h of Linux (ABI 7.x). Pure. What is shorter than its kind of request has to be is
``struct.error``, what is wrong otherwise is OSError (EINVAL); whoever dispatches requests answers both with EINVAL.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.shield.fuse.protocol import MAX_IO_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "SetAttributes",
    "batch_forget",
    "fallocate",
    "forget",
    "link",
    "mkdir",
    "mknod",
    "name",
    "read",
    "rename",
    "rename2",
    "set_attributes",
    "two_names",
    "write",
]

_MKNOD_IN: Final = struct.Struct("=I12x")
_MKDIR_IN: Final = struct.Struct("=I4x")
_RENAME_IN: Final = struct.Struct("=Q")
_RENAME2_IN: Final = struct.Struct("=QI4x")
_LINK_IN: Final = struct.Struct("=Q")
_SETATTR_IN: Final = struct.Struct("=I12xQ8xqqqIIII4xII4x")
_READ_IN: Final = struct.Struct("=8xQI20x")
_WRITE_IN: Final = struct.Struct("=8xQII16x")
_FALLOCATE_IN: Final = struct.Struct("=8xQQI4x")
_FORGET_IN: Final = struct.Struct("=Q")
_BATCH_FORGET_IN: Final = struct.Struct("=I4x")
_FORGET_ONE: Final = struct.Struct("=QQ")

_SECOND: Final = 1_000_000_000
_TIME_MAX: Final = (1 << 63) - 1

_SET_MODE, _SET_UID, _SET_GID, _SET_SIZE, _SET_ACCESSED, _SET_MODIFIED = (1 << bit for bit in range(6))
_SET_CHANGED: Final = 1 << 10
_SET_KILL_PRIVILEGES: Final = 1 << 11
_WRITE_KILL_PRIVILEGES: Final = 1 << 2


class SetAttributes(NamedTuple):
    """What is to be changed of an inode (struct fuse_setattr_in); None for what stays."""

    mode: int | None
    uid: int | None
    gid: int | None
    size: int | None
    accessed: int | None
    modified: int | None
    changed: int | None
    #: Whether set-user-ID and set-group-ID go (FUSE_HANDLE_KILLPRIV_V2).
    kill_privileges: bool

    @property
    def only_times(self) -> bool:
        """Whether nothing but times is to be changed."""
        return self[:4] == (None, None, None, None) and not self.kill_privileges


def name(body: memoryview) -> bytes:
    """Return the one name that a request consists of."""
    raw = bytes(body)
    if raw[-1:] != b"\0":
        raise OSError(errno.EINVAL, "a name without an end")
    return raw[:-1]


def two_names(body: memoryview) -> tuple[bytes, bytes]:
    """Return the two names that a request consists of."""
    first, nul, rest = bytes(body).partition(b"\0")
    if not nul or rest[-1:] != b"\0":
        raise OSError(errno.EINVAL, "a name without an end")
    return first, rest[:-1]


def mknod(body: memoryview) -> tuple[int, bytes]:
    """Return mode and name."""
    return _MKNOD_IN.unpack_from(body)[0], name(body[_MKNOD_IN.size :])


def mkdir(body: memoryview) -> tuple[int, bytes]:
    """Return mode and name."""
    return _MKDIR_IN.unpack_from(body)[0], name(body[_MKDIR_IN.size :])


def link(body: memoryview) -> tuple[int, bytes]:
    """Return the node to be linked and the new name."""
    return _LINK_IN.unpack_from(body)[0], name(body[_LINK_IN.size :])


def rename(body: memoryview) -> tuple[int, int, bytes, bytes]:
    """Return the node of the new directory, flags (none), the old and the new name."""
    return _RENAME_IN.unpack_from(body)[0], 0, *two_names(body[_RENAME_IN.size :])


def rename2(body: memoryview) -> tuple[int, int, bytes, bytes]:
    """Return the node of the new directory, flags of renameat2(2), the old and the new name."""
    directory, flags = _RENAME2_IN.unpack_from(body)
    return directory, flags, *two_names(body[_RENAME2_IN.size :])


def read(body: memoryview) -> tuple[int, int]:
    """Return offset and size of a READ, a READDIR or a READDIRPLUS."""
    offset, size = _READ_IN.unpack_from(body)
    if size > MAX_IO_BYTES:
        raise OSError(errno.EINVAL, f"{size} bytes are asked for, {MAX_IO_BYTES} are allowed")
    return offset, size


def write(body: memoryview) -> tuple[int, memoryview, bool]:
    """Return offset and data, and whether set-user-ID and set-group-ID go; the data is not copied."""
    offset, size, flags = _WRITE_IN.unpack_from(body)
    data = body[_WRITE_IN.size : _WRITE_IN.size + size]
    if len(data) != size:
        raise OSError(errno.EINVAL, f"{size} bytes are announced, {len(data)} came")
    return offset, data, bool(flags & _WRITE_KILL_PRIVILEGES)


def fallocate(body: memoryview) -> tuple[int, int, int]:
    """Take a FALLOCATE apart: offset, length, mode."""
    offset, length, mode = _FALLOCATE_IN.unpack_from(body)
    return offset, length, mode


def set_attributes(body: memoryview) -> SetAttributes:
    """Take a SETATTR apart."""
    (valid, size, accessed, modified, changed, accessed_ns, modified_ns, changed_ns, mode, uid, gid) = (
        _SETATTR_IN.unpack_from(body)
    )
    return SetAttributes(
        mode if valid & _SET_MODE else None,
        uid if valid & _SET_UID else None,
        gid if valid & _SET_GID else None,
        size if valid & _SET_SIZE else None,
        _nanoseconds(accessed, accessed_ns) if valid & _SET_ACCESSED else None,
        _nanoseconds(modified, modified_ns) if valid & _SET_MODIFIED else None,
        _nanoseconds(changed, changed_ns) if valid & _SET_CHANGED else None,
        bool(valid & _SET_KILL_PRIVILEGES),
    )


def _nanoseconds(seconds: int, rest: int) -> int:
    """Return a time as it is kept: the first and the last that can be are in the years 1677 and 2262."""
    return min(max(seconds * _SECOND + rest, -_TIME_MAX), _TIME_MAX)


def forget(body: memoryview) -> int:
    """Return how many of the lookups of the request's node are forgotten."""
    count: int = _FORGET_IN.unpack_from(body)[0]
    return count


def batch_forget(body: memoryview) -> Iterator[tuple[int, int]]:
    """Return pairs of a node and how many of its lookups are forgotten."""
    count = _BATCH_FORGET_IN.unpack_from(body)[0]
    pairs = body[_BATCH_FORGET_IN.size : _BATCH_FORGET_IN.size + count * _FORGET_ONE.size]
    if len(pairs) != count * _FORGET_ONE.size:
        raise OSError(errno.EINVAL, f"{count} nodes are announced, and fewer came")
    return _FORGET_ONE.iter_unpack(pairs)
