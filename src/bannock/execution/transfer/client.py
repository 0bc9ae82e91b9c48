"""The client of a transfer service that speaks transfer.sh: directories go up and come down as streams.

The service is not trusted: what comes down is checked by whoever opens the volume, and its form by
:mod:`bannock.execution.transfer.archive`. Memory is bounded. Synchronous; not for several threads at once.
"""

from __future__ import annotations

import http.client
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from bannock.errors import BannockError, EnvironmentFault, InputError, PeerError
from bannock.execution.transfer.archive import Archive, Limits, unpack
from bannock.net.problem import from_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["TransferClient", "Uploaded"]

_TIMEOUT_SECONDS: Final = 60.0
_URL_CHARACTERS_MAX: Final = 2048
#: Of an answer that is a URL or an error.
_ANSWER_BYTES_MAX: Final = 64 << 10
_DEFAULT_LIMITS: Final = Limits()


def _ignore(_: int) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """Where a directory is now.

    Attributes:
        url: to fetch it from.
        deletion_url: to delete it by; None where the service offers none.
        size: of the stream, in bytes.
    """

    url: str
    deletion_url: str | None
    size: int


class TransferClient:
    """One transfer service.

    Args:
        base_url: ``http://HOST[:PORT]`` or ``https://…``.

    Raises:
        InputError: the URL is anything else.
    """

    def __init__(self, base_url: str) -> None:
        self._base = _parse(base_url)
        self.base_url: Final = base_url.rstrip("/")

    def upload(
        self,
        directory: Path,
        name: str,
        *,
        days: int = 1,
        observer: Callable[[int], None] = _ignore,
        sized: Callable[[int], None] = _ignore,
    ) -> Uploaded:
        """Send a directory.

        Args:
            directory: of regular files and directories alone.
            name: the last part of its URL.
            days: how long the service is asked to keep it.
            observer: learns how many bytes were sent since it was called last.
            sized: learns, once, how many there are.

        Raises:
            InputError: something in the directory cannot be sent.
            EnvironmentFault: the service is not to be reached, or full.
            PeerError: it does not answer as transfer.sh does.
        """
        archive = Archive(directory)
        sized(archive.size)
        headers = {"Content-Length": str(archive.size), "Max-Days": str(days)}
        path = f"{self._base.path.rstrip('/')}/{name}"
        with self._request("PUT", path, headers, _observed(archive, observer)) as answer:
            url = answer.read(_ANSWER_BYTES_MAX).decode("utf-8", "replace").strip()
            deletion_url = answer.getheader("x-url-delete")
        self._require_own(url)
        if deletion_url is not None:
            self._require_own(deletion_url)
        return Uploaded(url=url, deletion_url=deletion_url, size=archive.size)

    def download(
        self,
        url: str,
        target: Path,
        *,
        limits: Limits = _DEFAULT_LIMITS,
        observer: Callable[[int], None] = _ignore,
        sized: Callable[[int], None] = _ignore,
    ) -> None:
        """Fetch a directory.

        Args:
            url: of this service.
            target: a path at which nothing exists.
            limits: what may come.
            observer: learns how many bytes came since it was called last.
            sized: learns, once, how many are to be expected, if the service says so.

        Raises:
            NotFoundError: it is not there any more.
            IntegrityError: what comes is no archive of ours.
            EnvironmentFault: the service is not to be reached, or the disk is full.
            PeerError: the URL is not of this service, or it does not answer as transfer.sh does.
        """
        parts = self._require_own(url)
        with self._request("GET", parts.path, {}, None) as answer:
            if answer.length is not None:
                sized(answer.length)
            unpack(_ObservedStream(answer, observer), target, limits=limits)

    def delete(self, uploaded: Uploaded) -> None:
        """Delete what was uploaded; nothing happens where the service offers no deletion.

        Raises:
            BannockError: it is not there any more, or as :meth:`download`.
        """
        if uploaded.deletion_url is not None:
            parts = self._require_own(uploaded.deletion_url)
            with self._request("DELETE", parts.path, {}, None):
                pass

    def _require_own(self, url: str) -> SplitResult:
        """Refuse to be sent elsewhere by a service or a host."""
        try:
            parts = _parse(url)
        except InputError as error:
            raise PeerError(f"the transfer service at {self.base_url} answered without a URL") from error
        if (parts.scheme, parts.netloc) != (self._base.scheme, self._base.netloc):
            raise PeerError(f"the transfer service at {self.base_url} points to another one: {parts.netloc[:80]!r}")
        return parts

    @contextmanager
    def _request(
        self, method: str, path: str, headers: dict[str, str], body: Iterator[bytes] | None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request, yield its successful answer, and tell every failure as ours."""
        connection = self._connection()
        try:
            try:
                connection.request(method, path or "/", body, headers)
            except (BrokenPipeError, ConnectionResetError):
                # A service that refuses a body answers before it has read all of it.
                if connection.sock is None:
                    raise
            answer = connection.getresponse()
            if answer.status not in range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES):
                raise self._refused(answer)
            yield answer
        except BannockError:
            raise
        except OSError as error:
            raise EnvironmentFault(
                f"the transfer service at {self.base_url} cannot be used: {error.strerror or error}",
                hint="check its address, and that it runs",
            ) from error
        except http.client.HTTPException as error:
            raise PeerError(f"the transfer service at {self.base_url} does not answer in HTTP") from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._base.hostname or "", self._base.port
        if self._base.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)

    def _refused(self, answer: http.client.HTTPResponse) -> BannockError:
        error = from_problem(answer.status, answer.read(_ANSWER_BYTES_MAX))
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return EnvironmentFault(f"the transfer service at {self.base_url} cannot take it now: {error}")
        return error


class _ObservedStream:
    def __init__(self, answer: http.client.HTTPResponse, observer: Callable[[int], None]) -> None:
        self._answer = answer
        self._observer = observer

    def read(self, size: int, /) -> bytes:
        try:
            data = self._answer.read(size)
        except OSError as error:
            raise EnvironmentFault(f"the connection to the transfer service failed: {error}") from error
        self._observer(len(data))
        return data


def _observed(chunks: Archive, observer: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        observer(len(chunk))


def _parse(url: str) -> SplitResult:
    try:
        parts = urlsplit(url) if len(url) <= _URL_CHARACTERS_MAX and url.isascii() and url.isprintable() else None
        usable = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and "@" not in (parts.netloc if parts else "") and (parts.port if parts else 0) != 0
    except ValueError:
        parts, usable = None, False
    if parts is None or not usable:
        raise InputError(f"a transfer service is http://HOST[:PORT] or https://…, found {url[:80]!r}")
    return parts
