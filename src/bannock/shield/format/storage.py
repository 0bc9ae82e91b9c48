"""What the files of a region share: the tree, the directory of the ciphertext, caches, and the bound on memory.

Not thread-safe, but for :class:`CleanChunks`.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from bannock.shield.format.records import garbage_key
from bannock.shield.format.seal import TAG_BYTES, Authenticator, Sealer
from bannock.shield.regions import Protection

if TYPE_CHECKING:
    from bannock.shield.format.backing import Backing
    from bannock.shield.format.content import Content
    from bannock.shield.format.seal import RandomBytes
    from bannock.shield.format.slots import Scratch
    from bannock.shield.format.tree import Tree
    from bannock.shield.regions import Region

__all__ = ["CleanChunks", "Storage"]

#: Changed chunks that are kept in memory before they are sealed, over all files of a region.
_DIRTY_BYTES: Final = 32 << 20
#: Clean chunks kept for small reads, over all files of a region.
_CLEAN_BYTES: Final = 8 << 20
_CLEAN_CHUNKS_MIN: Final = 8
#: Chunks that are remembered to have been read in part.
_SEEN_ONCE: Final = 1024


class CleanChunks:
    """Chunks that were read lately, by their nonces: a chunk that is written anew has another one.

    Safe to use from several threads.
    """

    def __init__(self, chunk_bytes: int) -> None:
        self._chunks: OrderedDict[bytes, bytearray] = OrderedDict()
        self._once: OrderedDict[bytes, bool] = OrderedDict()
        self._most = max(_CLEAN_BYTES // chunk_bytes, _CLEAN_CHUNKS_MIN)

    def get(self, nonce: bytes) -> bytearray | None:
        """Return a chunk, if it is here."""
        return self._chunks.get(nonce)

    def put(self, nonce: bytes, plain: memoryview) -> None:
        """Keep a copy of a chunk for a while, if it is read for the second time: most are read once, or as a whole."""
        if self._once.pop(nonce, None) is None:
            self._once[nonce] = True
            _limit(self._once, _SEEN_ONCE)
        else:
            self._chunks[nonce] = bytearray(plain)
            _limit(self._chunks, self._most)

    def drop(self, nonce: bytes) -> None:
        """Forget a chunk that no state in memory has any more."""
        self._chunks.pop(nonce, None)


def _limit(entries: OrderedDict[bytes, Any], most: int) -> None:
    while len(entries) > most:
        with suppress(KeyError):
            entries.popitem(last=False)


class Storage:
    """What the files of one region share.

    Args:
        root: the inode of the region's topmost directory.
        backing: where the ciphertext is.
        scratch: where changes go that will not become part of a state; None where they will.
        adopting: files are where they belong already and are somebody else's: they are recorded, and never removed.
    """

    def __init__(
        self,
        tree: Tree,
        region: Region,
        root: int,
        backing: Backing,
        random: RandomBytes,
        *,
        scratch: Scratch | None,
        adopting: bool,
    ) -> None:
        self.tree = tree
        self.region = region
        self.root = root
        self.backing = backing
        self.random = random
        self.scratch = scratch
        self.adopting = adopting
        #: Ciphertext files that no confirmed state knows; they go at once when they are not needed.
        self.unconfirmed: set[bytes] = set()
        self.clean = CleanChunks(region.chunk_bytes)
        self._dirty: dict[Content, int] = {}
        self._dirty_bytes = 0
        self._buffer = bytearray(TAG_BYTES)

    def sealer(self, key: bytes) -> Sealer:
        """Return what seals the chunks of a file with a key."""
        kind = Authenticator if self.region.protection is Protection.AUTHENTICATED else Sealer
        return kind(key[: self.region.key_bytes], self.random)

    def buffer(self, size: int) -> memoryview:
        """Return a buffer for one chunk's ciphertext and tag; its content lasts until the next call."""
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        return memoryview(self._buffer)[:size]

    def discard(self, path: bytes) -> None:
        """Give up a ciphertext file: at once if no confirmed state knows it, else after the next commit."""
        if self.adopting:
            return
        if path in self.unconfirmed:
            self.unconfirmed.discard(path)
            self.backing.unlink(path)
        else:
            self.tree.put(garbage_key(self.root, int.from_bytes(self.random(8), "big")), path)

    def count_dirty(self, content: Content, size: int) -> None:
        """Count changed bytes that a file keeps in memory, or keeps no more."""
        self._dirty_bytes += size
        if left := self._dirty.get(content, 0) + size:
            self._dirty[content] = left
        else:
            self._dirty.pop(content, None)

    def limit_dirty(self) -> None:
        """Seal what is in memory once it is too much."""
        if self._dirty_bytes > _DIRTY_BYTES:
            for content in list(self._dirty):
                content.seal_dirty()

    def settle(self, most: int) -> bool:
        """Seal what at most so many files keep in memory, and return whether there is more."""
        for content in list(islice(self._dirty, most)):
            content.seal_dirty()
        return bool(self._dirty)
