"""The database under the store: whole transactions, durable when they are told to be done.

Thread-safe. Responsible for transactions and for what errors of the database mean; knows no table. Changes that come
at the same time share a transaction: each is undone alone if it fails, and all are on the disk before one is told so.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from sqlalchemy.exc import DatabaseError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bannock.errors import BannockError, Bug, EnvironmentFault, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Engine, RootTransaction

    from bannock.cas.audit.entry import Event
    from bannock.cas.engines import Backend

__all__ = ["Around", "Database", "Part", "Plainly"]

#: A transaction takes in no more changes when it has lasted that long: the first of them waits for its answer.
_SHARED_SECONDS: Final = 0.01
_SHARED_CHANGES: Final = 64
_ASK_AGAIN_SECONDS: Final = 0.001
_ASK_SERVER_AGAIN_SECONDS: Final = 0.1
_MEMBER: Final = "SAVEPOINT member"
_KEEP: Final = "RELEASE SAVEPOINT member"
_UNDO: Final = "ROLLBACK TO SAVEPOINT member"


_Found = TypeVar("_Found")


class Around(Protocol[_Found]):
    """What every transaction that changes something begins and ends with."""

    def begun(self, connection: Connection, /) -> _Found:
        """Look at what there is, first of all."""

    def finish(self, connection: Connection, found: _Found, events: Sequence[Event], /) -> Callable[[], None]:
        """Do what comes last, and give what is to be done once the transaction has been committed."""


class Plainly:
    """Nothing around a transaction."""

    def begun(self, _connection: Connection) -> None:
        """Look at nothing."""

    def finish(self, _connection: Connection, _found: None, _events: Sequence[Event]) -> Callable[[], None]:
        """Do nothing."""
        return lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[_Found]):
    """The part of a transaction that one change is.

    Attributes:
        connection: on which the transaction is.
        found: what was found when it began.
        events: what the audit log is to be told of, if the change comes to its end.
    """

    connection: Connection
    found: _Found
    events: list[Event] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class _Shared(Generic[_Found]):
    """A transaction that changes of several threads share; used by the thread whose turn it is."""

    connection: Connection
    found: _Found
    transaction: RootTransaction
    began: float
    members: int = 0
    events: list[Event] = field(default_factory=list)
    failure: BannockError | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def is_full(self) -> bool:
        return self.members >= _SHARED_CHANGES or time.monotonic() - self.began > _SHARED_SECONDS


class Database(Generic[_Found]):
    """One database."""

    def __init__(self, backend: Backend, around: Around[_Found]) -> None:
        """Use an open database.

        Args:
            backend: which.
            around: what every transaction that changes something begins and ends with.
        """
        self._backend = backend
        self._around = around
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._shared: _Shared[_Found] | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._backend.name

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read from one consistent state.

        Raises:
            EnvironmentFault: the database cannot be read now.
            IntegrityError: it is damaged.
        """
        with self._translated():
            connection, transaction = self._begun(self._backend.readers, time.monotonic())
            with connection, transaction:
                yield connection

    @contextlib.contextmanager
    def changing(self) -> Iterator[Part[_Found]]:
        """Change all or nothing; on the disk when this returns, undone when it raises.

        Nothing else changes the database meanwhile. A thread that is in here may not come in a second time.

        Raises:
            EnvironmentFault: the database cannot be written now.
            IntegrityError: it is damaged.
        """
        shared = self._enter(time.monotonic())
        part = Part(connection=shared.connection, found=shared.found)
        mine: BaseException | None = None
        try:
            with self._translated():
                yield part
        except BaseException as error:
            mine = error
            self._undo(shared)
            raise
        else:
            self._keep(shared, part)
        finally:
            self._leave(shared)
            shared.ended.wait()
            # What failed may have failed for what another change had done, which did not come to be.
            if shared.failure is not None and not isinstance(mine, EnvironmentFault):
                raise _again(shared.failure) from shared.failure.__cause__

    def close(self) -> None:
        """Close every connection."""
        self._backend.close()

    def _enter(self, came: float) -> _Shared[_Found]:
        """Wait for the turn, and take part in the transaction that is open, or open one."""
        with self._counting:
            self._waiting += 1
        self._turn.acquire()
        with self._counting:
            self._waiting -= 1
        try:
            with self._translated():
                shared = self._shared
                if shared is not None:
                    try:
                        shared.connection.exec_driver_sql(_MEMBER)
                    except SQLAlchemyError as error:
                        self._fail(shared, error)
                    else:
                        return shared
                connection, transaction = self._begun(self._backend.writers, came)
                try:
                    found = self._around.begun(connection)
                except BaseException:
                    transaction.rollback()
                    connection.close()
                    raise
                self._shared = _Shared(
                    connection=connection, found=found, transaction=transaction, began=time.monotonic()
                )
                return self._shared
        except BaseException:
            self._turn.release()
            raise

    def _keep(self, shared: _Shared[_Found], part: Part[_Found]) -> None:
        """Make a change a part of the transaction."""
        try:
            if shared.members:
                shared.connection.exec_driver_sql(_KEEP)
            shared.members += 1
            shared.events += part.events
        except SQLAlchemyError as error:
            self._fail(shared, error)

    def _undo(self, shared: _Shared[_Found]) -> None:
        """Undo a change, and nothing else of the transaction."""
        try:
            if shared.members:
                shared.connection.exec_driver_sql(_UNDO)
                shared.connection.exec_driver_sql(_KEEP)
            else:
                self._end(shared, shared.transaction.rollback)
        except SQLAlchemyError as error:
            self._fail(shared, error)

    def _leave(self, shared: _Shared[_Found]) -> None:
        """Hand the transaction on to whoever waits, or end it."""
        try:
            if not shared.ended.is_set() and (shared.is_full or not self._waiting):
                self._commit(shared)
        finally:
            self._turn.release()

    def _commit(self, shared: _Shared[_Found]) -> None:
        try:
            with self._translated():
                committed = self._around.finish(shared.connection, shared.found, shared.events)
                shared.transaction.commit()
                committed()
        except BannockError as error:
            self._fail(shared, error)
        except BaseException as error:
            self._fail(shared, error)
            raise
        else:
            self._end(shared, shared.connection.close)

    def _fail(self, shared: _Shared[_Found], error: BaseException) -> None:
        """End a transaction that cannot be committed, and tell everybody who took part."""
        try:
            with self._translated():
                raise error
        except BannockError as told:
            shared.failure = told
        except BaseException:  # noqa: BLE001 - raised by whoever calls
            shared.failure = Bug(f"a change of {self.name} ended with {type(error).__name__}")
        with contextlib.suppress(SQLAlchemyError):
            self._end(shared, shared.transaction.rollback)

    def _end(self, shared: _Shared[_Found], end: Callable[[], None]) -> None:
        try:
            end()
        except SQLAlchemyError:
            shared.connection.invalidate()
            raise
        finally:
            shared.connection.close()
            self._shared = None
            shared.ended.set()

    def _begun(self, engine: Engine, came: float) -> tuple[Connection, RootTransaction]:
        """Begin a transaction; what stands in the way for a moment is waited for."""
        while True:
            connection: Connection | None = None
            try:
                connection = engine.connect()
                return connection, connection.begin()
            except DBAPIError as error:
                if connection is not None:
                    connection.close()
                if time.monotonic() - came >= self._backend.patience(error):
                    raise
            except BaseException:
                if connection is not None:
                    connection.close()
                raise
            time.sleep(_ASK_SERVER_AGAIN_SECONDS if self._backend.is_shared else _ASK_AGAIN_SECONDS)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            said = str(error.orig).partition("\n")[0]
            if self._backend.is_damage(error):
                raise IntegrityError(f"{self.name} is damaged: {said}") from error
            raise EnvironmentFault(f"{self.name} cannot do this now: {said}") from error
        except PoolTimeoutError as error:
            raise EnvironmentFault(f"{self.name} has too much to do") from error
        except SQLAlchemyError as error:
            raise Bug(f"{self.name} was used wrongly: {type(error).__name__}") from error


def _again(error: BannockError) -> BannockError:
    """Give each of those who are told of one failure an exception of its own."""
    return type(error)(error.message, reasons=error.reasons, hint=error.hint)
