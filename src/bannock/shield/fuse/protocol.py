"""The frame of the kernel's FUSE protocol: kinds of requests, headers, and the agreement at the start.

Source: include/uapi/linux/fuse.h of Linux (ABI 7.x) and fuse(4). Pure: bytes in, values out, and the other way round.
Everything is in the byte order of the machine.
"""

from __future__ import annotations

import errno
import os
import struct
from enum import IntEnum
from typing import Final, NamedTuple

__all__ = [
    "HEADER_BYTES",
    "MAX_IO_BYTES",
    "REQUEST_BYTES",
    "ROOT_NODE",
    "Init",
    "Opcode",
    "error_reply",
    "header",
    "init",
    "init_reply",
    "reply_header",
]

#: The number of the mount's root (FUSE_ROOT_ID).
ROOT_NODE: Final = 1
#: The most that one READ or WRITE moves. 256 pages are the kernel's own limit (fs.fuse.max_pages_limit).
MAX_IO_BYTES: Final = 1 << 20
#: The kernel asks for a buffer that holds any request: headers, and the data of the longest WRITE.
REQUEST_BYTES: Final = MAX_IO_BYTES + 4096

_MAJOR: Final = 7
#: The newest minor version whose structures are written down here.
_MINOR: Final = 38
#: Linux 5.4, the first that has every flag below that the server cannot do without.
_OLDEST_MINOR: Final = 31

_IN_HEADER: Final = struct.Struct("=IIQQII8x")
HEADER_BYTES: Final = _IN_HEADER.size
_OUT_HEADER: Final = struct.Struct("=IiQ")
_INIT_IN: Final = struct.Struct("=IIII")
_INIT_OUT: Final = struct.Struct("=IIIIHHIIHHI28x")


_ASYNC_READ: Final = 1 << 0
_BIG_WRITES: Final = 1 << 5
_DO_READDIRPLUS: Final = 1 << 13
_ASYNC_DIO: Final = 1 << 15
_WRITEBACK_CACHE: Final = 1 << 16
_NO_OPEN_SUPPORT: Final = 1 << 17
_PARALLEL_DIROPS: Final = 1 << 18
_MAX_PAGES: Final = 1 << 22
_CACHE_SYMLINKS: Final = 1 << 23
_NO_OPENDIR_SUPPORT: Final = 1 << 24
_EXPLICIT_INVAL_DATA: Final = 1 << 25
_HANDLE_KILLPRIV_V2: Final = 1 << 28
#: What the server is written for. Not among it: POSIX_LOCKS and FLOCK_LOCKS, so the kernel keeps locks by itself;
#: ATOMIC_O_TRUNC, since no OPEN is sent; DONT_MASK, so the kernel applies the umask.
_NEEDED: Final = _NO_OPEN_SUPPORT | _NO_OPENDIR_SUPPORT | _MAX_PAGES | _BIG_WRITES | _WRITEBACK_CACHE
_WANTED: Final = (
    _NEEDED
    | _ASYNC_READ
    | _DO_READDIRPLUS
    | _ASYNC_DIO
    | _PARALLEL_DIROPS
    | _CACHE_SYMLINKS
    | _EXPLICIT_INVAL_DATA
    | _HANDLE_KILLPRIV_V2
)
#: Requests that nobody waits for (read-ahead, write-back) under way at once, and from how many on they are held back.
#: Each may be a WRITE of 1 MiB that has to be kept while a commit is under way.
_BACKGROUND: Final = 16
_CONGESTED: Final = 12
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Opcode(IntEnum):
    """What the kernel can ask for (enum fuse_opcode), as far as it is answered by more than ENOSYS."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    INIT = 26
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    DESTROY = 38
    IOCTL = 39
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    SYNCFS = 50


class Init(NamedTuple):
    """What the kernel offers at the start (struct fuse_init_in)."""

    major: int
    minor: int
    read_ahead: int
    flags: int


def header(request: memoryview) -> tuple[int, int, int, int, int, int]:
    """Return what every request starts with: length, opcode, unique number, node, user and group of who asks."""
    fields: tuple[int, int, int, int, int, int] = _IN_HEADER.unpack_from(request)
    return fields


def init(body: memoryview) -> Init:
    """Take an INIT apart.

    Raises:
        OSError: EPROTO, the kernel is too old (or too new) for this server.
    """
    offer = Init._make(_INIT_IN.unpack_from(body))
    if offer.major != _MAJOR or offer.minor < _OLDEST_MINOR or offer.flags & _NEEDED != _NEEDED:
        raise OSError(
            errno.EPROTO, f"the kernel's FUSE is version {offer.major}.{offer.minor}, at least 7.31 is needed"
        )
    return offer


def init_reply(offer: Init, *, writable: bool) -> bytes:
    """Say what is taken of the kernel's offer."""
    # With the write-back cache, the kernel asks for attributes again after every close(2).
    flags = offer.flags & (_WANTED if writable else _WANTED & ~_WRITEBACK_CACHE)
    return _INIT_OUT.pack(
        _MAJOR, _MINOR, offer.read_ahead, flags, _BACKGROUND, _CONGESTED,
        MAX_IO_BYTES, 1, MAX_IO_BYTES // _PAGE_BYTES, 0, 0,
    )  # fmt: skip


def reply_header(unique: int, size: int) -> bytes:
    """Return what comes before ``size`` bytes of an answer."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + size, 0, unique)


def error_reply(unique: int, number: int) -> bytes:
    """Return a whole answer that has nothing but an errno; 0 for success."""
    return _OUT_HEADER.pack(_OUT_HEADER.size, -number, unique)
