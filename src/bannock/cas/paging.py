"""Walking through a whole table in pages, by its primary key, so that not all of it is in memory at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, tuple_

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Table

__all__ = ["PAGE_ROWS", "pages"]

#: Rows that are in memory at once.
PAGE_ROWS: Final = 200


def pages(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """Give the rows of a table in the order of its primary key, by the names of their columns."""
    key = list(table.primary_key.columns)
    query = select(table).order_by(*key).limit(PAGE_ROWS)
    while page := [dict(row) for row in connection.execute(query).mappings()]:
        yield page
        query = select(table).where(tuple_(*key) > tuple_(*(page[-1][column.name] for column in key)))
        query = query.order_by(*key).limit(PAGE_ROWS)
