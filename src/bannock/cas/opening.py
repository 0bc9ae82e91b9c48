"""Where a store is, and what comes before it is opened."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Final, Protocol

from bannock.cas.engines import to_postgresql, to_sqlite
from bannock.cas.sealing import KEY_BYTES
from bannock.files import private_directory
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.cas.engines import Backend
    from bannock.cas.master_key import MasterKeyFile
    from bannock.net.address import Address

__all__ = ["Place", "alone", "new_master_key", "to_backend"]

_LOCK_NAME: Final = ".opening"


class Place(Protocol):
    """Where a store is."""

    @property
    def database(self) -> Path:
        """The SQLite file; its directory has to be private."""

    @property
    def postgresql(self) -> Secret | None:
        """The URL of a PostgreSQL database that is used in its place."""

    @property
    def key_file(self) -> MasterKeyFile:
        """The file of the master key."""

    @property
    def counter(self) -> Path:
        """The file that tells an older copy of the database from the newest."""

    @property
    def accept_rollback(self) -> bool:
        """Whether an older copy is taken too."""

    @property
    def peers(self) -> Address | None:
        """Where other replicas are, which tell a new one how new the database is; None for nowhere."""


def new_master_key(file: MasterKeyFile, random: Callable[[int], bytes]) -> Secret:
    """Make the master key of a new database, or take the one that is there already."""
    if not file.path.exists():
        file.write(Secret(random(KEY_BYTES)), random)
    return file.read()


def to_backend(place: Place) -> Backend:
    """Open the database of a store.

    Raises:
        InputError: its directory is open to others.
        EnvironmentFault: it cannot be opened.
    """
    if place.postgresql is not None:
        return to_postgresql(place.postgresql)
    private_directory(place.database.parent)
    return to_sqlite(place.database)


@contextlib.contextmanager
def alone(place: Place) -> Iterator[None]:
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
