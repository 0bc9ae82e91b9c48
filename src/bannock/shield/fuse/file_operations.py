"""What the kernel asks about files and attributes. Holds no rules of its own.

Runs under the lock of the server; reading takes it by itself, for as long as what is to be read is looked up.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from bannock.shield.fuse import replies, requests
from bannock.shield.fuse.name_operations import MAX_NAME_BYTES
from bannock.shield.fuse.protocol import ROOT_NODE, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Lock

    from bannock.shield.format.records import Inode
    from bannock.shield.fuse.branch import Branches, Request

__all__ = ["FileOperations"]

_PERMISSIONS: Final = 0o7777
#: Modes of fallocate(2), include/uapi/linux/falloc.h.
_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_ZERO_RANGE: Final = 0x10


class FileOperations:
    """Answers requests about files and attributes."""

    def __init__(self, branches: Branches, lock: Lock) -> None:
        self._branches = branches
        self._find = branches.find
        self._lock = lock

    def handlers(self) -> Mapping[int, Callable[[Request], bytes | bytearray]]:
        """Return the answer to each kind of request."""
        return {
            Opcode.GETATTR: self._getattr,
            Opcode.SETATTR: self._setattr,
            Opcode.WRITE: self._write,
            Opcode.FALLOCATE: self._fallocate,
            Opcode.STATFS: self._statfs,
        }

    def _getattr(self, request: Request) -> bytes:
        if request.node == ROOT_NODE:
            return self._branches.root_attributes()
        branch, ino = self._find(request.node)
        return branch.attributes(ino)

    def _setattr(self, request: Request) -> bytes:
        wanted = requests.set_attributes(request.body)
        branch, ino = self._find(request.node)
        if wanted.only_times and not (inode := branch.inodes.get(ino)).links:
            # The kernel hands over the times of each file that it forgets; those of a removed one need not be kept.
            _change(inode, wanted)
            return branch.attributes(ino)
        branch.changing()
        if wanted.size is not None:
            branch.inodes.truncate(ino, wanted.size)
        _change(branch.inodes.change(ino), wanted)
        return branch.attributes(ino)

    def read(self, request: Request) -> bytearray:
        """Answer a READ; the caller does not hold the lock."""
        offset, size = requests.read(request.body)
        branch, ino = self._find(request.node)
        with self._lock:
            plan = branch.inodes.content(ino).plan_read(offset, size)
        try:
            return plan.run()
        except (BannockError, OSError):
            # What the plan refers to may have moved since it was made. While the lock is held, nothing moves.
            with self._lock:
                return branch.inodes.read(ino, offset, size)

    def _write(self, request: Request) -> bytes:
        offset, data, kill_privileges = requests.write(request.body)
        branch, ino = self._find(request.node)
        branch.changing()
        branch.inodes.write(ino, offset, data)
        if kill_privileges:
            _kill_privileges(branch.inodes.change(ino))
        return replies.written(len(data))

    def _fallocate(self, request: Request) -> bytes:
        offset, length, mode = requests.fallocate(request.body)
        if mode not in {0, _PUNCH_HOLE | _KEEP_SIZE, _ZERO_RANGE, _ZERO_RANGE | _KEEP_SIZE}:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        branch, ino = self._find(request.node)
        branch.changing()
        if mode:
            branch.inodes.modify(ino)
            branch.inodes.content(ino).punch(offset, length)
        if not mode & _KEEP_SIZE and offset + length > branch.inodes.get(ino).size:
            branch.inodes.truncate(ino, offset + length)
        return b""

    def _statfs(self, request: Request) -> bytes:
        branch = self._branches.all[0] if request.node == ROOT_NODE else self._find(request.node)[0]
        return replies.statfs(branch.volume.space(), MAX_NAME_BYTES)


def _change(inode: Inode, wanted: requests.SetAttributes) -> None:
    if wanted.mode is not None:
        inode.mode = stat.S_IFMT(inode.mode) | (wanted.mode & _PERMISSIONS)
    if wanted.kill_privileges:
        _kill_privileges(inode)
    if wanted.uid is not None:
        inode.uid = wanted.uid
    if wanted.gid is not None:
        inode.gid = wanted.gid
    if wanted.accessed is not None:
        inode.accessed = wanted.accessed
    if wanted.modified is not None:
        inode.modified = wanted.modified
    if wanted.changed is not None:
        # With its write-back cache the kernel owns the times of regular files, and says what they are.
        inode.changed = wanted.changed


def _kill_privileges(inode: Inode) -> None:
    """Take away what a write or a change of owner takes away (FUSE_HANDLE_KILLPRIV_V2 in fuse.h)."""
    inode.mode &= ~stat.S_ISUID
    if inode.mode & stat.S_IXGRP:
        inode.mode &= ~stat.S_ISGID
