"""One volume of a mount: its inodes under the numbers that the kernel knows them by.

Used under the lock of the server.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, InputError
from bannock.shield.fuse import protocol, replies
from bannock.shield.fuse.known import Known

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bannock.shield.format.inodes import Inodes
    from bannock.shield.format.names import Names
    from bannock.shield.format.records import Inode
    from bannock.shield.fuse.commits import Group
    from bannock.shield.volume import Volume

__all__ = ["Branch", "Branches", "Request"]

#: A node is an inode's number in its volume, then this many bits that say which volume.
_BITS: Final = 8
_MASK: Final = (1 << _BITS) - 1
#: The unit of st_blocks (stat(2)).
_BLOCK_BYTES: Final = 512
_KIND: Final = 0o170000
_FILE: Final = stat.S_IFREG
#: Names of a path that a log line shows.
_DEPTH: Final = 64


@dataclass(slots=True)
class Request:
    """A request of the kernel; one object serves many, so nobody keeps it.

    Attributes:
        name: the name that is at stake, for the log.
    """

    unique: int = 0
    node: int = 0
    uid: int = 0
    gid: int = 0
    body: memoryview = field(default_factory=lambda: memoryview(b""))
    name: bytes = b""


class Branch:
    """A volume in a mount.

    Args:
        index: which of the volumes of the mount it is.
        label: the path that the application sees it under, for the log.
        volume: it.
        group: the volumes that have their commits in common with it.
    """

    def __init__(self, index: int, label: str, volume: Volume, group: Group) -> None:
        self.index = index
        self.label = label
        self.volume = volume
        self.group = group
        self.inodes: Inodes = volume.inodes
        self.names: Names = volume.names
        self.known = Known()
        self.inodes.handles.watch(self.known.__contains__)

    def node(self, ino: int) -> int:
        """Return the number of an inode for the kernel."""
        return ino << _BITS | self.index

    def changing(self) -> None:
        """Get ready for a change.

        Raises:
            OSError: EROFS, the volume is open for reading alone; EIO, its last commit has failed.
        """
        if not self.volume.writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if (failure := self.volume.failure) is not None:
            raise OSError(errno.EIO, f"the last commit failed: {failure}")
        self.group.changed()

    def entry(self, ino: int, parent: int) -> bytes:
        """Tell the kernel of an inode: until it forgets, the inode stays, with a name or without."""
        inode = self.inodes.get(ino)
        self.known.add(ino, parent)
        return replies.entry(self.node(ino), inode, blocks(inode))

    def attributes(self, ino: int) -> bytes:
        """Tell the kernel the attributes of an inode."""
        inode = self.inodes.get(ino)
        return replies.attributes(self.node(ino), inode, blocks(inode))

    def forget(self, ino: int, count: int) -> None:
        """Take note that the kernel forgot an inode so many times."""
        if self.known.drop(ino, count):
            self.group.when_open(lambda: self._unused(ino))

    def forget_all(self) -> None:
        """Take note that the mount is gone."""
        for ino in self.known.clear():
            self._unused(ino)

    def _unused(self, ino: int) -> None:
        # What cannot be removed now is removed when the volume is opened again.
        with suppress(BannockError, OSError):
            self.inodes.handles.unused(ino)

    def path(self, ino: int, name: bytes = b"") -> str:
        """Return the path of an inode (or of a name in it) as the application sees it, for the log."""
        parts = [name] if name else []
        with suppress(BannockError, OSError):
            while ino != self.volume.root and len(parts) < _DEPTH:
                parent = self.known.parent(ino)
                parts.append(next((e.name for e in self.names.entries(parent) if e.ino == ino), b"inode %d" % ino))
                ino = parent or self.volume.root
        return "/".join([self.label.rstrip("/"), *(os.fsdecode(part) for part in reversed(parts))])


class Branches:
    """The volumes of a mount; the n-th is the directory ``n`` of its root."""

    def __init__(self, volumes: Sequence[tuple[str, Volume]], group_of: Callable[[str, Volume], Group]) -> None:
        if len(volumes) > _MASK + 1:
            raise InputError(f"{len(volumes)} volumes are too many for one mount, {_MASK + 1} are allowed")
        self.all = [
            Branch(index, label, volume, group_of(label, volume)) for index, (label, volume) in enumerate(volumes)
        ]

    def find(self, node: int) -> tuple[Branch, int]:
        """Return the volume that a node is in, and its number there.

        Raises:
            OSError: EPERM for the root of the mount, which belongs to no volume; ESTALE for what cannot be.
        """
        ino = node >> _BITS
        if not ino:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        try:
            return self.all[node & _MASK], ino
        except IndexError:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from None

    def root_attributes(self) -> bytes:
        """Tell the kernel of the directory that the volumes are in."""
        return replies.attributes(protocol.ROOT_NODE, _Root(stat.S_IFDIR | 0o555, 2 + len(self.all)), 0)


@dataclass(slots=True)
class _Root:
    mode: int
    links: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    accessed: int = 0
    modified: int = 0
    changed: int = 0
    chunk_bytes: int = 4096


def blocks(inode: Inode) -> int:
    """Return st_blocks: no more than is there for a sparse file, and never 0 for a file.

    The kernel knows bytes that are not written here yet, and the number of blocks from before: a file that has a size
    and no block would be taken for one hole (by ``tar --sparse``).
    """
    if inode.mode & _KIND != _FILE:
        return 0
    there = min(inode.size, max(inode.slots, 1) * inode.chunk_bytes)
    return max(-(-there // _BLOCK_BYTES), 1)
