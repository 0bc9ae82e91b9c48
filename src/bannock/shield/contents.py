"""Reading every chunk of every file of a state, damage or not: the second half of a check.

Goes through the tree once more, in the order of inodes, and keeps one file's records at a time. Not thread-safe.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import IntegrityError
from bannock.shield.format.reading import unseal_chunk
from bannock.shield.format.records import (
    CHUNK_RECORD_BYTES,
    CHUNKS_PER_RECORD,
    Chunk,
    Inode,
    Kind,
    chunks_key,
    decode_chunk,
    decode_slots,
    split_key,
)
from bannock.shield.format.salvage import Lost, salvage
from bannock.shield.format.storage import Storage
from bannock.shield.format.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bannock.shield.format.backing import Backing
    from bannock.shield.format.pages import Pager
    from bannock.shield.survey import Survey

__all__ = ["Contents", "Sink", "Verified"]

#: Slots of one file that are looked at for being used twice.
_SLOTS_MAX: Final = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A file, directory or symbolic link that was read.

    Attributes:
        ino: its number.
        inode: its record.
        ranges: first and last of its bytes that are lost, in order; empty if it is whole.
        reasons: why they are lost.
        target: of a symbolic link.
        defects: contradictions in its records.
    """

    ino: int
    inode: Inode
    ranges: tuple[tuple[int, int], ...]
    reasons: tuple[str, ...]
    target: bytes
    defects: tuple[str, ...]


class Sink(Protocol):
    """Takes what is read."""

    def begin(self, ino: int, inode: Inode) -> None:
        """Learn of the next inode."""

    def put(self, offset: int, data: bytes) -> None:
        """Take bytes of it that are authentic."""

    def end(self, verified: Verified) -> None:
        """Learn what it is as a whole."""


class Contents:
    """Reads the contents of a state.

    Args:
        pager: of the protection file.
        survey: what the state consists of.
        backings: path of a region → where its files are; others are not read.
        sink: takes what is authentic.
        observer: learns how many bytes were read since it was called last.
    """

    def __init__(
        self,
        pager: Pager,
        survey: Survey,
        backings: Mapping[str, Backing],
        sink: Sink,
        observer: Callable[[int], None],
    ) -> None:
        self._pager = pager
        self._survey = survey
        self._sink = sink
        self._observer = observer
        tree = Tree(pager, survey.state.root)
        self._storages = {
            path: Storage(tree, region, root, backings[path], os.urandom, scratch=None, adopting=True)
            for path, (region, root) in survey.regions.items()
            if path in backings
        }

    def verify(self) -> Iterator[Verified]:
        """Read everything, and yield each inode that could be found.

        Raises:
            IntegrityError: the tree has more pages than its file.
        """
        reading: _Reading | None = None
        for found in salvage(self._pager, self._survey.state):
            if isinstance(found, Lost):
                continue
            key, value = found
            try:
                ino, kind, rest = split_key(key)
                if kind == Kind.INODE:
                    if reading is not None:
                        yield reading.end()
                    reading = None
                    reading = self._begin(ino, Inode.decode(value))
                elif reading is not None and reading.ino == ino:
                    reading.take(kind, rest, value)
            except IntegrityError:
                # The survey has told of it.
                continue
        if reading is not None:
            yield reading.end()

    def _begin(self, ino: int, inode: Inode) -> _Reading:
        region = self._survey.region_of(ino)
        storage = None if region is None else self._storages.get(region.path)
        return _Reading(ino, inode, storage, self._survey, self._sink, self._observer)


class _Reading:
    """One inode while its entries come by."""

    def __init__(
        self,
        ino: int,
        inode: Inode,
        storage: Storage | None,
        survey: Survey,
        sink: Sink,
        observer: Callable[[int], None],
    ) -> None:
        self.ino = ino
        self._inode = inode
        self._storage = storage
        self._survey = survey
        self._sink = sink
        self._observer = observer
        self._sealer = None if storage is None else storage.sealer(inode.key)
        self._ranges: list[tuple[int, int]] = []
        self._reasons: dict[str, None] = {}
        self._target = b""
        self._used: set[int] = set()
        self._defects: list[str] = []
        sink.begin(ino, inode)

    def take(self, kind: int, rest: bytes, value: bytes) -> None:
        """Take an entry of the inode."""
        match kind:
            case Kind.CHUNKS:
                group = int.from_bytes(rest, "big")
                for position in range(len(value) // CHUNK_RECORD_BYTES):
                    index = group * CHUNKS_PER_RECORD + position
                    if (chunk := decode_chunk(value, position)).length:
                        self._read(index, chunk)
                        self._use(chunk.slot)
            case Kind.SLOTS:
                for slot in decode_slots(value):
                    self._use(slot)
            case Kind.LINK:
                self._target += value
            case _:
                pass

    def end(self) -> Verified:
        """Return what was found."""
        self._add_lost_groups()
        if stat.S_ISLNK(self._inode.mode) and len(self._target) != self._inode.size:
            self._damage(0, self._inode.size - 1, "the target of the link is not whole")
        verified = Verified(
            ino=self.ino,
            inode=self._inode,
            ranges=tuple(_joined(sorted(self._ranges))),
            reasons=tuple(self._reasons),
            target=self._target,
            defects=tuple(self._defects),
        )
        self._sink.end(verified)
        return verified

    def _read(self, index: int, chunk: Chunk) -> None:
        step = self._inode.chunk_bytes
        if self._storage is None or self._sealer is None:
            self._damage(index * step, index * step + chunk.length - 1, "it is not known which region it belongs to")
            return
        try:
            file = self._storage.backing.open(self._inode.backing)
            plain = unseal_chunk(self.ino, self._sealer, step, file, chunk.slot, index, chunk)
        except (IntegrityError, OSError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, IntegrityError) else error
            reason = f"it cannot be read: {cause.strerror}" if isinstance(cause, OSError) else str(cause)
            self._damage(index * step, index * step + chunk.length - 1, reason)
            return
        self._sink.put(index * step, bytes(plain))
        self._observer(chunk.length)

    def _use(self, slot: int) -> None:
        if self._inode.slots > _SLOTS_MAX:
            return
        if slot >= self._inode.slots:
            self._defects.append(f"slot {slot} is used, of {self._inode.slots}")
        elif slot in self._used:
            self._defects.append(f"slot {slot} is used twice, or free and used")
        self._used.add(slot)

    def _add_lost_groups(self) -> None:
        """Find the bytes whose records are on pages that are lost, or may be."""
        if not self._inode.is_file or not self._inode.size:
            return
        bytes_of_group = self._inode.chunk_bytes * CHUNKS_PER_RECORD
        last = (self._inode.size - 1) // bytes_of_group
        start, end = chunks_key(self.ino, 0), chunks_key(self.ino, last) + b"\0"
        for lost in self._survey.ranges.within(start, end):
            low = _group(max(lost.low, start))
            high = last if lost.high is None or lost.high >= end else _group(lost.high) - 1
            first = low * bytes_of_group
            final = min((high + 1) * bytes_of_group, self._inode.size) - 1
            if first <= final:
                self._damage(first, final, f"the records of these bytes were on page {lost.page}")

    def _damage(self, first: int, last: int, reason: str) -> None:
        self._ranges.append((first, last))
        self._reasons[reason] = None


def _group(key: bytes) -> int:
    """Return the group of chunks that a key is of, or the first one behind it."""
    rest = key[len(key) - 6 :] if len(key) == len(chunks_key(0, 0)) else b""
    return int.from_bytes(rest, "big")


def _joined(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield ranges with those that touch each other made one."""
    current: tuple[int, int] | None = None
    for first, last in ranges:
        if current is not None and first <= current[1] + 1:
            current = current[0], max(current[1], last)
        else:
            if current is not None:
                yield current
            current = first, last
    if current is not None:
        yield current
