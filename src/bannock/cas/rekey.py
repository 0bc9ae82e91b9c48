"""Sealing everything anew: what is stored moves from one key to another, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import LargeBinary, bindparam, update

from bannock.cas.current import State
from bannock.cas.paging import pages
from bannock.cas.schema import METADATA, keys
from bannock.cas.sealing import Sealer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Table

    from bannock.cas.audit.entry import Event
    from bannock.cas.current import Current
    from bannock.cas.keyring import Keyring

__all__ = ["Resealed"]

_SEALED: Final = "sealed"
_NUMBER_BYTES: Final = 8


class Resealed:
    """What a transaction begins and ends with that may end with another key than it began with."""

    def __init__(self, current: Current, random: Callable[[int], bytes]) -> None:
        self._current = current
        self._random = random
        self._new: Sealer | None = None

    def begun(self, connection: Connection) -> State:
        """Look at the state that is to be changed."""
        return self._current.begun(connection)

    def finish(self, connection: Connection, found: State, events: Sequence[Event]) -> Callable[[], None]:
        """Write the audit entry and count the transaction, under the key in force from now on."""
        return self._current.finish(connection, State(sealer=self._new or found.sealer, number=found.number), events)

    def reseal(self, connection: Connection, found: State, keyring: Keyring) -> None:
        """Seal every row anew.

        Raises:
            IntegrityError: a row is not what was written; nothing is sealed anew then.
        """
        self._new = Sealer(keyring.data, self._random)
        for table in METADATA.sorted_tables:
            if table is not keys and _SEALED in table.columns:
                for page in pages(connection, table):
                    _reseal(connection, table, page, found.sealer, self._new)


def _reseal(connection: Connection, table: Table, page: Sequence[Mapping[str, Any]], old: Sealer, new: Sealer) -> None:
    columns = list(table.primary_key.columns)
    statement = update(table).values({_SEALED: bindparam("b_sealed", type_=LargeBinary())})
    for column in columns:
        statement = statement.where(column == bindparam(f"b_{column.name}", type_=column.type))
    changed = []
    for row in page:
        key = [row[column.name] for column in columns]
        place = _place(table, key)
        value = old.open(table.name, place, bytes(row[_SEALED]))
        told = {f"b_{column.name}": part for column, part in zip(columns, key, strict=True)}
        changed.append({**told, "b_sealed": new.seal(table.name, place, value)})
    connection.execute(statement, changed)


def _place(table: Table, key: Sequence[Any]) -> bytes:
    """Give what a row is sealed for: its primary key, unless the table has other names for its rows."""
    names: dict[int, bytes] = table.info.get("rows", {})
    if names:
        return names[key[0]]
    return b"".join(_bytes(part) for part in key)


def _bytes(part: bytes | int | str) -> bytes:
    match part:
        case int():
            return part.to_bytes(_NUMBER_BYTES, "big")
        case str():
            return part.encode("utf-8")
        case _:
            return bytes(part)
