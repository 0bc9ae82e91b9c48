"""What the databases differ in: how each is opened, how its transactions begin, and what its errors mean.

Whoever changes something is alone: SQLite has one writer, and on PostgreSQL a lock that ends with the transaction says
the same. Every change adds to one audit log, so there would be nothing to gain from two; and neither a deadlock nor a
conflict can come between a change and its end.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, OperationalError

from bannock.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

    from bannock.values import Secret

__all__ = ["WORKERS", "Backend", "require_postgresql_url", "to_postgresql", "to_sqlite"]

#: Threads that use the database at once; each has a connection.
WORKERS: Final = 16
#: How long a transaction waits for one of another process.
BUSY_SECONDS: Final = 30.0
#: How long a database that is not there may take to come back before a request is told so.
AWAY_SECONDS: Final = 5.0

_BEGIN: Final = "bannock_begin"

_SQLITE_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    # NORMAL loses the last transactions of a WAL database at a power failure
    # (sqlite.org/pragma.html#pragma_synchronous).
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # What SQLite sorts stays off the disk.
    "PRAGMA temp_store = MEMORY",
)

#: Any number will do that no other program takes for a lock in the same database.
_LOCK: Final = int.from_bytes(b"bannock\x01", "big")
_POSTGRESQL_SETTINGS: Final = (
    # One that stopped in the midst of a change does not hold up the others for ever.
    "SET idle_in_transaction_session_timeout = '15s'",
    f"SET lock_timeout = '{int(BUSY_SECONDS)}s'",
    # Done is what is on the disk; how many disks is for the server's settings.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
)
_POSTGRESQL_CONNECTION: Final = {
    "connect_timeout": "10",
    # A server that has gone without a word is noticed.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    # A replica that only reads may be behind.
    "target_session_attrs": "read-write",
    "application_name": "bannock-cas",
}
#: SQLSTATE classes that say that stored data cannot be made sense of (postgresql.org, Appendix A).
_DAMAGED: Final = ("XX001", "XX002")
_UNDEFINED_TABLE: Final = "42P01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """An open database.

    Attributes:
        name: for messages; holds no password.
        readers: gives connections that read.
        writers: gives connections that change something.
        is_shared: whether processes on other machines use it too.
    """

    name: str
    readers: Engine
    writers: Engine
    is_shared: bool

    def close(self) -> None:
        """Close every connection."""
        self.readers.dispose()
        self.writers.dispose()

    def patience(self, error: DBAPIError) -> float:
        """Give the seconds in which a transaction that could not begin may be tried again."""
        if error.connection_invalidated or (self.is_shared and isinstance(error, OperationalError)):
            return AWAY_SECONDS
        return BUSY_SECONDS if getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY") else 0.0

    def is_damage(self, error: DatabaseError) -> bool:
        """Whether an error says that the database is not what was written, rather than not available."""
        if self.is_shared:
            state = getattr(error.orig, "sqlstate", None) or ""
            return state in _DAMAGED or state == _UNDEFINED_TABLE or isinstance(error, IntegrityError)
        return not isinstance(error, OperationalError) or "no such table" in str(error.orig)


def to_sqlite(path: Path) -> Backend:
    """Open a SQLite file, or make it, readable to its owner alone.

    Raises:
        EnvironmentFault: it cannot be opened.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise EnvironmentFault(f"cannot open the database {path}: {error.strerror}") from error
    url = URL.create("sqlite", database=str(path))
    # SQLite's own waiting for a writer gets slower and slower; ours asks again at once.
    return _backend(
        f"the database {path}",
        _engine(url, WORKERS, {"timeout": BUSY_SECONDS}, _prepare_sqlite, "BEGIN"),
        _engine(url, 1, {"timeout": 0}, _prepare_sqlite, "BEGIN IMMEDIATE"),
        is_shared=False,
    )


def to_postgresql(url: Secret) -> Backend:
    """Use a PostgreSQL database; nothing is connected yet.

    Raises:
        InputError: it is not an URL of one.
    """
    parsed = require_postgresql_url(url)
    arguments = {name: value for name, value in _POSTGRESQL_CONNECTION.items() if name not in parsed.query}
    # Statements of one transaction see what was committed before they began, and nobody commits meanwhile but us.
    writing = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({_LOCK})"
    reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    return _backend(
        f"the database {parsed.render_as_string(hide_password=True).partition('?')[0]}",
        _engine(parsed, WORKERS, arguments, _prepare_postgresql, reading, isolation_level="AUTOCOMMIT"),
        _engine(parsed, 1, arguments, _prepare_postgresql, writing, isolation_level="AUTOCOMMIT"),
        is_shared=True,
    )


def require_postgresql_url(url: Secret) -> URL:
    """Parse the URL of a PostgreSQL database, for the driver that is used.

    Raises:
        InputError: it is none; it is not repeated, since it may hold a password.
    """
    try:
        parsed = make_url(url.reveal().decode("utf-8"))
    except (ArgumentError, UnicodeDecodeError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise InputError("the URL of a PostgreSQL database is postgresql://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS")
    if parsed.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise InputError(f"PostgreSQL is used through psycopg, found {parsed.drivername} as the scheme of its URL")
    return parsed.set(drivername="postgresql+psycopg")


def _backend(name: str, readers: Engine, writers: Engine, *, is_shared: bool) -> Backend:
    return Backend(name=name, readers=readers, writers=writers, is_shared=is_shared)


def _engine(url: URL, size: int, arguments: dict[str, Any], prepare: Any, begin: str, **more: Any) -> Engine:
    engine = create_engine(
        url,
        connect_args=arguments,
        # Messages of the library would show what is written.
        hide_parameters=True,
        pool_size=size,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        execution_options={_BEGIN: begin},
        **more,
    )
    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver would begin transactions by rules of its own; ours begin where we say.
    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in _SQLITE_SETTINGS:
        cursor.execute(setting)
    cursor.close()


def _prepare_postgresql(connection: Any, _record: object) -> None:
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("; ".join(_POSTGRESQL_SETTINGS))
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options()[_BEGIN])
