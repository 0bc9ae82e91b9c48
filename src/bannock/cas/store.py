"""The store: sessions, secret values, volume states and the audit log, sealed, in transactions.

Thread-safe. One narrow interface: :meth:`Store.reading` and :meth:`Store.changing` give a transaction that takes and
gives typed values. Decides nothing: who may do what is for the services above it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import logging
import os
from typing import TYPE_CHECKING, Final, Protocol, Self

from bannock.cas.audit.entry import Event
from bannock.cas.audit.journal import Journal
from bannock.cas.audit.rows import AuditRows
from bannock.cas.counter_file import CounterFile
from bannock.cas.database import Database
from bannock.cas.engines import to_postgresql, to_sqlite
from bannock.cas.freshness import Freshness
from bannock.cas.keyring import Keyring, load_master_key
from bannock.cas.migrations import is_new, migrate
from bannock.cas.sealing import Sealer
from bannock.cas.transaction import Change, View
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from sqlalchemy import Connection

    from bannock.cas.engines import Backend
    from bannock.net.tls import Identity
    from bannock.values import Secret

__all__ = ["Place", "Store"]

_log = logging.getLogger(__name__)

_LOCK_NAME: Final = ".opening"
#: The file that the audit log goes to, if it goes to one.
AUDIT_LOG_NAME: Final = "cas_audit.log"


class Place(Protocol):
    """Where a store is."""

    @property
    def database(self) -> Path:
        """The SQLite file; its directory has to be private."""

    @property
    def postgresql(self) -> Secret | None:
        """The URL of a PostgreSQL database that is used in its place."""

    @property
    def master_key(self) -> Path:
        """The file of the master key."""

    @property
    def counter(self) -> Path:
        """The file that tells an older copy of the database from the newest."""

    @property
    def accept_rollback(self) -> bool:
        """Whether an older copy is taken too."""


class Store:
    """An open store; :meth:`open` it.

    Attributes:
        journal: writes the audit log.
        opening: what the audit log is to be told of how the store was opened.
    """

    def __init__(
        self,
        backend: Backend,
        keyring: Keyring,
        freshness: Freshness,
        journal: Journal,
        *,
        random: Callable[[int], bytes],
    ) -> None:
        self._database = Database(backend, before_commit=self._finish)
        self._keyring = keyring
        self._freshness = freshness
        self._sealer = Sealer(keyring.data, random)
        self.journal = journal
        self.opening: Sequence[Event] = ()

    @classmethod
    def open(
        cls,
        place: Place,
        *,
        audit_path: Path | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        names: Sequence[str] = (),
        addresses: Sequence[str] = ("127.0.0.1",),
    ) -> Self:
        """Open a store, or make it with all its keys where there is none.

        Args:
            place: where it is.
            audit_path: the file of the audit log, if it goes to one; beside the database unless it is given.
            random: gives unpredictable bytes.
            clock: tells the time of audit entries.
            names: DNS names for the certificate of a new CAS.
            addresses: IP addresses for it.

        Raises:
            InputError: the directory or the key file is open to others, or the key is missing.
            IntegrityError: the key does not open the database.
            RollbackError: the database is older than it was.
            EnvironmentFault: the files or the database cannot be had.
        """
        backend = _backend(place)
        try:
            with _alone(place):
                database = Database(backend)
                with database.changing() as part:
                    connection = part.connection
                    new = is_new(connection)
                    migrate(connection, database.name)
                    master = Sealer(load_master_key(place.master_key, random, create=new), random)
                    if new:
                        keyring = Keyring.generate(random, names=names, addresses=addresses)
                        keyring.save(connection, master)
                    else:
                        keyring = Keyring.load(connection, master)
                counter = CounterFile(place.counter, keyring.index)
                freshness = Freshness(Sealer(keyring.data, random), counter, database.name)
                journal = Journal(
                    keyring.audit,
                    keyring.identity,
                    audit_path or place.database.parent / AUDIT_LOG_NAME,
                    clock=clock,
                )
                store = cls(backend, keyring, freshness, journal, random=random)
                store._require_fresh(is_new=new, accept=place.accept_rollback)
        except BaseException:
            backend.close()
            raise
        return store

    @property
    def identity(self) -> Identity:
        """Who the CAS is."""
        return self._keyring.identity

    @property
    def audit_key(self) -> Ed25519PublicKey:
        """What signatures of the audit log are verified with."""
        return self._keyring.audit.public_key()

    @property
    def changes(self) -> int:
        """How many transactions have changed the database since it was made, as far as this store has seen."""
        return self._freshness.highest

    @contextlib.contextmanager
    def reading(self) -> Iterator[View]:
        """Read from one consistent state.

        Raises:
            IntegrityError: a row is not what was written.
            RollbackError: the database is older than it was.
            EnvironmentFault: the database cannot be read now.
        """
        floor = self._freshness.highest
        with self._database.reading() as connection:
            self._freshness.require(connection, floor)
            yield View(connection, self._sealer, self._keyring.index)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Change all or nothing, on the disk when this returns.

        Nothing else changes the store meanwhile. Changes that come at the same time share a transaction of the
        database, so what is read here may be undone, with this change, if it cannot be committed: nothing that was
        read may be told to anybody before this returns.

        Raises:
            IntegrityError: a row is not what was written.
            RollbackError: the database is older than it was.
            EnvironmentFault: the database cannot be written now.
        """
        with self._database.changing() as part:
            yield Change(part.connection, self._sealer, self._keyring.index, part.events)

    def close(self) -> None:
        """Close the database and the audit log."""
        self.journal.close()
        self._database.close()
        self._freshness.close()

    def _finish(self, connection: Connection, events: Sequence[Event]) -> Callable[[], None]:
        """Write the one audit entry of a transaction that is about to be committed, and count it."""
        self.journal.append(AuditRows(connection, self._sealer), events)
        return self._freshness.advance(connection)

    def _require_fresh(self, *, is_new: bool, accept: bool) -> None:
        with self._database.changing() as part:
            accepted = self._freshness.start(part.connection, is_new=is_new, accept=accept)
        if accepted is not None:
            known = None if accepted.known is None else str(accepted.known)
            _log.warning(
                "%s was accepted at change %d, though %s was known", self._database.name, accepted.found, known
            )
            self.opening = [Event(event="rollback_accepted", facts={"found": str(accepted.found), "known": known})]


def _backend(place: Place) -> Backend:
    if place.postgresql is not None:
        return to_postgresql(place.postgresql)
    private_directory(place.database.parent)
    return to_sqlite(place.database)


@contextlib.contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Keep two first starts from making one SQLite file; all else, the transaction of the first start keeps apart."""
    if place.postgresql is not None:
        yield
        return
    path = place.database.parent / _LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
