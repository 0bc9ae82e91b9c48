"""The database under the store: SQLite, whole transactions, durable when they are told to be done.

Thread-safe. Responsible for connections, transactions and what errors of the database mean; knows no table.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bannock.errors import Bug, EnvironmentFault, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

__all__ = ["WORKERS", "Database"]

#: How long a transaction waits for one of another process.
_BUSY_SECONDS: Final = 30.0
#: Threads that use the database at once; each has a connection.
WORKERS: Final = 16
_BEGIN: Final = "bannock_begin"

_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    # NORMAL loses the last transactions of a WAL database at a power failure
    # (sqlite.org/pragma.html#pragma_synchronous).
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # What SQLite sorts stays off the disk.
    "PRAGMA temp_store = MEMORY",
)


class Database:
    """One SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it, readable to its owner alone.

        Raises:
            EnvironmentFault: it cannot be opened.
        """
        self._path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise EnvironmentFault(f"cannot open the database {path}: {error.strerror}") from error
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": _BUSY_SECONDS},
            # Messages of the library would show what is written.
            hide_parameters=True,
            pool_size=WORKERS,
            max_overflow=0,
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        # SQLite has one writer; threads that wait for each other here do not poll for it there.
        self._writer = threading.Lock()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read from one consistent state.

        Raises:
            EnvironmentFault: the database cannot be read now.
            IntegrityError: the file is damaged.
        """
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def changing(self) -> Iterator[Connection]:
        """Change all or nothing; on the disk when this returns, undone when it raises.

        Raises:
            EnvironmentFault: the database cannot be written now.
            IntegrityError: the file is damaged.
        """
        with self._writer, self._translated(), self._engine.connect() as plain:
            connection = plain.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise EnvironmentFault(f"the database {self._path} cannot do this now: {error.orig}") from error
        except PoolTimeoutError as error:
            raise EnvironmentFault(f"the database {self._path} has too much to do") from error
        except DatabaseError as error:
            raise IntegrityError(f"the database {self._path} is damaged: {error.orig}") from error
        except SQLAlchemyError as error:
            raise Bug(f"the database {self._path} was used wrongly: {type(error).__name__}") from error


def _prepare(connection: Any, _record: object) -> None:
    # The driver would begin transactions by rules of its own; ours begin where we say.
    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in _SETTINGS:
        cursor.execute(setting)
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))
