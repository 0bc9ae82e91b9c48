"""A number that only grows, in a file outside of the database.

Used by one thread at a time; processes take turns. What is written survives the end of the process at once, and a
power cut within a second: a power cut can make the number smaller by the last changes, never larger.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import time
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.values import Secret

__all__ = ["CounterFile"]

_MAGIC: Final = b"bannock-counter-1\n"
_NUMBER_BYTES: Final = 8
_DIGEST_BYTES: Final = 32
_BYTES: Final = len(_MAGIC) + _NUMBER_BYTES + _DIGEST_BYTES
_SYNC_SECONDS: Final = 1.0
_MODE: Final = 0o600


class CounterFile:
    """The number in one file; close it."""

    def __init__(self, path: Path, key: Secret) -> None:
        """Name the file; nothing is opened yet.

        Args:
            path: of the file.
            key: authenticates the number. Whoever has it not can put an older file in place, and no other.
        """
        self.path = path
        self._key = key
        self._descriptor: int | None = None
        self._synced = 0.0

    def read(self) -> int | None:
        """Give the number; None where there is no file.

        Raises:
            IntegrityError: it was not written with this key, or has changed.
            EnvironmentFault: it cannot be read.
        """
        with self._failing("read"):
            if self._descriptor is None and not self._open(create=False):
                return None
            return self._parsed(self._read())

    def raise_to(self, number: int, *, anyway: bool = False) -> None:
        """Make the number at least that large.

        Args:
            number: to be kept.
            anyway: whether a file that cannot be made sense of is written over.

        Raises:
            IntegrityError: the file was not written with this key, or has changed.
            EnvironmentFault: it cannot be written.
        """
        with self._failing("write"):
            if self._descriptor is None:
                self._open(create=True)
            assert self._descriptor is not None  # noqa: S101 - for the type checker
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                found = self._read()
                if anyway or not found or self._parsed(found) < number:
                    os.pwrite(self._descriptor, self._text(number), 0)
                    os.ftruncate(self._descriptor, _BYTES)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._descriptor)
                self._synced = time.monotonic()

    def close(self) -> None:
        """Make the number durable."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                with self._failing("write"):
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _open(self, *, create: bool) -> bool:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self.path, flags | (os.O_CREAT if create else 0), _MODE)
        except FileNotFoundError:
            if create:
                raise
            return False
        return True

    def _read(self) -> bytes:
        assert self._descriptor is not None  # noqa: S101 - for the type checker
        return os.pread(self._descriptor, _BYTES + 1, 0)

    def _parsed(self, found: bytes) -> int:
        number = int.from_bytes(found[len(_MAGIC) : len(_MAGIC) + _NUMBER_BYTES], "big")
        if not hmac.compare_digest(found, self._text(number)):
            raise IntegrityError(
                f"the counter file {self.path} is not one that this CAS has written, or has changed",
                hint="if you know why, start once with --accept-rollback",
            )
        return number

    def _text(self, number: int) -> bytes:
        told = _MAGIC + number.to_bytes(_NUMBER_BYTES, "big")
        return told + hmac.digest(self._key.reveal(), b"bannock-cas counter file\0" + told, hashlib.sha256)

    @contextlib.contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EnvironmentFault(f"cannot {verb} the counter file {self.path}: {error.strerror}") from error
