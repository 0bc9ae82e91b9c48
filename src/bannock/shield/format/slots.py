"""Where the chunks of a file are: slots of its ciphertext file, or of a scratch file that never is part of a state.

A slot that the confirmed state needs is never written over: what is given up is free once the next state is confirmed.
Not thread-safe.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import IntegrityError
from bannock.shield.format.backing import BackingFile
from bannock.shield.format.records import (
    MAX_BACKING_BYTES,
    SLOTS_PER_RECORD,
    decode_slots,
    encode_slots,
    range_of,
    short_backing,
    slots_key,
)

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.shield.format.records import Inode
    from bannock.shield.format.storage import Storage

__all__ = ["FileSlots", "Scratch", "ScratchFile", "ScratchSlots", "Slots"]

#: Slots from here on are in the scratch file; no ciphertext file has as many.
_SCRATCH: Final = 1 << 37
#: Leaves room for a suffix within the 255 bytes that a name may have.
_MAX_OWN_NAME: Final = 240
_SUFFIX: Final = re.compile(rb"~\d+$")


class Slots(Protocol):
    """Allocates slots of one file, and says where they are."""

    def allocate(self) -> int:
        """Return a slot that no state needs."""

    def release(self, slot: int) -> None:
        """Give up a slot of the state in memory."""

    def locate(self, slot: int) -> tuple[BackingFile, int]:
        """Return the file that a slot is in, and the number that it has there."""

    def wrote(self, slot: int) -> None:
        """Note that a slot was written to."""

    def flush(self) -> None:
        """Put what is free into the tree."""

    def confirmed(self) -> None:
        """Learn that the flushed state is the confirmed one."""

    def clear(self) -> None:
        """Give up every slot."""


class FileSlots:
    """Slots of the file's own ciphertext file."""

    def __init__(self, ino: int, inode: Inode, storage: Storage) -> None:
        self._ino = ino
        self._inode = inode
        self._storage = storage
        self._pool: list[int] = []
        self._freed: list[int] = []
        self._fresh: set[int] = set()
        #: Put into the tree as free by a commit that is not confirmed.
        self._guarded: set[int] = set()

    def allocate(self) -> int:
        """Return a slot that no state needs (:class:`Slots`)."""
        inode = self._inode
        if not inode.slots:
            self._create_backing()
        while not self._pool and inode.free_records and self._take_record():
            pass
        if self._pool:
            slot = self._pool.pop()
        else:
            slot = inode.slots
            inode.slots += 1
        self._fresh.add(slot)
        return slot

    def release(self, slot: int) -> None:
        """Give up a slot (:class:`Slots`)."""
        if slot in self._fresh:
            self._fresh.discard(slot)
            self._pool.append(slot)
        else:
            self._freed.append(slot)

    def locate(self, slot: int) -> tuple[BackingFile, int]:
        """Return the file that a slot is in (:class:`Slots`)."""
        return self._storage.backing.open(self._inode.backing), slot

    def wrote(self, _: int) -> None:
        """Note that a slot was written to (:class:`Slots`)."""
        self._storage.backing.written(self._inode.backing)

    def flush(self) -> None:
        """Put what is free into the tree (:class:`Slots`)."""
        self._guarded.update(self._freed)
        free, self._pool, self._freed = self._freed + self._pool, [], []
        for start in range(0, len(free), SLOTS_PER_RECORD):
            part = encode_slots(free[start : start + SLOTS_PER_RECORD])
            self._storage.tree.put(slots_key(self._ino, self._inode.free_records), part)
            self._inode.free_records += 1

    def confirmed(self) -> None:
        """Learn that the flushed state is the confirmed one (:class:`Slots`)."""
        self._fresh.clear()
        self._guarded.clear()

    def clear(self) -> None:
        """Give the ciphertext file up as a whole (:class:`Slots`)."""
        if self._inode.free_records:
            for found, _ in self._storage.tree.walk(*range_of(slots_key(self._ino, 0))):
                self._storage.tree.delete(found)
        if self._inode.slots:
            self._storage.discard(self._inode.backing)
        self._pool, self._freed = [], []
        self._fresh.clear()
        self._guarded.clear()
        self._inode.slots = self._inode.free_records = 0

    def _take_record(self) -> bool:
        """Take free slots out of the tree; those that the confirmed state needs wait on. Say whether there are any."""
        inode = self._inode
        key = slots_key(self._ino, inode.free_records - 1)
        found = set(decode_slots(self._storage.tree.get(key) or b""))
        if found and max(found) >= inode.slots:
            raise IntegrityError("a list of free slots names one that the file does not have")
        self._storage.tree.delete(key)
        inode.free_records -= 1
        self._pool = sorted(found - self._guarded, reverse=True)
        self._freed += sorted(found & self._guarded)
        return not found.isdisjoint(self._guarded)

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


class Scratch:
    """Files without names for chunks that will not become part of a state, one for each size of chunks.

    Args:
        directory: where they are made; what is in them is as well sealed as any ciphertext.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[int, ScratchFile] = {}

    def file_for(self, chunk_bytes: int) -> ScratchFile:
        """Return the file for chunks of a size."""
        if (file := self._files.get(chunk_bytes)) is None:
            file = self._files[chunk_bytes] = ScratchFile(self._directory)
        return file


class ScratchFile:
    """A file without a name, and the places in it."""

    def __init__(self, directory: Path) -> None:
        descriptor, path = tempfile.mkstemp(dir=directory)
        os.unlink(path)  # noqa: PTH108 # mkstemp gives text
        self.file = BackingFile(descriptor)
        self._free: list[int] = []
        self._next = 0

    def allocate(self) -> int:
        """Return a free place."""
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def release(self, place: int) -> None:
        """Give a place up."""
        self._free.append(place)


class ScratchSlots:
    """Slots of a scratch file over those of the ciphertext file, which is read and never written to."""

    def __init__(self, inode: Inode, storage: Storage, scratch: Scratch) -> None:
        self._inode = inode
        self._storage = storage
        self._scratch = scratch.file_for(inode.chunk_bytes)
        self._own: set[int] = set()

    def allocate(self) -> int:
        """Return a slot of the scratch file (:class:`Slots`)."""
        slot = _SCRATCH + self._scratch.allocate()
        self._own.add(slot)
        return slot

    def release(self, slot: int) -> None:
        """Give up a slot (:class:`Slots`)."""
        if slot in self._own:
            self._own.discard(slot)
            self._scratch.release(slot - _SCRATCH)

    def locate(self, slot: int) -> tuple[BackingFile, int]:
        """Return the file that a slot is in (:class:`Slots`)."""
        if slot >= _SCRATCH:
            return self._scratch.file, slot - _SCRATCH
        return self._storage.backing.open(self._inode.backing), slot

    def wrote(self, slot: int) -> None:
        """Nothing has to be made durable (:class:`Slots`)."""

    def flush(self) -> None:
        """Nothing becomes part of a state (:class:`Slots`)."""

    def confirmed(self) -> None:
        """Nothing becomes part of a state (:class:`Slots`)."""

    def clear(self) -> None:
        """Give up every slot (:class:`Slots`)."""
        for slot in self._own:
            self._scratch.release(slot - _SCRATCH)
        self._own.clear()
