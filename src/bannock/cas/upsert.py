"""Writing a row whether it is there or not, in the words of each database."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Table

__all__ = ["upsert", "upsert_all"]


def upsert(connection: Connection, table: Table, key: Mapping[str, object], values: Mapping[str, object]) -> None:
    """Write a row.

    Args:
        connection: on which a transaction is.
        table: of the row.
        key: the columns of its primary key.
        values: the other columns.
    """
    upsert_all(connection, table, tuple(key), [{**key, **values}])


def upsert_all(
    connection: Connection, table: Table, key: tuple[str, ...], rows: Sequence[Mapping[str, object]]
) -> None:
    """Write rows with all their columns at once.

    Args:
        connection: on which a transaction is.
        table: of the rows.
        key: names of the columns of the primary key.
        rows: none twice.
    """
    if rows:
        connection.execute(_statement(connection.dialect.name, table, key), list(rows))


@functools.cache
def _statement(dialect: str, table: Table, key: tuple[str, ...]) -> Any:
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    changed = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in key}
    return insert.on_conflict_do_update(index_elements=list(key), set_=changed)
