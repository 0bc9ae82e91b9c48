"""Freshness: a database that is older than one that was seen before is noticed.

Thread-safe. Every transaction that changes something raises a number in the database, and then the one in a counter
file outside of it. Within a process no state is read that is older than the newest one that it has seen, whatever
happened to the database below it: a replica that took over without the last changes, or a copy that was put back.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from bannock.cas.schema import counters
from bannock.cas.upsert import upsert
from bannock.errors import IntegrityError, RollbackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from bannock.cas.counter_file import CounterFile
    from bannock.cas.sealing import Sealer

__all__ = ["Accepted", "Freshness"]

_CHANGES: Final = "changes"
_NUMBER_BYTES: Final = 8
_NUMBER: Final = select(counters.c.sealed).where(counters.c.name == bindparam("name"))
_HINT: Final = (
    "if nobody of you has put an older copy in its place, somebody else has: find the newest one. "
    "To go on with the one that is there, and lose what came after it, start once with --accept-rollback"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A database that was taken although it is not known to be the newest.

    Attributes:
        found: the number of its last change.
        known: that of the last change that was known; None if it is not known any more.
    """

    found: int
    known: int | None


class Freshness:
    """What is known of the newest state of one database."""

    def __init__(self, file: CounterFile, name: str) -> None:
        """Know nothing yet.

        Args:
            file: has the number outside of the database.
            name: of the database, for messages.
        """
        self._file = file
        self._name = name
        self._highest = 0
        self._lock = threading.Lock()

    @property
    def highest(self) -> int:
        """The number of the newest change that was seen."""
        return self._highest

    @property
    def is_first_start(self) -> bool:
        """Whether there is no counter file yet."""
        return self._file.read() is None

    def start(
        self, connection: Connection, sealer: Sealer, *, is_new: bool, accept: bool, vouched: int | None = None
    ) -> Accepted | None:
        """Compare database and counter file at the start, within a transaction that changes nothing else.

        Args:
            connection: on which the transaction is.
            sealer: seals the number in the database.
            is_new: whether the database has just been made.
            accept: whether an older one is taken too.
            vouched: how many changes another replica has seen, where there is no counter file yet; None for nobody.

        Returns:
            What was accepted, if something had to be.

        Raises:
            RollbackError: the database is older than the counter file says, or the counter file is gone.
            IntegrityError: the counter file is none of this CAS.
        """
        found = self._read(connection, sealer)
        known: int | None = None
        try:
            known = self._file.read()
            if known is None and (is_new or not found):
                # Also a database from before there were counters.
                self._file.raise_to(0)
                return None
            if known is None and vouched is not None:
                self._require(found, vouched)
                self._file.raise_to(found)
                return None
            if known is None:
                raise RollbackError(
                    f"{self._name} has a counter file, and {self._file.path} is not there: "
                    "whether the database is the newest cannot be told",
                    hint=_HINT,
                )
            self._require(found, known)
        except IntegrityError:
            if not accept:
                raise
        else:
            return None
        newest = max(found, known or 0)
        self._write(connection, sealer, newest)
        self._file.raise_to(newest, anyway=True)
        return Accepted(found=found, known=known)

    def require(self, connection: Connection, sealer: Sealer, floor: int) -> int:
        """Refuse a state that is older than one that was known before it was read, and give its number.

        Args:
            connection: on which the state is read.
            sealer: opens the number in the database.
            floor: :attr:`highest` before the transaction began.

        Raises:
            RollbackError: it is older.
            IntegrityError: the number was sealed with another key, or changed.
        """
        found = self._read(connection, sealer)
        self._require(found, floor)
        self._saw(found)
        return found

    def advance(self, connection: Connection, sealer: Sealer, found: int) -> Callable[[], None]:
        """Count a transaction that is about to be committed; what is returned is to be done once it is.

        Args:
            connection: on which the transaction is.
            sealer: seals the number in the database.
            found: the number there now.
        """
        number = found + 1
        self._write(connection, sealer, number)

        def committed() -> None:
            self._saw(number)
            self._file.raise_to(number)

        return committed

    def close(self) -> None:
        """Make the counter file durable."""
        self._file.close()

    def _saw(self, number: int) -> None:
        with self._lock:
            self._highest = max(self._highest, number)

    def _require(self, found: int, known: int) -> None:
        if found < known:
            raise RollbackError(
                f"{self._name} is older than it was: its last change is number {found}, "
                f"expected {known} or a later one",
                hint=_HINT,
            )

    def _read(self, connection: Connection, sealer: Sealer) -> int:
        sealed = connection.execute(_NUMBER, {"name": _CHANGES}).scalar()
        if sealed is None:
            return 0
        return int.from_bytes(sealer.open(counters.name, _CHANGES.encode(), sealed), "big")

    def _write(self, connection: Connection, sealer: Sealer, number: int) -> None:
        sealed = sealer.seal(counters.name, _CHANGES.encode(), number.to_bytes(_NUMBER_BYTES, "big"))
        upsert(connection, counters, {"name": _CHANGES}, {"sealed": sealed})
