"""The files of a transfer service: kept for a while under unguessable ids, counted, and forgotten.

A directory per id with ``data`` and ``about``. Whoever runs the service is not trusted by its users, so nothing here
protects content; it only keeps users apart, by ids that cannot be guessed. Time is an argument. Calls may come from
several threads; two that count the same file take turns.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import threading
from dataclasses import asdict, dataclass, replace
from typing import IO, TYPE_CHECKING, Final, Self

from bannock.errors import BannockError, EnvironmentFault, InputError, IntegrityError, NotFoundError
from bannock.files import private_directory, read_bounded, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Kept", "Receiving", "StoreLimits", "TransferStore"]

#: 128 random bits.
_ID_BYTES: Final = 16
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ABOUT_BYTES_MAX: Final = 4096
_DAY_SECONDS: Final = 86_400
#: Looking for what has expired means to look at every file.
_SWEEP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """How much a service takes and how long it keeps it.

    Attributes:
        file_bytes: the largest file.
        total_bytes: of all files together.
        days: the longest, and the usual, time.
    """

    file_bytes: int = 64 << 30
    total_bytes: int = 256 << 30
    days: int = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    name: str
    size: int
    expires: float
    downloads_left: int | None
    deletion_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file that the service has.

    Attributes:
        id: its unguessable part of the URL.
        name: as the user gave it.
        size: in bytes.
        expires: seconds since the epoch.
        downloads_left: None: as many as one likes.
    """

    id: str
    name: str
    size: int
    expires: float
    downloads_left: int | None


class Receiving:
    """A file on its way in; a context manager that leaves nothing unless :meth:`keep` was called."""

    def __init__(self, store: TransferStore, about: _About, directory: Path) -> None:
        self._store = store
        self._about = about
        self._directory = directory
        self._size = 0
        self._kept = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(directory / "data", flags, 0o600), "wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            InputError: the file is larger than the service takes.
            EnvironmentFault: the service is full.
        """
        self._size += len(data)
        self._store.account(self._size, len(data))
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) or 0 :]
        except OSError as error:
            raise EnvironmentFault(f"cannot keep the file: {error.strerror}") from error

    def keep(self) -> Kept:
        """Keep what was written, from now on."""
        self._file.close()
        self._about = replace(self._about, size=self._size)
        _write_about(self._directory, self._about)
        self._kept = True
        return _kept(self._directory.name, self._about)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._kept:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._store.forget(self._size)


class TransferStore:
    """The files in a directory, which is private."""

    def __init__(self, directory: Path, limits: StoreLimits, *, now: float) -> None:
        self._directory = private_directory(directory)
        self._limits = limits
        self._lock = threading.Lock()
        self._total = 0
        self._swept = 0.0
        self._remove_unfinished()
        self.sweep(now)
        self._total = sum(about.size for _, about in self._all())

    def receive(
        self, name: str, *, days: int | None, downloads: int | None, now: float, size: int | None = None
    ) -> tuple[Receiving, str]:
        """Begin to take a file; return it with the token that deletes it.

        Args:
            name: the last part of its URL.
            days: how long to keep it; None, or more than the service allows: as long as that.
            downloads: how often it may be fetched; None: as often as one likes.
            now: seconds since the epoch.
            size: how large it will be, if that is known.

        Raises:
            InputError: the name or a number is not usable, or it will be too large.
            EnvironmentFault: there is no room for it.
        """
        if not _NAME.fullmatch(name):
            raise InputError("a file name has letters, digits, dots, hyphens and underscores, at most 128 in all")
        if (days is not None and days < 1) or (downloads is not None and downloads < 1):
            raise InputError("Max-Days and Max-Downloads are at least 1")
        self._require_room(size or 0, size or 0)
        if not 0 <= now - self._swept < _SWEEP_SECONDS:
            self.sweep(now)
        identifier, token = secrets.token_urlsafe(_ID_BYTES), secrets.token_urlsafe(_ID_BYTES)
        directory = self._directory / identifier
        directory.mkdir(mode=0o700)
        about = _About(
            name=name,
            size=0,
            expires=now + min(days or self._limits.days, self._limits.days) * _DAY_SECONDS,
            downloads_left=downloads,
            deletion_hash=_hash(token),
        )
        return Receiving(self, about, directory), token

    def look(self, identifier: str, name: str, *, now: float) -> Kept:
        """Find a file.

        Raises:
            NotFoundError: there is none, or no longer.
        """
        return _kept(identifier, self._find(identifier, name, now))

    def fetch(self, identifier: str, name: str, *, now: float) -> tuple[Kept, IO[bytes]]:
        """Open a file to be sent, which counts as a download; the last one allowed takes its name away.

        Raises:
            NotFoundError: there is none, or no longer.
        """
        with self._lock:
            about = self._find(identifier, name, now)
            directory = self._directory / identifier
            file = (directory / "data").open("rb", buffering=0)
            if about.downloads_left is not None:
                about = replace(about, downloads_left=about.downloads_left - 1)
                _write_about(directory, about)
        if about.downloads_left == 0:
            self._remove(identifier, about.size)
        return _kept(identifier, about), file

    def delete(self, identifier: str, name: str, token: str, *, now: float) -> None:
        """Remove a file.

        Raises:
            NotFoundError: there is none, or the token is another one's.
        """
        about = self._find(identifier, name, now)
        if not hmac.compare_digest(about.deletion_hash, _hash(token)):
            raise _nothing()
        self._remove(identifier, about.size)

    def sweep(self, now: float) -> None:
        """Remove what has expired."""
        self._swept = now
        for identifier, about in list(self._all()):
            if about.expires <= now:
                self._remove(identifier, about.size)

    def account(self, file_size: int, more: int) -> None:
        """Count bytes that come in.

        Raises:
            InputError: one file is larger than allowed.
            EnvironmentFault: all together are.
        """
        with self._lock:
            self._total += more
        self._require_room(file_size, 0)

    def _require_room(self, file_size: int, more: int) -> None:
        if file_size > self._limits.file_bytes:
            raise InputError(f"the file is larger than the {self._limits.file_bytes} bytes that this service takes")
        if self._total + more > self._limits.total_bytes:
            raise EnvironmentFault("the transfer service is full")

    def forget(self, size: int) -> None:
        """Count bytes that are gone."""
        with self._lock:
            self._total -= size

    def _remove_unfinished(self) -> None:
        """Remove what a service that was killed had not received to its end."""
        for directory in self._directory.iterdir():
            if _ID.fullmatch(directory.name) and not (directory / "about").exists():
                shutil.rmtree(directory)

    def _all(self) -> Iterator[tuple[str, _About]]:
        for directory in self._directory.iterdir():
            if _ID.fullmatch(directory.name) and (directory / "about").is_file():
                yield directory.name, _read_about(directory)

    def _find(self, identifier: str, name: str, now: float) -> _About:
        if not _ID.fullmatch(identifier):
            raise _nothing()
        try:
            about = _read_about(self._directory / identifier)
        except BannockError:
            raise _nothing() from None
        if about.name != name or about.expires <= now or about.downloads_left == 0:
            raise _nothing()
        return about

    def _remove(self, identifier: str, size: int) -> None:
        directory = self._directory / identifier
        try:
            (directory / "about").unlink()
        except FileNotFoundError:
            # Somebody else removes it, and counts that.
            return
        shutil.rmtree(directory, ignore_errors=True)
        self.forget(size)


def _kept(identifier: str, about: _About) -> Kept:
    return Kept(
        id=identifier, name=about.name, size=about.size, expires=about.expires, downloads_left=about.downloads_left
    )  # fmt: skip


def _nothing() -> NotFoundError:
    return NotFoundError("there is no such file, or it has expired")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _write_about(directory: Path, about: _About) -> None:
    write_atomically(directory / "about", json.dumps(asdict(about)).encode())


def _read_about(directory: Path) -> _About:
    text = read_bounded(directory / "about", _ABOUT_BYTES_MAX)
    try:
        return _About(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"{directory / 'about'} is not what was written") from error
