"""All sessions that the database has: which versions are the newest, and each of them by its row.

Used by the thread that opened the transaction, inside of it. Rows are HMACs of names, so what a session is called is
known once its version is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select

from bannock.cas.records import StoredSession
from bannock.cas.schema import sessions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bannock.cas.sealing import Sealer

__all__ = ["SessionRows", "version_row"]

_NEWEST: Final = select(sessions.c.session, func.max(sessions.c.generation)).group_by(sessions.c.session)
_SEALED: Final = select(sessions.c.sealed).where(
    sessions.c.session == bindparam("row"), sessions.c.generation == bindparam("generation")
)


def version_row(row: bytes, generation: int) -> bytes:
    """Give what a version of a session is sealed for."""
    return row + generation.to_bytes(8, "big")


class SessionRows:
    """The rows of all sessions, in one consistent state of the store."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer

    def newest(self) -> list[tuple[bytes, int]]:
        """Give row and generation of the newest version of every session; nothing is opened for that."""
        return [(bytes(row), int(generation)) for row, generation in self._connection.execute(_NEWEST)]

    def stored(self, row: bytes, generation: int) -> StoredSession | None:
        """Give a version by its row."""
        sealed = self._connection.execute(_SEALED, {"row": row, "generation": generation}).scalar()
        if sealed is None:
            return None
        return StoredSession.from_json(self._sealer.open(sessions.name, version_row(row, generation), sealed))
