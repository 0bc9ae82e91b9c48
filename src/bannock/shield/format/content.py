"""The bytes of one protected file: chunks that are sealed into free slots.

A chunk is never written over while the confirmed state needs it; its new version goes to another slot, and the old
slot is free once the next commit is confirmed. Not thread-safe, but for :meth:`ReadPlan.run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.shield.format.reading import ReadPlan
from bannock.shield.format.records import (
    CHUNK_RECORD_BYTES,
    CHUNKS_PER_RECORD,
    NO_CHUNK,
    Chunk,
    chunks_key,
    decode_chunk,
    encode_chunk,
    range_of,
)
from bannock.shield.format.seal import TAG_BYTES
from bannock.shield.format.slots import FileSlots, ScratchSlots

if TYPE_CHECKING:
    from bannock.shield.format.records import Inode
    from bannock.shield.format.seal import Sealer
    from bannock.shield.format.slots import Slots
    from bannock.shield.format.storage import Storage

__all__ = ["Content", "read_whole"]

#: Groups of chunk records kept decoded, per file.
_GROUPS: Final = 64
#: How far a sequential reader is kept ahead of, on the storage.
_AHEAD_BYTES: Final = 8 << 20
#: How much is sealed before it is written.
_BATCH_BYTES: Final = 1 << 20


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
        self._slots: Slots = (
            FileSlots(ino, inode, storage)
            if storage.scratch is None
            else ScratchSlots(inode, storage, storage.scratch)
        )
        self._made_sealer: Sealer | None = None
        self._next_read = self._fetched = 0
        self._dirty: dict[int, bytearray] = {}
        self._groups: dict[int, bytearray] = {}
        self._dirty_groups: set[int] = set()

    @property
    def _sealer(self) -> Sealer:
        # Made when it is needed: files are listed, renamed and removed without their keys. A cached_property has a
        # lock, which takes as long as making it.
        if self._made_sealer is None:
            self._made_sealer = self._storage.sealer(self._inode.key)
        return self._made_sealer

    def read(self, offset: int, size: int) -> bytearray:
        """Return the bytes from ``offset``; fewer than ``size`` at the end of the file.

        Raises:
            IntegrityError: a chunk is not what was written.
            OSError: the storage below fails.
        """
        return self.plan_read(offset, size).run()

    def plan_read(self, offset: int, size: int) -> ReadPlan:
        """Look up what a read needs; the plan may be run while other things are done to the file.

        Raises:
            IntegrityError: a record is damaged.
        """
        end = min(offset + size, self._inode.size)
        plan = ReadPlan(self._ino, self._sealer, self._inode.chunk_bytes, self._storage.clean, max(end - offset, 0))
        step = self._inode.chunk_bytes
        position = 0
        if offset == self._next_read:
            self._read_ahead(end)
        else:
            self._fetched = 0
        self._next_read = end
        while offset < end:
            index, low = divmod(offset, step)
            length = min(end - offset, step - low)
            if (dirty := self._dirty.get(index)) is not None:
                plan.fill(position, dirty[low : low + length])
            elif (chunk := self._chunk(index)).length > low:
                file, place = self._slots.locate(chunk.slot)
                plan.add(index, chunk, file, place, low, position, length)
            offset += length
            position += length
        return plan

    def _read_ahead(self, end: int) -> None:
        """Fetch what a sequential reader will ask for, as if chunks were side by side, as they mostly are."""
        if (
            end >= self._inode.size
            or end + _AHEAD_BYTES // 2 < self._fetched
            or not (chunk := self._chunk(end // self._inode.chunk_bytes)).length
        ):
            return
        file, place = self._slots.locate(chunk.slot)
        file.read_ahead(place * self._inode.chunk_bytes, _AHEAD_BYTES)
        self._fetched = end + _AHEAD_BYTES

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Put bytes at ``offset``, extending the file where they reach over its end."""
        view, step = memoryview(data), self._inode.chunk_bytes
        while view:
            index, low = divmod(offset, step)
            if not low and len(view) >= step:
                piece = view[: max(min(len(view), _BATCH_BYTES) // step, 1) * step]
                self._seal(index, piece)
            else:
                piece = view[: step - low]
                self._change(index, low, piece)
            view = view[len(piece) :]
            offset += len(piece)
            self._inode.size = max(self._inode.size, offset)
        self._storage.limit_dirty()

    def adopt(self, index: int, data: bytes | memoryview) -> None:
        """Make the record of a chunk whose text is in its place already; chunks come in order, from a file's first.

        For files that are authenticated only, and stay where they are.
        """
        slot = self._inode.slots
        self._inode.slots += 1
        sealed = memoryview(bytearray(len(data) + TAG_BYTES))
        nonce, tag = self._sealer.seal_into(data, self._context(index), sealed)
        self._set_chunk(index, Chunk(len(data), slot, nonce, tag))
        self._inode.size += len(data)

    def truncate(self, size: int) -> None:
        """Cut the file, or extend it by a hole."""
        if size == 0 and self._inode.size:
            self.clear()
        elif size < self._inode.size:
            self._cut(size)
        self._inode.size = size

    def punch(self, offset: int, size: int) -> None:
        """Let bytes read as zeros; whole chunks among them give up their slots."""
        end = min(offset + size, self._inode.size)
        step = self._inode.chunk_bytes
        while offset < end:
            index, low = divmod(offset, step)
            length = min(end - offset, step - low)
            if length == step or (low == 0 and offset + length == self._inode.size):
                self._drop_dirty(index)
                self._drop(index)
            elif index in self._dirty or self._chunk(index).length > low:
                self._change(index, low, memoryview(bytes(length)))
            offset += length

    def clear(self) -> None:
        """Forget every byte; the ciphertext file is given up as a whole."""
        tree = self._storage.tree
        for index in list(self._dirty):
            self._drop_dirty(index)
        self._groups.clear()
        self._dirty_groups.clear()
        groups = -(-self._inode.size // (self._inode.chunk_bytes * CHUNKS_PER_RECORD))
        if groups <= _GROUPS:
            for number in range(groups):
                tree.delete(chunks_key(self._ino, number))
        else:
            for found, _ in tree.walk(*range_of(chunks_key(self._ino, 0))):
                tree.delete(found)
        self._slots.clear()
        self._inode.size = 0

    def flush(self) -> None:
        """Seal what is in memory and put all records into the tree."""
        self.seal_dirty()
        self._flush_groups()
        self._slots.flush()

    def confirmed(self) -> None:
        """Learn that the state which :meth:`flush` was part of is the confirmed one."""
        self._slots.confirmed()

    def seal_dirty(self) -> None:
        """Seal the changed chunks that are in memory."""
        for index in sorted(self._dirty):
            self._seal(index, self._dirty[index])

    def used(self) -> int:
        """Return how many bytes of chunks the file has, holes left out."""
        sealed = sum(
            decode_chunk(record, position).length
            for _, record in self._storage.tree.walk(*range_of(chunks_key(self._ino, 0)))
            for position in range(len(record) // CHUNK_RECORD_BYTES)
        )
        return sealed + sum(map(len, self._dirty.values()))

    # -- chunks

    def _plain(self, index: int, chunk: Chunk) -> bytearray | bytes:
        if (plain := self._storage.clean.get(chunk.nonce)) is None:
            plan = ReadPlan(self._ino, self._sealer, self._inode.chunk_bytes, self._storage.clean, chunk.length)
            file, place = self._slots.locate(chunk.slot)
            plan.add(index, chunk, file, place, 0, 0, chunk.length)
            plain = plan.run()
        return plain

    def _seal(self, first: int, plain: bytearray | memoryview) -> None:
        """Write whole chunks, or the last one of a file, to free slots.

        Whatever goes wrong, what was known of a chunk before stays as it is, or is what is written now.
        """
        step, view = self._inode.chunk_bytes, memoryview(plain)
        chunks: list[Chunk] = []
        buffer = self._storage.buffer(len(view) + TAG_BYTES)
        noted = 0
        try:
            for at in range(0, len(view), step):
                piece = view[at : at + step]
                # The tag comes behind the ciphertext, where the next chunk's is put after it was noted.
                sealed = buffer[at : at + len(piece) + TAG_BYTES]
                nonce, tag = self._sealer.seal_into(piece, self._context(first + at // step), sealed)
                chunks.append(Chunk(len(piece), self._slots.allocate(), nonce, tag))
            for end in range(1, len(chunks) + 1):
                if end == len(chunks) or chunks[end].slot != chunks[end - 1].slot + 1:
                    self._store(chunks[noted], buffer[noted * step : min(end * step, len(view))])
                    while noted < end:
                        self._note(first + noted, chunks[noted])
                        noted += 1
        except BaseException:
            for chunk in chunks[noted:]:
                self._slots.release(chunk.slot)
            raise

    def _store(self, chunk: Chunk, sealed: memoryview) -> None:
        """Write chunks whose slots are side by side, from that of the first one on."""
        file, place = self._slots.locate(chunk.slot)
        file.pwrite(sealed, place * self._inode.chunk_bytes)
        self._slots.wrote(chunk.slot)

    def _note(self, index: int, chunk: Chunk) -> None:
        """Put a chunk in the place of another one, or leave that as it is if its record cannot be read."""
        old = self._chunk(index)
        self._set_chunk(index, chunk)
        self._drop_dirty(index)
        if old.length:
            self._slots.release(old.slot)
            self._storage.clean.drop(old.nonce)

    def _change(self, index: int, low: int, piece: memoryview) -> None:
        """Put a part of a chunk; a chunk that is full then is sealed, since it rarely changes again soon."""
        buffer = self._load_dirty(index)
        before = len(buffer)
        if before < low:
            buffer.extend(bytes(low - before))
        buffer[low : low + len(piece)] = piece
        self._storage.count_dirty(self, len(buffer) - before)
        if low + len(piece) == self._inode.chunk_bytes:
            self._seal(index, buffer)

    def _load_dirty(self, index: int) -> bytearray:
        if (buffer := self._dirty.get(index)) is None:
            chunk = self._chunk(index)
            buffer = bytearray(self._plain(index, chunk) if chunk.length else b"")
            self._dirty[index] = buffer
            self._storage.count_dirty(self, len(buffer))
        return buffer

    def _drop_dirty(self, index: int) -> None:
        if (buffer := self._dirty.pop(index, None)) is not None:
            self._storage.count_dirty(self, -len(buffer))

    def _drop(self, index: int) -> None:
        if (chunk := self._chunk(index)).length:
            self._slots.release(chunk.slot)
            self._set_chunk(index, NO_CHUNK)
            self._storage.clean.drop(chunk.nonce)

    def _cut(self, size: int) -> None:
        step = self._inode.chunk_bytes
        keep, rest = divmod(size, step)
        if rest:
            if keep in self._dirty or self._chunk(keep).length > rest:
                buffer = self._load_dirty(keep)
                self._storage.count_dirty(self, min(rest - len(buffer), 0))
                del buffer[rest:]
            keep += 1
        for index in [index for index in self._dirty if index >= keep]:
            self._drop_dirty(index)
        self._flush_groups()
        start, end = chunks_key(self._ino, keep // CHUNKS_PER_RECORD), range_of(chunks_key(self._ino, 0))[1]
        for key, record in self._storage.tree.walk(start, end):
            group = int.from_bytes(key[-6:], "big")
            for position in range(len(record) // CHUNK_RECORD_BYTES):
                if (index := group * CHUNKS_PER_RECORD + position) >= keep:
                    self._drop(index)

    def _context(self, index: int) -> bytes:
        return self._ino.to_bytes(8, "little") + index.to_bytes(8, "little")

    # -- records of chunks

    def _group(self, number: int) -> bytearray:
        if (group := self._groups.get(number)) is None:
            if len(self._groups) >= _GROUPS:
                self._flush_groups()
                self._groups.clear()
            record = self._storage.tree.get(chunks_key(self._ino, number)) if self._inode.size else None
            group = bytearray(record or b"")
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


def read_whole(ino: int, inode: Inode, storage: Storage) -> bytearray:
    """Return all bytes of a file that is not open, with as little as can be done for it.

    Raises:
        IntegrityError, OSError: as :meth:`Content.read`.
    """
    step, position = inode.chunk_bytes, 0
    plan = ReadPlan(ino, storage.sealer(inode.key), step, None, inode.size)
    for group in range(-(-inode.size // (step * CHUNKS_PER_RECORD))):
        record = storage.tree.get(chunks_key(ino, group)) or b""
        position = group * CHUNKS_PER_RECORD * step
        for index in range(len(record) // CHUNK_RECORD_BYTES):
            chunk, left = decode_chunk(record, index), inode.size - position
            if chunk.length and left > 0:
                file = storage.backing.open(inode.backing)
                plan.add(group * CHUNKS_PER_RECORD + index, chunk, file, chunk.slot, 0, position, min(step, left))
            position += step
    return plan.run()
