"""The inodes of a volume: decoded, cached, changed and written back.

Not responsible for names. Not thread-safe.
"""

from __future__ import annotations

import errno
import itertools
import stat
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import BannockError, EnvironmentFault, IntegrityError
from bannock.shield.format.content import Content
from bannock.shield.format.records import Inode, inode_key, link_key, orphan_key, range_of
from bannock.shield.format.seal import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.shield.format.storage import Storage

__all__ = ["Changes", "Handles", "Health", "Inodes", "Numbers"]

#: Unchanged inodes kept decoded; about half a KiB each.
_CACHED: Final = 8192


class Numbers:
    """Gives out the numbers of inodes, over all regions of a protection file; none is given out twice."""

    def __init__(self, following: int) -> None:
        self.following = following

    def take(self) -> int:
        """Return the number of a new inode."""
        self.following += 1
        return self.following - 1


class Health(Protocol):
    """Who knows whether what is in memory may become a state.

    Attributes:
        failure: why it may not, or None.
    """

    failure: BannockError | None


class Changes:
    """Changes that belong together, as a context manager around them.

    If they are stopped half-way (by a damaged page, or by the storage below), what is in memory is no state that
    anybody wanted, so it is never committed and takes no further change. What can be refused is refused before.
    """

    __slots__ = ("_health",)

    def __init__(self, health: Health) -> None:
        self._health = health

    @property
    def fault(self) -> BannockError | None:
        """Why nothing can be changed any more, or None."""
        return self._health.failure

    def require(self) -> None:
        """Go on only if something can be changed.

        Raises:
            OSError: EIO, after a commit has failed, or changes were stopped half-way.
        """
        if (fault := self._health.failure) is not None:
            raise OSError(errno.EIO, f"nothing can be changed any more: {fault}")

    def __enter__(self) -> None:
        self.require()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or self._health.failure is not None:
            return
        if not isinstance(error, BannockError):
            error = EnvironmentFault(f"a change was stopped half-way: {error!r}")
        self._health.failure = error


class Inodes:
    """The table of inodes of one region.

    Args:
        storage: what the contents of files are kept with.
        numbers: gives out the numbers of new inodes.
        clock: nanoseconds since 1970.
        whole: around changes that belong together.

    Attributes:
        handles: which inodes are in use, and so stay without a name too.
        changed: whether anything changed since the last confirmed state.
    """

    def __init__(
        self,
        storage: Storage,
        numbers: Numbers,
        clock: Callable[[], int],
        whole: Changes,
    ) -> None:
        self._storage = storage
        self._numbers = numbers
        self._clock = clock
        self.whole = whole
        self._cache: OrderedDict[int, Inode] = OrderedDict()
        self._dirty: set[int] = set()
        self._contents: dict[int, Content] = {}
        self.handles = Handles(self.purge)
        self.changed = False
        self._most_cached = _CACHED

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
        if len(self._cache) > self._most_cached:
            self._evict()
        return inode

    def change(self, ino: int) -> Inode:
        """Return an inode, to change; its time of change is now.

        Raises:
            OSError: EIO, after a commit has failed, or a change was stopped half-way.
        """
        self.whole.require()
        inode = self.get(ino)
        self._dirty.add(ino)
        self.changed = True
        inode.changed = self._clock()
        return inode

    def modify(self, ino: int) -> Inode:
        """Return an inode whose content changes now."""
        inode = self.change(ino)
        inode.modified = inode.changed
        return inode

    def new(self, mode: int, *, uid: int, gid: int, backing: bytes = b"", number: int | None = None) -> int:
        """Make an inode with one link and return its number, which is a new one unless it was taken already."""
        ino = self._numbers.take() if number is None else number
        now = self._clock()
        key = self._storage.random(KEY_BYTES) if stat.S_ISREG(mode) else bytes(KEY_BYTES)
        self._cache[ino] = Inode(
            mode=mode, uid=uid, gid=gid, modified=now, changed=now, accessed=now, key=key, backing=backing,
            chunk_bytes=self._storage.region.chunk_bytes,
        )  # fmt: skip
        self._dirty.add(ino)
        self.changed = True
        return ino

    def content(self, ino: int) -> Content:
        """Return the bytes of a file; whoever changes them says so by :meth:`modify` first."""
        if (content := self._contents.get(ino)) is None:
            content = self._contents[ino] = Content(ino, self.get(ino), self._storage)
        return content

    def read(self, ino: int, offset: int, size: int) -> bytearray:
        """Read from a file (:meth:`Content.read`)."""
        return self.content(ino).read(offset, size)

    def write(self, ino: int, offset: int, data: bytes | memoryview) -> None:
        """Write to a file (:meth:`Content.write`)."""
        self.modify(ino)
        self.content(ino).write(offset, data)

    def truncate(self, ino: int, size: int) -> None:
        """Cut or extend a file (:meth:`Content.truncate`)."""
        self.modify(ino)
        with self.whole:
            self.content(ino).truncate(size)

    def unlinked(self, ino: int) -> None:
        """Drop a link; the inode goes with its last one, or with the last handle."""
        inode = self.change(ino)
        inode.links -= 1
        if inode.links:
            return
        with self.whole:
            if ino in self.handles:
                self._storage.tree.put(orphan_key(self._storage.root, ino), b"")
                self.handles.orphaned(ino)
            else:
                self._remove(ino, inode)

    def purge(self, ino: int) -> None:
        """Remove an inode without a name, and all that belongs to it."""
        if self.whole.fault is not None:
            # What is in memory will not become a state; recovery removes it from the one that is in force.
            return
        with self.whole:
            self._remove(ino, self.get(ino))
            self._storage.tree.delete(orphan_key(self._storage.root, ino))

    def _remove(self, ino: int, inode: Inode) -> None:
        tree = self._storage.tree
        if inode.is_file:
            self.content(ino).clear()
        elif not inode.is_directory:
            for key, _ in tree.walk(*range_of(link_key(ino, 0))):
                tree.delete(key)
        self.changed = True
        tree.delete(inode_key(ino))
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
        self.changed = False
        if len(self._contents) > _CACHED:
            self._contents.clear()

    def _evict(self) -> None:
        """Forget the inodes that were not used for longest, but none that is changed."""
        for ino in list(itertools.islice(self._cache, len(self._cache) - _CACHED * 3 // 4)):
            if ino not in self._dirty:
                del self._cache[ino]
                self._contents.pop(ino, None)
        # Where most are changed, looking for others at every step would be slow.
        self._most_cached = max(_CACHED, len(self._cache) + _CACHED // 4)


class Handles:
    """Who uses an inode: while somebody does, it stays, with a name or without.

    Args:
        purge: removes an inode that has neither name nor user.
    """

    def __init__(self, purge: Callable[[int], None]) -> None:
        self._purge = purge
        self._counts: dict[int, int] = {}
        self._orphans: set[int] = set()
        self._others: Callable[[int], bool] = lambda _: False

    def watch(self, others: Callable[[int], bool]) -> None:
        """Ask somebody else too who uses an inode; when that ends, :meth:`unused` is called for it."""
        self._others = others

    def open(self, ino: int) -> None:
        """Count one more."""
        self._counts[ino] = self._counts.get(ino, 0) + 1

    def release(self, ino: int) -> None:
        """Count one less; a file without a name goes with its last handle."""
        self._counts[ino] -= 1
        if not self._counts[ino]:
            del self._counts[ino]
            self.unused(ino)

    def unused(self, ino: int) -> None:
        """Learn that a user has gone; a file without a name goes with the last one."""
        if ino in self._orphans and ino not in self:
            self._orphans.discard(ino)
            self._purge(ino)

    def orphaned(self, ino: int) -> None:
        """Learn that an inode that is in use has no name any more."""
        self._orphans.add(ino)

    def __contains__(self, ino: int) -> bool:
        return ino in self._counts or self._others(ino)
