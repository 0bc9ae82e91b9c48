"""Where entries of the audit log go beside the database: a file, or a server.

A sink is used by one thread at a time. An entry that :meth:`Sink.write` has taken is durable; one that it refused is
not there in part either.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import ssl
import stat
import time
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.cas.audit.config import ToServer

__all__ = ["FileSink", "HttpSink", "Sink"]

_SERVER_SECONDS: Final = 5.0
#: A server that did not answer is asked again after this.
_SILENT_SECONDS: Final = 2.0
_STATUS_DONE: Final = range(200, 300)
_TAIL_BYTES: Final = 1 << 16


class Sink(Protocol):
    """Takes entries."""

    def begin(self) -> bool:
        """Get ready, and tell whether the next entry is the first in what it goes to."""

    def write(self, *lines: bytes) -> None:
        """Take entries, lines without their ends."""

    def close(self) -> None:
        """Let go of everything."""


class FileSink:
    """A file with a line for each entry; whoever rotates it may rename it, remove it or empty it at any time.

    Several processes may write to one file: the database lets one at a time add to the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._torn = True

    def begin(self) -> bool:
        """Open the file that has the name now, and take away what a crash left of an entry at its end.

        Raises:
            EnvironmentFault: it cannot be opened.
        """
        with self._translated("opened"):
            self._follow_name()
            assert self._descriptor is not None  # noqa: S101 - for the type checker
            if self._torn:
                self._mend(self._descriptor)
                self._torn = False
            return os.fstat(self._descriptor).st_size == 0

    def write(self, *lines: bytes) -> None:
        """Add lines, all of them on the disk when this returns.

        Raises:
            EnvironmentFault: the file system refuses; the file is what it was.
        """
        descriptor = self._descriptor
        if descriptor is None:
            raise EnvironmentFault(f"the audit log {self._path} is not open")
        with self._translated("written"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                before = os.fstat(descriptor).st_size
                try:
                    _write_all(descriptor, b"".join(line + b"\n" for line in lines))
                    os.fdatasync(descriptor)
                except OSError:
                    self._torn = True
                    os.ftruncate(descriptor, before)
                    self._torn = False
                    raise
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _follow_name(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(FileNotFoundError):
                ours, named = os.fstat(self._descriptor), self._path.stat()
                if (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino):
                    return
            self.close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise EnvironmentFault(f"the audit log {self._path} is not a regular file")
        self._descriptor = descriptor
        self._torn = True

    @staticmethod
    def _mend(descriptor: int) -> None:
        """Cut off a line without an end: its transaction was not committed, or its entry were whole."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            size = end = os.fstat(descriptor).st_size
            while end > 0:
                start = max(0, end - _TAIL_BYTES)
                at = os.pread(descriptor, end - start, start).rfind(b"\n")
                if at >= 0:
                    end = start + at + 1
                    break
                end = start
            if end != size:
                os.ftruncate(descriptor, end)
                os.fdatasync(descriptor)
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EnvironmentFault(
                f"the audit log {self._path} cannot be {done}: {error.strerror}",
                hint="make room for it or mend its directory; CAS goes on by itself",
            ) from error


class HttpSink:
    """A server that takes each entry as the body of a POST request, and answers with a status of success."""

    def __init__(self, wanted: ToServer) -> None:
        parts = urlsplit(wanted.url)
        self._where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host, port = str(parts.hostname), parts.port
        self._silent_until = 0.0
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cadata=wanted.server_ca_certificate)
            self._connection = http.client.HTTPSConnection(host, port, timeout=_SERVER_SECONDS, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=_SERVER_SECONDS)

    def begin(self) -> bool:
        """Do nothing: what a server has already, it does not say."""
        return False

    def write(self, *lines: bytes) -> None:
        """Send entries, one after the other.

        Raises:
            EnvironmentFault: the server does not say that it has one. It may have it nevertheless, and then it has two
                entries of one number, as after any transaction that failed.
        """
        for line in lines:
            self._write(line)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _write(self, line: bytes) -> None:
        if time.monotonic() < self._silent_until:
            # Everybody would wait for it, one after the other.
            raise self._fault("it did not answer a moment ago")
        fresh = self._connection.sock is None
        try:
            status = self._send(line)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            if isinstance(error, TimeoutError):
                self._silent_until = time.monotonic() + _SILENT_SECONDS
            if fresh or isinstance(error, TimeoutError):
                raise self._fault(_reason(error)) from error
            # The server let go of a connection that rested; what is sent twice is the same entry.
            try:
                status = self._send(line)
            except (OSError, http.client.HTTPException) as again:
                self._connection.close()
                raise self._fault(_reason(again)) from again
        if status not in _STATUS_DONE:
            raise self._fault(f"it answers with status {status}")

    def _send(self, line: bytes) -> int:
        self._connection.request("POST", self._path, line, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def _fault(self, reason: str) -> EnvironmentFault:
        return EnvironmentFault(
            f"the audit log server {self._where} did not take an entry: {reason}",
            hint="CAS does nothing that it cannot log; it goes on by itself when the server does",
        )


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _reason(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
