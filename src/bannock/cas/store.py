"""The store: sessions, secret values, volume states and the audit log, sealed, in transactions.

Thread-safe. One narrow interface: :meth:`Store.reading` and :meth:`Store.changing` give a transaction that takes and
gives typed values. Decides nothing: who may do what is for the services above it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy import insert, inspect, select

from bannock.cas.audit.journal import Journal
from bannock.cas.database import Database
from bannock.cas.keyring import Keyring, load_master_key
from bannock.cas.schema import METADATA, SCHEMA_VERSION, schema
from bannock.cas.sealing import Sealer
from bannock.cas.transaction import Change, View
from bannock.errors import InputError
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from bannock.net.tls import Identity

__all__ = ["Store"]

_LOCK_NAME: Final = ".opening"
#: The file that the audit log goes to, if it goes to one.
AUDIT_LOG_NAME: Final = "cas_audit.log"


class Store:
    """An open store; :meth:`open` it.

    Attributes:
        journal: writes the audit log.
    """

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        *,
        audit_path: Path,
        random: Callable[[int], bytes],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._sealer = Sealer(keyring.data, random)
        self.journal = Journal(keyring.audit, keyring.identity, audit_path, clock=clock)

    @classmethod
    def open(
        cls,
        database_path: Path,
        key_path: Path,
        *,
        audit_path: Path | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        names: Sequence[str] = (),
        addresses: Sequence[str] = ("127.0.0.1",),
    ) -> Self:
        """Open a store, or make it with all its keys where there is none.

        Args:
            database_path: the SQLite file; its directory has to be private.
            key_path: the file of the master key.
            audit_path: the file of the audit log, if it goes to one; beside the database unless it is given.
            random: gives unpredictable bytes.
            clock: tells the time of audit entries.
            names: DNS names for the certificate of a new CAS.
            addresses: IP addresses for it.

        Raises:
            InputError: the directory or the key file is open to others, or the key is missing.
            IntegrityError: the key does not open the database.
            EnvironmentFault: the files cannot be had.
        """
        private_directory(database_path.parent)
        with _alone(database_path.parent / _LOCK_NAME):
            database = Database(database_path)
            try:
                with database.changing() as connection:
                    exists = inspect(connection).has_table(schema.name)
                    master = Sealer(load_master_key(key_path, random, create=not exists), random)
                    if exists:
                        _require_known(connection.execute(select(schema.c.version)).scalar(), database_path)
                        # A table that came later is not there yet. No program from before can misread what is in it:
                        # it does not know the sessions that have something there.
                        METADATA.create_all(connection)
                        keyring = Keyring.load(connection, master)
                    else:
                        METADATA.create_all(connection)
                        connection.execute(insert(schema).values(version=SCHEMA_VERSION))
                        keyring = Keyring.generate(random, names=names, addresses=addresses)
                        keyring.save(connection, master)
            except BaseException:
                database.close()
                raise
        path = audit_path or database_path.parent / AUDIT_LOG_NAME
        return cls(database, keyring, audit_path=path, random=random, clock=clock)

    @property
    def identity(self) -> Identity:
        """Who the CAS is."""
        return self._keyring.identity

    @property
    def audit_key(self) -> Ed25519PublicKey:
        """What signatures of the audit log are verified with."""
        return self._keyring.audit.public_key()

    @contextlib.contextmanager
    def reading(self) -> Iterator[View]:
        """Read from one consistent state.

        Raises:
            IntegrityError: a row is not what was written.
            EnvironmentFault: the database cannot be read now.
        """
        with self._database.reading() as connection:
            yield View(connection, self._sealer, self._keyring.index)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Change all or nothing, on the disk when this returns.

        Raises:
            IntegrityError: a row is not what was written.
            EnvironmentFault: the database cannot be written now.
        """
        with self._database.changing() as connection:
            change = Change(connection, self._sealer, self._keyring, self.journal)
            yield change
            change.finish()

    def close(self) -> None:
        """Close the database and the audit log."""
        self.journal.close()
        self._database.close()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep two first starts in one directory from making two sets of keys."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _require_known(version: object, path: Path) -> None:
    if version != SCHEMA_VERSION:
        raise InputError(f"the database {path} has schema version {version}, this program knows {SCHEMA_VERSION}")
