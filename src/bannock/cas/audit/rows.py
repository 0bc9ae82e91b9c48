"""The audit log in the database: the newest entry's place, and all entries or checkpoints alone.

Used by the thread that opened the transaction, inside of it.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy import bindparam, insert, select

from bannock.cas.audit.config import AuditLogConfig
from bannock.cas.audit.entry import EMPTY, ChainHead, Transaction
from bannock.cas.schema import audit, audit_head
from bannock.cas.upsert import upsert
from bannock.errors import IntegrityError
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from bannock.cas.sealing import Sealer

__all__ = ["CHECKPOINTS_MAX", "CHECKPOINT_EVERY", "AuditRows", "AuditState", "Dropped"]

#: An entry whose number is a multiple of it is a checkpoint.
CHECKPOINT_EVERY: Final = 250
#: Checkpoints that are given at once.
CHECKPOINTS_MAX: Final = 100

_HEAD: Final = 1
_DROPPED: Final = 2
_CONFIG: Final = 3
_ROWS: Final[dict[int, bytes]] = audit_head.info["rows"]
_CHECKPOINT: Final = b'{"checkpoint":'
#: Rows that are fetched at once.
_PAGE: Final = 500

_SINGLE: Final = select(audit_head.c.sealed).where(audit_head.c.id == bindparam("id"))
_STATE: Final = select(audit_head.c.id, audit_head.c.sealed)
_IS_THERE: Final = select(audit.c.sequence).where(audit.c.sequence == bindparam("number"))
_ADD: Final = insert(audit)
_FROM: Final = (
    select(audit.c.sequence, audit.c.sealed)
    .where(audit.c.sequence >= bindparam("first"), audit.c.sequence <= bindparam("last"))
    .order_by(audit.c.sequence)
)
_LAST: Final = 2**63 - 1


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditState:
    """Where the log is, and how all processes of the CAS write it; None before one has said so."""

    head: ChainHead = EMPTY
    dropped: Dropped = Dropped()
    config: AuditLogConfig | None = None


class AuditRows:
    """What the database has of the audit log."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer

    def head(self) -> ChainHead:
        """Give the place of the newest entry."""
        sealed = self._connection.execute(_SINGLE, {"id": _HEAD}).scalar()
        return EMPTY if sealed is None else ChainHead.from_bytes(self._open(_HEAD, sealed))

    def state(self) -> AuditState:
        """Give all that an entry which is to be written depends on."""
        found = {number: self._open(number, sealed) for number, sealed in self._connection.execute(_STATE)}
        return AuditState(
            head=ChainHead.from_bytes(found[_HEAD]) if _HEAD in found else EMPTY,
            dropped=Dropped.from_bytes(found[_DROPPED]) if _DROPPED in found else Dropped(),
            config=_config(found[_CONFIG]) if _CONFIG in found else None,
        )

    def entries(self, first: int = 1, last: int | None = None) -> Iterator[Transaction]:
        """Give what there is of the log in the order of its rows, not verified, but for mere checkpoints."""
        wanted = {"first": first, "last": _LAST if last is None else last}
        for sequence, sealed in self._connection.execute(_FROM, wanted).yield_per(_PAGE):
            value = self._sealer.open(audit.name, _row(sequence), sealed)
            if not value.startswith(_CHECKPOINT):
                yield Transaction.from_stored(value)

    def checkpoints(self, first: int, last: int) -> list[ChainHead]:
        """Give places that the log has been at, within a range of numbers: the newest ones, in their order.

        The end of the range is among them if it is known, so that the last entry of a file that was rotated is.
        """
        start = last - last % CHECKPOINT_EVERY
        wanted = [last, *range(start, max(first, 1) - 1, -CHECKPOINT_EVERY)][: CHECKPOINTS_MAX + 1]
        query = select(audit.c.sequence, audit.c.sealed).where(audit.c.sequence.in_(wanted))
        return [
            self._place(sequence, sealed)
            for sequence, sealed in self._connection.execute(
                query.order_by(audit.c.sequence.desc()).limit(CHECKPOINTS_MAX)
            )
        ][::-1]

    def put_head(self, head: ChainHead) -> None:
        """Set the place of the newest entry."""
        self._put(_HEAD, head.to_bytes())

    def put_dropped(self, dropped: Dropped) -> None:
        """Remember what the sink does not have."""
        self._put(_DROPPED, dropped.to_bytes())

    def put_config(self, config: AuditLogConfig) -> None:
        """Tell all processes of the CAS how the log is written from now on."""
        self._put(_CONFIG, canonical_json(config.to_mapping()))

    def put_entry(self, entry: Transaction) -> None:
        """Add an entry."""
        self._insert(entry.sequence, entry.to_line())

    def put_checkpoint(self, head: ChainHead) -> None:
        """Add the place of an entry, without what it says; nothing if it is there."""
        if self._connection.execute(_IS_THERE, {"number": head.sequence}).first() is None:
            self._insert(head.sequence, canonical_json({"checkpoint": head.link.hex()}))

    def _insert(self, sequence: int, value: bytes) -> None:
        sealed = self._sealer.seal(audit.name, _row(sequence), value)
        self._connection.execute(_ADD, {"sequence": sequence, "sealed": sealed})

    def _place(self, sequence: int, sealed: bytes) -> ChainHead:
        value = self._sealer.open(audit.name, _row(sequence), sealed)
        if value.startswith(_CHECKPOINT):
            return ChainHead(sequence=sequence, link=bytes.fromhex(json.loads(value)["checkpoint"]))
        entry = Transaction.from_stored(value)
        if entry.sequence != sequence:
            raise IntegrityError(f"audit entry {sequence} in the store is not the one that its row says")
        return entry.head

    def _open(self, number: int, sealed: bytes) -> bytes:
        return self._sealer.open(audit_head.name, _ROWS[number], sealed)

    def _put(self, number: int, value: bytes) -> None:
        sealed = self._sealer.seal(audit_head.name, _ROWS[number], value)
        upsert(self._connection, audit_head, {"id": number}, {"sealed": sealed})


@functools.lru_cache(maxsize=8)
def _config(value: bytes) -> AuditLogConfig:
    return AuditLogConfig.from_mapping(json.loads(value))


def _row(sequence: int) -> bytes:
    return sequence.to_bytes(8, "big")
