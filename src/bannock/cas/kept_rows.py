"""Tables that keep one sealed value under names: what all of them have in common.

Used by the thread that opened the transaction.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from bannock.cas.paging import pages
from bannock.cas.sealing import row_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Select, Table

    from bannock.cas.sealing import Sealer
    from bannock.values import Secret

__all__ = ["KeptRows"]


class KeptRows:
    """The rows of such tables, in one consistent state of the store."""

    def __init__(self, connection: Connection, sealer: Sealer, index_key: Secret) -> None:
        self._connection = connection
        self._sealer = sealer
        self._index_key = index_key
        self._rows: dict[tuple[str, ...], bytes] = {}

    def kept(self, table: Table, *names: str) -> bytes | None:
        """Give what a table keeps under names; it has one column for them, and one for what is sealed."""
        row = self._row(table.name, *names)
        sealed = self._connection.execute(_one_row(table), {"row": row}).scalar()
        return None if sealed is None else self._sealer.open(table.name, row, sealed)

    def every(self, table: Table) -> Iterator[bytes]:
        """Give all that a table keeps, in no order."""
        (column,) = table.primary_key.columns
        for page in pages(self._connection, table):
            for row in page:
                yield self._sealer.open(table.name, bytes(row[column.name]), bytes(row["sealed"]))

    def _row(self, *names: str) -> bytes:
        # What is read is written next, as often as not.
        row = self._rows.get(names)
        if row is None:
            row = self._rows[names] = row_index(self._index_key, *names)
        return row


@functools.cache
def _one_row(table: Table) -> Select[bytes]:
    (column,) = table.primary_key.columns
    return select(table.c.sealed).where(column == bindparam("row"))
