"""The inodes of a volume: decoded, cached, changed and written back.

Not responsible for names. Not thread-safe.
"""

from __future__ import annotations

import errno
import stat
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, IntegrityError
from bannock.shield.format.content import Content
from bannock.shield.format.records import Inode, inode_key, link_key, orphan_key, range_of
from bannock.shield.format.seal import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.shield.format.content import Storage

__all__ = ["Handles", "Inodes"]

#: Unchanged inodes kept decoded; about half a KiB each.
_CACHED: Final = 8192


class Inodes:
    """The table of inodes.

    Args:
        storage: what the contents of files are kept with.
        next_ino: the number that the next inode gets.
        clock: nanoseconds since 1970.

    Attributes:
        handles: which inodes are in use, and so stay without a name too.
    """

    def __init__(self, storage: Storage, next_ino: int, clock: Callable[[], int]) -> None:
        self._storage = storage
        self._clock = clock
        self.next_ino = next_ino
        self._cache: OrderedDict[int, Inode] = OrderedDict()
        self._dirty: set[int] = set()
        self._contents: dict[int, Content] = {}
        self.handles = Handles(self)
        self._purged = False
        #: Why nothing can be changed any more: a commit failed, and what is in memory will not become a state.
        self.failure: BannockError | None = None

    @property
    def changed(self) -> bool:
        """Whether anything changed since the last confirmed state."""
        return bool(self._dirty) or self._purged

    def get(self, ino: int) -> Inode:
        """Return an inode, to look at.

        Raises:
            IntegrityError: there is none of that number, or its record is damaged.
        """
        if (inode := self._cache.get(ino)) is not None:
            self._cache.move_to_end(ino)
            return inode
        record = self._storage.tree.get(inode_key(ino))
        if record is None:
            raise IntegrityError(f"inode {ino} is missing")
        inode = self._cache[ino] = Inode.decode(record)
        if len(self._cache) > _CACHED:
            self._evict()
        return inode

    def change(self, ino: int) -> Inode:
        """Return an inode, to change; its time of change is now.

        Raises:
            OSError: EIO, after a commit has failed.
        """
        if self.failure is not None:
            raise OSError(errno.EIO, f"the last commit failed: {self.failure}")
        inode = self.get(ino)
        self._dirty.add(ino)
        inode.changed = self._clock()
        return inode

    def modify(self, ino: int) -> Inode:
        """Return an inode whose content changes now."""
        inode = self.change(ino)
        inode.modified = inode.changed
        return inode

    def new(self, mode: int, *, uid: int, gid: int, backing: bytes = b"") -> int:
        """Make an inode with one link and return its number."""
        ino, self.next_ino = self.next_ino, self.next_ino + 1
        now = self._clock()
        key = self._storage.random(KEY_BYTES) if stat.S_ISREG(mode) else bytes(KEY_BYTES)
        self._cache[ino] = Inode(
            mode=mode, uid=uid, gid=gid, modified=now, changed=now, accessed=now, key=key, backing=backing
        )  # fmt: skip
        self._dirty.add(ino)
        return ino

    def _content(self, ino: int) -> Content:
        if (content := self._contents.get(ino)) is None:
            content = self._contents[ino] = Content(ino, self.get(ino), self._storage)
        return content

    def read(self, ino: int, offset: int, size: int) -> bytearray:
        """Read from a file (:meth:`Content.read`)."""
        return self._content(ino).read(offset, size)

    def write(self, ino: int, offset: int, data: bytes | memoryview) -> None:
        """Write to a file (:meth:`Content.write`)."""
        self.modify(ino)
        self._content(ino).write(offset, data)

    def truncate(self, ino: int, size: int) -> None:
        """Cut or extend a file (:meth:`Content.truncate`)."""
        self.modify(ino)
        self._content(ino).truncate(size)

    def unlinked(self, ino: int) -> None:
        """Drop a link; the inode goes with its last one, or with the last handle."""
        inode = self.change(ino)
        inode.links -= 1
        if inode.links:
            return
        if ino in self.handles:
            self._storage.tree.put(orphan_key(ino), b"")
        else:
            self.purge(ino)

    def purge(self, ino: int) -> None:
        """Remove an inode and all that belongs to it."""
        inode = self.get(ino)
        tree = self._storage.tree
        if inode.is_file:
            self._content(ino).clear()
        for key, _ in tree.walk(*range_of(link_key(ino, 0))):
            tree.delete(key)
        self._purged = True
        tree.delete(inode_key(ino))
        tree.delete(orphan_key(ino))
        self._dirty.discard(ino)
        self._contents.pop(ino, None)
        self._cache.pop(ino, None)

    def flush(self) -> None:
        """Put every change into the tree."""
        for ino in sorted(self._dirty):
            if (content := self._contents.get(ino)) is not None:
                content.flush()
            self._storage.tree.put(inode_key(ino), self._cache[ino].encode())

    def confirmed(self) -> None:
        """Learn that the flushed state is the confirmed one."""
        for content in self._contents.values():
            content.confirmed()
        self._dirty.clear()
        self._purged = False
        if len(self._contents) > _CACHED:
            self._contents = {ino: content for ino, content in self._contents.items() if ino in self.handles}

    def _evict(self) -> None:
        """Forget the inodes that were not used for longest, but none that is changed or open."""
        for ino in list(self._cache)[: _CACHED // 4]:
            if ino not in self._dirty and ino not in self.handles:
                del self._cache[ino]
                self._contents.pop(ino, None)


class Handles:
    """Counts who uses an inode: while somebody does, it stays, with a name or without."""

    def __init__(self, inodes: Inodes) -> None:
        self._inodes = inodes
        self._counts: dict[int, int] = {}

    def open(self, ino: int) -> None:
        """Count one more."""
        self._counts[ino] = self._counts.get(ino, 0) + 1

    def release(self, ino: int) -> None:
        """Count one less; a file without a name goes with its last handle."""
        self._counts[ino] -= 1
        if not self._counts[ino]:
            del self._counts[ino]
            if self._inodes.get(ino).links == 0:
                self._inodes.purge(ino)

    def __contains__(self, ino: int) -> bool:
        return ino in self._counts
