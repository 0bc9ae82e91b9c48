"""What the kernel asks about names: looked up, made, moved, removed, forgotten. Holds no rules of its own.

Runs under the lock of the server.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from bannock.shield.fuse import replies, requests
from bannock.shield.fuse.protocol import ROOT_NODE, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.shield.fuse.branch import Branch, Branches, Request

__all__ = ["MAX_NAME_BYTES", "NameOperations"]

MAX_NAME_BYTES: Final = 255
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2


class NameOperations:
    """Answers requests about names."""

    def __init__(self, branches: Branches) -> None:
        self._branches = branches
        self._find = branches.find

    def handlers(self) -> Mapping[int, Callable[[Request], bytes | None]]:
        """Return the answer to each kind of request."""
        return {
            Opcode.LOOKUP: self._lookup,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._batch_forget,
            Opcode.MKNOD: self._mknod,
            Opcode.MKDIR: self._mkdir,
            Opcode.SYMLINK: self._symlink,
            Opcode.READLINK: self._readlink,
            Opcode.LINK: self._link,
            Opcode.UNLINK: self._unlink,
            Opcode.RMDIR: self._rmdir,
            Opcode.RENAME: self._rename,
            Opcode.RENAME2: self._rename2,
        }

    def forget(self, node: int, count: int) -> None:
        """Take note that the kernel forgot a node so many times."""
        if node != ROOT_NODE:
            branch, ino = self._find(node)
            branch.forget(ino, count)

    def _lookup(self, request: Request) -> bytes:
        request.name = name = requests.name(request.body)
        if request.node == ROOT_NODE:
            return self._volume(name)
        branch, parent = self._find(request.node)
        if len(name) > MAX_NAME_BYTES:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        try:
            ino = branch.names.lookup(parent, name)
        except FileNotFoundError:
            return replies.NO_ENTRY
        return branch.entry(ino, parent)

    def _volume(self, name: bytes) -> bytes:
        index = int(name) if name.isdigit() else len(self._branches.all)
        if index >= len(self._branches.all):
            return replies.NO_ENTRY
        branch = self._branches.all[index]
        return branch.entry(branch.volume.root, 0)

    def _forget(self, request: Request) -> None:
        self.forget(request.node, requests.forget(request.body))

    def _batch_forget(self, request: Request) -> None:
        for node, count in requests.batch_forget(request.body):
            self.forget(node, count)

    def _mknod(self, request: Request) -> bytes:
        mode, request.name = requests.mknod(request.body)
        return self._make(request, mode)

    def _mkdir(self, request: Request) -> bytes:
        mode, request.name = requests.mkdir(request.body)
        return self._make(request, stat.S_IFDIR | stat.S_IMODE(mode))

    def _make(self, request: Request, mode: int) -> bytes:
        branch, parent = self._find(request.node)
        branch.changing()
        gid, inherited = _inherited(branch, parent, request.gid)
        if stat.S_ISDIR(mode):
            mode |= inherited
        made = branch.names.make(parent, request.name, mode, uid=request.uid, gid=gid)
        return branch.entry(made, parent)

    def _symlink(self, request: Request) -> bytes:
        request.name, target = requests.two_names(request.body)
        branch, parent = self._find(request.node)
        branch.changing()
        gid, _ = _inherited(branch, parent, request.gid)
        made = branch.names.symlink(parent, request.name, target, uid=request.uid, gid=gid)
        return branch.entry(made, parent)

    def _readlink(self, request: Request) -> bytes:
        branch, ino = self._find(request.node)
        return branch.names.link_target(ino)

    def _link(self, request: Request) -> bytes:
        node, request.name = requests.link(request.body)
        branch, parent = self._find(request.node)
        other, ino = self._find(node)
        _require_same(branch, other)
        branch.changing()
        branch.names.link(ino, parent, request.name)
        return branch.entry(ino, parent)

    def _unlink(self, request: Request) -> bytes:
        request.name = name = requests.name(request.body)
        branch, parent = self._find(request.node)
        branch.changing()
        branch.names.unlink(parent, name)
        return b""

    def _rmdir(self, request: Request) -> bytes:
        request.name = name = requests.name(request.body)
        branch, parent = self._find(request.node)
        branch.changing()
        branch.names.rmdir(parent, name)
        return b""

    def _rename(self, request: Request) -> bytes:
        return self._move(request, *requests.rename(request.body))

    def _rename2(self, request: Request) -> bytes:
        return self._move(request, *requests.rename2(request.body))

    def _move(self, request: Request, directory: int, flags: int, name: bytes, new: bytes) -> bytes:
        request.name = name
        branch, parent = self._find(request.node)
        other, to = self._find(directory)
        _require_same(branch, other)
        if flags not in {0, _RENAME_NOREPLACE, _RENAME_EXCHANGE}:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        branch.changing()
        ino, names = branch.names.lookup(parent, name), branch.names
        if flags == _RENAME_EXCHANGE:
            branch.known.moved(names.lookup(to, new), parent)
            names.exchange(parent, name, to, new)
        else:
            names.rename(parent, name, to, new, replace=flags == 0)
        branch.known.moved(ino, to)
        return b""


def _require_same(one: Branch, other: Branch) -> None:
    if one is not other:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def _inherited(branch: Branch, parent: int, gid: int) -> tuple[int, int]:
    """Return the group of a new entry, and the bit that a new directory gets (inode(7), S_ISGID)."""
    directory = branch.inodes.get(parent)
    if directory.mode & stat.S_ISGID:
        return directory.gid, stat.S_ISGID
    return gid, 0
