"""The bytes of one protected file: chunks that are sealed into free slots of its ciphertext file.

A chunk is never written over while the confirmed state needs it; its new version goes to another slot, and the old
slot is free once the next commit is confirmed. Not thread-safe.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from bannock.errors import IntegrityError
from bannock.shield.format.records import (
    CHUNK_RECORD_BYTES,
    CHUNKS_PER_RECORD,
    MAX_BACKING_BYTES,
    NO_CHUNK,
    SLOTS_PER_RECORD,
    Chunk,
    chunks_key,
    decode_chunk,
    decode_slots,
    encode_chunk,
    encode_slots,
    garbage_key,
    range_of,
    short_backing,
    slots_key,
)
from bannock.shield.format.seal import TAG_BYTES, RandomBytes, Sealer

if TYPE_CHECKING:
    from bannock.shield.format.backing import Backing
    from bannock.shield.format.records import Inode
    from bannock.shield.format.tree import Tree

__all__ = ["Content", "Storage"]

#: Changed chunks of one file that are kept in memory before they are sealed.
_DIRTY_BYTES: Final = 8 << 20
#: Clean chunks kept for small reads, over all files.
_CLEAN_CHUNKS: Final = 64
#: Groups of chunk records kept decoded, per file.
_GROUPS: Final = 64
#: Leaves room for a suffix within the 255 bytes that a name may have.
_MAX_OWN_NAME: Final = 240
_SUFFIX: Final = re.compile(rb"~\d+$")


class Storage:
    """What the files of a volume share: the tree, the ciphertext directory, and a cache of clean chunks."""

    def __init__(self, tree: Tree, backing: Backing, random: RandomBytes) -> None:
        self.tree = tree
        self.backing = backing
        self.random = random
        #: Ciphertext files that no confirmed state knows; they go at once when they are not needed.
        self.unconfirmed: set[bytes] = set()
        self.clean: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._scratch = bytearray(TAG_BYTES)

    def scratch(self, size: int) -> memoryview:
        """Return a buffer for one chunk's ciphertext and tag; its content lasts until the next call."""
        if len(self._scratch) < size:
            self._scratch = bytearray(size)
        return memoryview(self._scratch)[:size]

    def remember(self, key: tuple[int, int], plain: bytes) -> None:
        """Keep a clean chunk for a while."""
        self.clean[key] = plain
        if len(self.clean) > _CLEAN_CHUNKS:
            self.clean.popitem(last=False)

    def discard(self, path: bytes) -> None:
        """Give up a ciphertext file: at once if no confirmed state knows it, else after the next commit."""
        if path in self.unconfirmed:
            self.unconfirmed.discard(path)
            self.backing.unlink(path)
        else:
            self.tree.put(garbage_key(int.from_bytes(self.random(8), "big")), path)


class Content:
    """The bytes of one file.

    Args:
        ino: its number.
        inode: its record, which is changed here (size, slots, backing).
    """

    def __init__(self, ino: int, inode: Inode, storage: Storage) -> None:
        self._ino = ino
        self._inode = inode
        self._storage = storage
        self._sealer = Sealer(inode.key, storage.random)
        self._dirty: dict[int, bytearray] = {}
        self._groups: dict[int, bytearray] = {}
        self._dirty_groups: set[int] = set()
        self._pool: list[int] = []
        self._freed: list[int] = []
        self._fresh: set[int] = set()

    def read(self, offset: int, size: int) -> bytearray:
        """Return the bytes from ``offset``; fewer than ``size`` at the end of the file.

        Raises:
            IntegrityError: a chunk is not what was written.
            OSError: the storage below fails.
        """
        end = min(offset + size, self._inode.size)
        out = bytearray(max(end - offset, 0))
        view = memoryview(out)
        step = self._inode.chunk_bytes
        while offset < end:
            index, low = divmod(offset, step)
            high = min(end - index * step, step)
            self._copy(index, low, view[: high - low])
            view = view[high - low :]
            offset += high - low
        return out

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Put bytes at ``offset``, extending the file where they reach over its end."""
        view, step = memoryview(data), self._inode.chunk_bytes
        while view:
            index, low = divmod(offset, step)
            piece = view[: step - low]
            if len(piece) == step:
                self._seal(index, piece)
            else:
                self._change(index, low, piece)
            view = view[len(piece) :]
            offset += len(piece)
            self._inode.size = max(self._inode.size, offset)
        if len(self._dirty) * step > _DIRTY_BYTES:
            self._seal_dirty()

    def truncate(self, size: int) -> None:
        """Cut the file, or extend it by a hole."""
        if size == 0 and self._inode.size:
            self.clear()
        elif size < self._inode.size:
            self._cut(size)
        self._inode.size = size

    def clear(self) -> None:
        """Forget every byte; the ciphertext file is given up as a whole."""
        tree = self._storage.tree
        self._dirty.clear()
        self._groups.clear()
        self._dirty_groups.clear()
        for key in (chunks_key(self._ino, 0), slots_key(self._ino, 0)):
            for found, _ in tree.walk(*range_of(key)):
                tree.delete(found)
        if self._inode.slots:
            self._storage.discard(self._inode.backing)
        for cached in [key for key in self._storage.clean if key[0] == self._ino]:
            del self._storage.clean[cached]
        self._pool, self._freed = [], []
        self._fresh.clear()
        self._inode.size = self._inode.slots = self._inode.free_records = 0

    def flush(self) -> None:
        """Seal what is in memory and put all records into the tree."""
        self._seal_dirty()
        self._flush_groups()
        free, self._pool, self._freed = self._freed + self._pool, [], []
        for start in range(0, len(free), SLOTS_PER_RECORD):
            part = encode_slots(free[start : start + SLOTS_PER_RECORD])
            self._storage.tree.put(slots_key(self._ino, self._inode.free_records), part)
            self._inode.free_records += 1

    def confirmed(self) -> None:
        """Learn that the state which :meth:`flush` was part of is the confirmed one."""
        self._fresh.clear()

    # -- chunks

    def _copy(self, index: int, low: int, into: memoryview) -> None:
        """Fill a zeroed buffer with the part of a chunk that starts at ``low``."""
        if (dirty := self._dirty.get(index)) is not None:
            piece = dirty[low : low + len(into)]
            into[: len(piece)] = piece
            return
        chunk = self._chunk(index)
        if low == 0 and 0 < chunk.length <= len(into):
            self._unseal(index, chunk, into[: chunk.length])
        elif chunk.length:
            part = self._plain(index, chunk)[low : low + len(into)]
            into[: len(part)] = part

    def _plain(self, index: int, chunk: Chunk) -> bytes:
        key = (self._ino, index)
        if (plain := self._storage.clean.get(key)) is None:
            buffer = bytearray(chunk.length)
            self._unseal(index, chunk, memoryview(buffer))
            plain = bytes(buffer)
            self._storage.remember(key, plain)
        return plain

    def _unseal(self, index: int, chunk: Chunk, into: memoryview) -> None:
        step = self._inode.chunk_bytes
        sealed = self._storage.scratch(chunk.length + TAG_BYTES)
        try:
            file = self._storage.backing.open(self._inode.backing)
            if os.preadv(file.descriptor, [sealed[: chunk.length]], chunk.slot * step) != chunk.length:
                raise IntegrityError("the ciphertext file was cut")
            sealed[chunk.length :] = chunk.tag
            self._sealer.unseal_into(chunk.nonce, sealed, self._context(index), into)
        except IntegrityError as error:
            first = index * step
            raise IntegrityError(f"bytes {first} to {first + chunk.length - 1} were changed") from error

    def _seal(self, index: int, plain: bytearray | memoryview) -> None:
        """Write a chunk to a free slot; whatever goes wrong, what was known of the chunk before stays as it is."""
        inode, step = self._inode, self._inode.chunk_bytes
        old, slot = self._chunk(index), self._allocate()
        sealed = self._storage.scratch(len(plain) + TAG_BYTES)
        nonce, tag = self._sealer.seal_into(plain, self._context(index), sealed)
        try:
            self._storage.backing.open(inode.backing).pwrite(sealed[: len(plain)], slot * step)
        except BaseException:
            self._release(slot)
            raise
        self._storage.backing.written(inode.backing)
        if old.length:
            self._release(old.slot)
        self._dirty.pop(index, None)
        self._storage.clean.pop((self._ino, index), None)
        self._set_chunk(index, Chunk(len(plain), slot, nonce, tag))

    def _change(self, index: int, low: int, piece: memoryview) -> None:
        """Put a part of a chunk; a chunk that is full then is sealed, since it rarely changes again soon."""
        buffer = self._load_dirty(index)
        if len(buffer) < low:
            buffer.extend(bytes(low - len(buffer)))
        buffer[low : low + len(piece)] = piece
        if low + len(piece) == self._inode.chunk_bytes:
            self._seal(index, buffer)

    def _load_dirty(self, index: int) -> bytearray:
        if (buffer := self._dirty.get(index)) is None:
            chunk = self._chunk(index)
            buffer = bytearray(self._plain(index, chunk) if chunk.length else b"")
            self._dirty[index] = buffer
        return buffer

    def _seal_dirty(self) -> None:
        for index in sorted(self._dirty):
            self._seal(index, self._dirty[index])

    def _cut(self, size: int) -> None:
        step = self._inode.chunk_bytes
        keep, rest = divmod(size, step)
        if rest:
            if keep in self._dirty or self._chunk(keep).length > rest:
                del self._load_dirty(keep)[rest:]
            keep += 1
        for index in [index for index in self._dirty if index >= keep]:
            del self._dirty[index]
        self._flush_groups()
        start, end = chunks_key(self._ino, keep // CHUNKS_PER_RECORD), range_of(chunks_key(self._ino, 0))[1]
        for key, record in self._storage.tree.walk(start, end):
            group = int.from_bytes(key[-6:], "big")
            for position in range(len(record) // CHUNK_RECORD_BYTES):
                index = group * CHUNKS_PER_RECORD + position
                if index >= keep and (chunk := decode_chunk(record, position)).length:
                    self._release(chunk.slot)
                    self._set_chunk(index, NO_CHUNK)
                    self._storage.clean.pop((self._ino, index), None)

    def _context(self, index: int) -> bytes:
        return self._ino.to_bytes(8, "little") + index.to_bytes(8, "little")

    # -- records of chunks

    def _group(self, number: int) -> bytearray:
        if (group := self._groups.get(number)) is None:
            if len(self._groups) >= _GROUPS:
                self._flush_groups()
                self._groups.clear()
            group = bytearray(self._storage.tree.get(chunks_key(self._ino, number)) or b"")
            self._groups[number] = group
        return group

    def _chunk(self, index: int) -> Chunk:
        number, position = divmod(index, CHUNKS_PER_RECORD)
        return decode_chunk(self._group(number), position)

    def _set_chunk(self, index: int, chunk: Chunk) -> None:
        number, position = divmod(index, CHUNKS_PER_RECORD)
        group = self._group(number)
        start = position * CHUNK_RECORD_BYTES
        if len(group) < start:
            group.extend(bytes(start - len(group)))
        group[start : start + CHUNK_RECORD_BYTES] = encode_chunk(chunk)
        self._dirty_groups.add(number)

    def _flush_groups(self) -> None:
        for number in self._dirty_groups:
            record = bytes(self._groups[number])
            if any(record):
                self._storage.tree.put(chunks_key(self._ino, number), record)
            else:
                self._storage.tree.delete(chunks_key(self._ino, number))
        self._dirty_groups.clear()

    # -- slots

    def _allocate(self) -> int:
        inode = self._inode
        if not inode.slots:
            self._create_backing()
        if not self._pool and inode.free_records:
            inode.free_records -= 1
            key = slots_key(self._ino, inode.free_records)
            self._pool = sorted(decode_slots(self._storage.tree.get(key) or b""), reverse=True)
            self._storage.tree.delete(key)
        if self._pool:
            slot = self._pool.pop()
        else:
            slot = inode.slots
            inode.slots += 1
        self._fresh.add(slot)
        return slot

    def _release(self, slot: int) -> None:
        if slot in self._fresh:
            self._fresh.discard(slot)
            self._pool.append(slot)
        else:
            self._freed.append(slot)

    def _create_backing(self) -> None:
        wanted = _SUFFIX.sub(b"", self._inode.backing)
        name = wanted.rpartition(b"/")[2]
        if name in {b"", b".", b".."} or len(wanted) > MAX_BACKING_BYTES or len(name) > _MAX_OWN_NAME:
            wanted = short_backing(self._ino)
        try:
            self._inode.backing = self._storage.backing.create(wanted)
        except NotADirectoryError:
            # A file stands where a directory has to be: that of another file, or of one that is gone and that the
            # confirmed state still needs. In the root of the volume nothing has to be made first.
            self._inode.backing = self._storage.backing.create(short_backing(self._ino).replace(b"/", b"-"))
        self._storage.unconfirmed.add(self._inode.backing)
