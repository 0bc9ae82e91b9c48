"""The audit log in the database: the newest entry's place, and all entries or checkpoints alone.

Used by the thread that opened the transaction, inside of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy import insert, select, update

from bannock.cas import schema
from bannock.cas.audit.entry import EMPTY, ChainHead, Transaction
from bannock.errors import IntegrityError
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from bannock.cas.sealing import Sealer

__all__ = ["CHECKPOINTS_MAX", "CHECKPOINT_EVERY", "AuditRows", "Dropped"]

#: An entry whose number is a multiple of it is a checkpoint.
CHECKPOINT_EVERY: Final = 250
#: Checkpoints that are given at once.
CHECKPOINTS_MAX: Final = 100

_HEAD: Final = 1
_DROPPED: Final = 2
_ROWS: Final = {_HEAD: b"head", _DROPPED: b"dropped"}
_CHECKPOINT: Final = b'{"checkpoint":'
#: Rows that are fetched at once.
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Entries that the sink does not have, because it took none: how many, the first and the last."""

    count: int = 0
    first: int = 0
    last: int = 0

    def with_entry(self, sequence: int) -> Dropped:
        """Count one more."""
        return Dropped(count=self.count + 1, first=self.first or sequence, last=sequence)

    def to_bytes(self) -> bytes:
        """Serialise."""
        return canonical_json({"count": self.count, "first": self.first, "last": self.last})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse what :meth:`to_bytes` gives."""
        return cls(**json.loads(data))


class AuditRows:
    """What the database has of the audit log."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer

    def head(self) -> ChainHead:
        """Give the place of the newest entry."""
        value = self._single(_HEAD)
        return EMPTY if value is None else ChainHead.from_bytes(value)

    def dropped(self) -> Dropped:
        """Give what the sink has to be told that it does not have."""
        value = self._single(_DROPPED)
        return Dropped() if value is None else Dropped.from_bytes(value)

    def entries(self, first: int = 1, last: int | None = None) -> Iterator[Transaction]:
        """Give what there is of the log in the order of its rows, not verified, but for mere checkpoints."""
        table = schema.audit
        query = select(table.c.sequence, table.c.sealed).where(table.c.sequence >= first).order_by(table.c.sequence)
        if last is not None:
            query = query.where(table.c.sequence <= last)
        for sequence, sealed in self._connection.execute(query).yield_per(_PAGE):
            value = self._sealer.open(table.name, _row(sequence), sealed)
            if not value.startswith(_CHECKPOINT):
                yield Transaction.from_stored(value)

    def checkpoints(self, first: int, last: int) -> list[ChainHead]:
        """Give places that the log has been at, within a range of numbers: the newest ones, in their order.

        The end of the range is among them if it is known, so that the last entry of a file that was rotated is.
        """
        table = schema.audit
        start = last - last % CHECKPOINT_EVERY
        wanted = [last, *range(start, max(first, 1) - 1, -CHECKPOINT_EVERY)][: CHECKPOINTS_MAX + 1]
        query = select(table.c.sequence, table.c.sealed).where(table.c.sequence.in_(wanted))
        return [
            self._place(sequence, sealed)
            for sequence, sealed in self._connection.execute(
                query.order_by(table.c.sequence.desc()).limit(CHECKPOINTS_MAX)
            )
        ][::-1]

    def put_head(self, head: ChainHead) -> None:
        """Set the place of the newest entry."""
        self._put_single(_HEAD, head.to_bytes())

    def put_dropped(self, dropped: Dropped) -> None:
        """Remember what the sink does not have."""
        self._put_single(_DROPPED, dropped.to_bytes())

    def put_entry(self, entry: Transaction) -> None:
        """Add an entry."""
        self._insert(entry.sequence, entry.to_line())

    def put_checkpoint(self, head: ChainHead) -> None:
        """Add the place of an entry, without what it says; nothing if it is there."""
        table = schema.audit
        if self._connection.execute(select(table.c.sequence).where(table.c.sequence == head.sequence)).first() is None:
            self._insert(head.sequence, canonical_json({"checkpoint": head.link.hex()}))

    def _insert(self, sequence: int, value: bytes) -> None:
        sealed = self._sealer.seal(schema.audit.name, _row(sequence), value)
        self._connection.execute(insert(schema.audit).values(sequence=sequence, sealed=sealed))

    def _place(self, sequence: int, sealed: bytes) -> ChainHead:
        value = self._sealer.open(schema.audit.name, _row(sequence), sealed)
        if value.startswith(_CHECKPOINT):
            return ChainHead(sequence=sequence, link=bytes.fromhex(json.loads(value)["checkpoint"]))
        entry = Transaction.from_stored(value)
        if entry.sequence != sequence:
            raise IntegrityError(f"audit entry {sequence} in the store is not the one that its row says")
        return entry.head

    def _single(self, number: int) -> bytes | None:
        table = schema.audit_head
        sealed = self._connection.execute(select(table.c.sealed).where(table.c.id == number)).scalar()
        return None if sealed is None else self._sealer.open(table.name, _ROWS[number], sealed)

    def _put_single(self, number: int, value: bytes) -> None:
        table = schema.audit_head
        sealed = self._sealer.seal(table.name, _ROWS[number], value)
        changed = self._connection.execute(update(table).where(table.c.id == number).values(sealed=sealed))
        if not changed.rowcount:
            self._connection.execute(insert(table).values(id=number, sealed=sealed))


def _row(sequence: int) -> bytes:
    return sequence.to_bytes(8, "big")
