"""What can be read and changed within one transaction of the store, in typed values.

Used by the thread that opened the transaction. Every value is sealed for its row; rows are found by HMACs of names.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, insert, select

from bannock.cas import schema
from bannock.cas.audit.entry import Event
from bannock.cas.audit.rows import AuditRows
from bannock.cas.kept_rows import KeptRows
from bannock.cas.records import FspfState, StoredSession, used_from_json, used_to_json
from bannock.cas.sealing import row_index
from bannock.cas.session_rows import SessionRows, version_row
from bannock.cas.upsert import upsert, upsert_all
from bannock.errors import IntegrityError
from bannock.policy.secret_values import SecretValues

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy import Column, Connection, Select, Table

    from bannock.cas.audit.entry import ChainHead, Facts, Transaction
    from bannock.cas.sealing import Sealer
    from bannock.policy.one_time_password import OneTimePasswords
    from bannock.values import Secret

__all__ = ["Change", "View"]

#: Rows that are asked for by name in one query.
_AT_ONCE: Final = 500

_sessions, _volumes, _fspfs = schema.sessions, schema.volumes, schema.fspfs
_VERSIONS: Final = (
    select(_sessions.c.generation, _sessions.c.sealed)
    .where(_sessions.c.session == bindparam("row"))
    .order_by(_sessions.c.generation.desc())
    .limit(1)
)
_NEWEST: Final = _VERSIONS
_OF_DIGEST: Final = _VERSIONS.where(_sessions.c.digest == bindparam("of"))
_VALUES: Final = select(schema.secret_values.c.sealed).where(schema.secret_values.c.session == bindparam("row"))
_VOLUME: Final = select(_volumes.c.sealed).where(
    _volumes.c.session == bindparam("row"), _volumes.c.volume == bindparam("of")
)
_VOLUMES: Final = select(_volumes.c.volume, _volumes.c.sealed).where(
    _volumes.c.session == bindparam("row"), _volumes.c.volume.in_(bindparam("some", expanding=True))
)
_FSPF: Final = select(_fspfs.c.sealed).where(_fspfs.c.session == bindparam("row"), _fspfs.c.service == bindparam("of"))


class View(KeptRows):
    """One consistent state of the store."""

    def __init__(self, connection: Connection, sealer: Sealer, index_key: Secret) -> None:
        super().__init__(connection, sealer, index_key)
        self._audit = AuditRows(connection, sealer)

    def session(self, name: str, *, digest: str | None = None) -> StoredSession | None:
        """Find the newest version of a session, or the newest that has a hash."""
        table = schema.sessions
        row = self._session_row(name)
        if digest is None:
            found = self._connection.execute(_NEWEST, {"row": row}).first()
        else:
            found = self._connection.execute(_OF_DIGEST, {"row": row, "of": self._digest_row(digest)}).first()
        if found is None:
            return None
        generation, sealed = found
        stored = StoredSession.from_json(self._sealer.open(table.name, version_row(row, generation), sealed))
        if (stored.name, stored.generation) != (name, generation):
            raise IntegrityError("a session in the store is not the one that its row says")
        return stored

    def secret_values(self, name: str) -> SecretValues:
        """Give the values of a session's secrets; none for a session that is not there."""
        table = schema.secret_values
        row = self._session_row(name)
        sealed = self._connection.execute(_VALUES, {"row": row}).scalar()
        if sealed is None:
            return SecretValues()
        return SecretValues.from_json(self._sealer.open(table.name, row, sealed))

    def volume(self, name: str, volume: str) -> FspfState | None:
        """Give the state of a session's volume."""
        row = self._session_row(name), self._volume_row(name, volume)
        return self._state(schema.volumes, _VOLUME, row)

    def volumes(self, name: str, volumes: Collection[str]) -> dict[str, FspfState]:
        """Give the states of those of a session's volumes that there are, by their names."""
        table = schema.volumes
        session = self._session_row(name)
        rows = {self._volume_row(name, volume): volume for volume in volumes}
        found: dict[str, FspfState] = {}
        names = list(rows)
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            for row, sealed in self._connection.execute(_VOLUMES, {"row": session, "some": some}):
                value = self._sealer.open(table.name, session + bytes(row), sealed)
                found[rows[bytes(row)]] = FspfState.from_json(value)
        return found

    def fspf(self, name: str, service: str) -> FspfState | None:
        """Give the state of the main protection file of a session's service."""
        row = self._session_row(name), self._service_row(name, service)
        return self._state(schema.fspfs, _FSPF, row)

    def session_rows(self) -> SessionRows:
        """Give the way to all sessions there are, for whoever has no names to ask for."""
        return SessionRows(self._connection, self._sealer)

    def has_sessions(self) -> bool:
        """Whether there is any session."""
        return self._connection.execute(select(schema.sessions.c.generation).limit(1)).first() is not None

    def setting(self, name: str) -> bytes | None:
        """Give what the CAS keeps of itself under a name."""
        table = schema.settings
        sealed = self._connection.execute(select(table.c.sealed).where(table.c.name == name)).scalar()
        return None if sealed is None else self._sealer.open(table.name, name.encode("ascii"), sealed)

    def one_time_passwords(self, secret: Secret) -> OneTimePasswords:
        """Give what was used of the one-time passwords of a shared secret."""
        table = schema.one_time_passwords
        row = self._one_time_password_row(secret)
        sealed = self._connection.execute(select(table.c.sealed).where(table.c.secret == row)).scalar()
        return used_from_json(None if sealed is None else self._sealer.open(table.name, row, sealed))

    def audit_head(self) -> ChainHead:
        """Give the end of the audit log."""
        return self._audit.head()

    def audit_entries(self, first: int = 1, last: int | None = None) -> Iterator[Transaction]:
        """Give the audit log in the order of its rows, not verified."""
        return self._audit.entries(first, last)

    def audit_checkpoints(self, first: int, last: int) -> list[ChainHead]:
        """Give places that the audit log has been at."""
        return self._audit.checkpoints(first, last)

    def _state(self, table: Table, query: Select[bytes], row: tuple[bytes, bytes]) -> FspfState | None:
        sealed = self._connection.execute(query, {"row": row[0], "of": row[1]}).scalar()
        return None if sealed is None else FspfState.from_json(self._sealer.open(table.name, b"".join(row), sealed))

    def _session_row(self, name: str) -> bytes:
        return self._row("session", name)

    def _volume_row(self, name: str, volume: str) -> bytes:
        return self._row("volume", name, volume)

    def _service_row(self, name: str, service: str) -> bytes:
        return self._row("service", name, service)

    def _one_time_password_row(self, secret: Secret) -> bytes:
        return row_index(self._index_key, "one-time password", hashlib.sha256(secret.reveal()).hexdigest())

    def _digest_row(self, digest: str) -> bytes:
        # A hash of a document tells whoever guesses the document that the guess is right.
        return row_index(self._index_key, "digest", digest)


class Change(View):
    """A state of the store that is being changed; nothing else changes it meanwhile."""

    def __init__(self, connection: Connection, sealer: Sealer, index_key: Secret, events: list[Event]) -> None:
        """Begin.

        Args:
            connection: on which the transaction is.
            sealer: seals what is written.
            index_key: finds rows.
            events: where the audit log is told of what is done.
        """
        super().__init__(connection, sealer, index_key)
        self._events = events

    def put_session(
        self,
        stored: StoredSession,
        values: SecretValues,
        volumes: Mapping[str, FspfState],
        fspfs: Mapping[str, FspfState],
    ) -> None:
        """Add a version of a session, and make its values and states what they are from now on.

        Args:
            stored: the version.
            values: of its secrets.
            volumes: the state of each of its volumes.
            fspfs: service → the state of its main protection file.
        """
        row = self._session_row(stored.name)
        place = version_row(row, stored.generation)
        sealed = self._sealer.seal(schema.sessions.name, place, stored.to_json())
        digest = self._digest_row(stored.digest)
        self._connection.execute(
            insert(schema.sessions),
            {"session": row, "generation": stored.generation, "digest": digest, "sealed": sealed},
        )
        self.put_secret_values(stored.name, values)
        for table in (schema.volumes, schema.fspfs):
            self._connection.execute(table.delete().where(table.c.session == row))
        for volume, state in volumes.items():
            self.put_volume(stored.name, volume, state)
        for service, state in fspfs.items():
            self.put_fspf(stored.name, service, state)

    def put_secret_values(self, name: str, values: SecretValues) -> None:
        """Set the values of a session's secrets."""
        row = self._session_row(name)
        sealed = self._sealer.seal(schema.secret_values.name, row, values.to_json())
        upsert(self._connection, schema.secret_values, {"session": row}, {"sealed": sealed})

    def put_volume(self, name: str, volume: str, state: FspfState) -> None:
        """Set the state of a volume."""
        row = self._session_row(name), self._volume_row(name, volume)
        self._put_state(schema.volumes, schema.volumes.c.volume, row, state)

    def put_volumes(self, name: str, states: Mapping[str, FspfState]) -> None:
        """Set the states of several volumes of a session."""
        table = schema.volumes
        session = self._session_row(name)
        written: list[dict[str, object]] = []
        for volume, state in states.items():
            row = self._volume_row(name, volume)
            sealed = self._sealer.seal(table.name, session + row, state.to_json())
            written.append({"session": session, "volume": row, "sealed": sealed})
        upsert_all(self._connection, table, ("session", "volume"), written)

    def put_fspf(self, name: str, service: str, state: FspfState) -> None:
        """Set the state of the main protection file of a service."""
        row = self._session_row(name), self._service_row(name, service)
        self._put_state(schema.fspfs, schema.fspfs.c.service, row, state)

    def put_setting(self, name: str, value: bytes) -> None:
        """Set what the CAS keeps of itself under a name."""
        table = schema.settings
        sealed = self._sealer.seal(table.name, name.encode("ascii"), value)
        upsert(self._connection, table, {"name": name}, {"sealed": sealed})

    def put_one_time_passwords(self, secret: Secret, used: OneTimePasswords) -> None:
        """Set what was used of the one-time passwords of a shared secret."""
        table, row = schema.one_time_passwords, self._one_time_password_row(secret)
        sealed = self._sealer.seal(table.name, row, used_to_json(used))
        upsert(self._connection, table, {"secret": row}, {"sealed": sealed})

    def keep(self, table: Table, value: bytes, *names: str) -> None:
        """Set what a table keeps under names (:meth:`View.kept`)."""
        row = self._row(table.name, *names)
        (column,) = table.primary_key.columns
        upsert(self._connection, table, {column.name: row}, {"sealed": self._sealer.seal(table.name, row, value)})

    def forget(self, table: Table, *names: str) -> None:
        """Take away what a table keeps under names."""
        (column,) = table.primary_key.columns
        self._connection.execute(table.delete().where(column == self._row(table.name, *names)))

    def audit(self, event: str, facts: Facts) -> None:
        """Tell the audit log of something; no value of a secret, key or document may be among the facts.

        All that a transaction tells becomes one entry when it is committed.
        """
        self._events.append(Event(event=event, facts=facts))

    def _put_state(self, table: Table, column: Column[bytes], row: tuple[bytes, bytes], state: FspfState) -> None:
        sealed = self._sealer.seal(table.name, b"".join(row), state.to_json())
        upsert(self._connection, table, {"session": row[0], column.name: row[1]}, {"sealed": sealed})
