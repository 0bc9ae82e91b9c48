"""Requests to services that keep files: one request, one answer, and what went wrong in our words.

URLs can be all that somebody needs to fetch or delete a file, so messages name no more than the service. Standard
library alone. Safe to use from several threads.
"""

from __future__ import annotations

import http.client
import re
import ssl
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from bannock.errors import BannockError, EnvironmentFault, InputError, NotFoundError, PeerError
from bannock.net.problem import from_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Upload", "origin", "parse_url", "read_at_most", "request", "upload"]

_TIMEOUT_SECONDS: Final = 60.0
#: A presigned URL with a session token has some 2,000 characters.
_URL_CHARACTERS_MAX: Final = 8192
#: Of an answer that is an error.
_ANSWER_BYTES_MAX: Final = 64 << 10
#: Asked for again as it is, each may succeed.
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_S3_CODE: Final = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


def parse_url(url: str) -> SplitResult:
    """Take an ``http`` or ``https`` URL apart.

    Raises:
        InputError: it is anything else.
    """
    try:
        parts = urlsplit(url) if len(url) <= _URL_CHARACTERS_MAX and url.isascii() and url.isprintable() else None
        usable = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and "@" not in (parts.netloc if parts else "") and (parts.port if parts else 0) != 0
        usable = usable and " " not in url
    except ValueError:
        parts, usable = None, False
    if parts is None or not usable:
        raise InputError(f"a transfer service is http://HOST[:PORT] or https://…, found {url[:80]!r}")
    return parts


def origin(parts: SplitResult) -> str:
    """Return what of a URL can be shown: the service."""
    return f"{parts.scheme}://{parts.netloc}"


@contextmanager
def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | memoryview | None = None,
    verified: bool = True,
) -> Iterator[http.client.HTTPResponse]:
    """Send a request and yield its successful answer, which is read within the context.

    Args:
        method: of the request.
        url: likewise.
        headers: likewise.
        body: likewise.
        verified: whether the service has to prove by its certificate who it is.

    Raises:
        NotFoundError: there is no such file (any more).
        EnvironmentFault: the service cannot be reached, or not now; the same request may succeed later.
        InputError, DeniedError, PeerError: it does not take the request.
    """
    with _spoken_with(url, verified=verified) as (connection, target):
        try:
            connection.request(method, target, body, dict(headers or {}))
        except (BrokenPipeError, ConnectionResetError):
            # A service that refuses a body answers before it has read all of it.
            if connection.sock is None:
                raise
        yield _answer(connection, url)


class Upload:
    """A body of unknown length on its way (RFC 9112, 7.1); see :func:`upload`."""

    def __init__(self, connection: http.client.HTTPConnection, url: str) -> None:
        self._connection = connection
        self._url = url

    def write(self, data: bytes | memoryview) -> None:
        """Send the next bytes."""
        if data:
            self._connection.send(b"%x\r\n" % len(data))
            self._connection.send(data)
            self._connection.send(b"\r\n")

    def finish(self) -> http.client.HTTPResponse:
        """End the body, and return the successful answer."""
        self._connection.send(b"0\r\n\r\n")
        return _answer(self._connection, self._url)


@contextmanager
def upload(url: str, *, headers: Mapping[str, str] | None = None, verified: bool = True) -> Iterator[Upload]:
    """Begin a PUT whose body is written within the context; without :meth:`Upload.finish`, it is given up.

    Raises:
        BannockError: as :func:`request`.
    """
    with _spoken_with(url, verified=verified) as (connection, target):
        connection.putrequest("PUT", target)
        for name, value in {**(headers or {}), "Transfer-Encoding": "chunked"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        yield Upload(connection, url)


@contextmanager
def _spoken_with(url: str, *, verified: bool) -> Iterator[tuple[http.client.HTTPConnection, str]]:
    """Give a connection to a service, and what to ask for there; what goes wrong is said in our words."""
    parts = parse_url(url)
    where = origin(parts)
    connection = _connection(parts, verified=verified)
    try:
        yield connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    except BannockError:
        raise
    except http.client.HTTPException as error:
        if isinstance(error, http.client.IncompleteRead | http.client.RemoteDisconnected):
            raise EnvironmentFault(f"the transfer service at {where} broke off its answer") from error
        raise PeerError(f"the transfer service at {where} does not answer in HTTP") from error
    except OSError as error:
        raise EnvironmentFault(
            f"the transfer service at {where} cannot be used: {error.strerror or error}",
            hint="check its address, and that it runs",
        ) from error
    finally:
        connection.close()


def _answer(connection: http.client.HTTPConnection, url: str) -> http.client.HTTPResponse:
    answer = connection.getresponse()
    if answer.status not in range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES):
        raise _refused(origin(parse_url(url)), answer)
    return answer


def read_at_most(answer: http.client.HTTPResponse, limit: int) -> bytearray:
    """Read an answer, but no more than one byte over the limit, by which it is seen to be too long.

    Raises:
        EnvironmentFault: it ends before its end.
    """
    data, size = bytearray(limit + 1), 0
    with memoryview(data) as view:
        while size <= limit and (more := answer.readinto(view[size:])):
            size += more
    del data[size:]
    if answer.length and size <= limit:
        raise EnvironmentFault(f"the transfer service broke off its answer, {answer.length} bytes before its end")
    return data


def _connection(parts: SplitResult, *, verified: bool) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context()
        if not verified:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
    return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)


def _refused(where: str, answer: http.client.HTTPResponse) -> BannockError:
    status, body = answer.status, answer.read(_ANSWER_BYTES_MAX)
    told = from_problem(status, body)
    # S3 says in one word what it has against a request.
    code = _S3_CODE.search(body)
    said = code[1].decode() if code is not None else str(told)
    if status in _PASSING:
        return EnvironmentFault(f"the transfer service at {where} cannot do this now: {said}")
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} and said != "NoSuchBucket":
        return NotFoundError(
            f"the transfer service at {where} does not have the file, or no longer",
            hint="it expired, was fetched too often, or is withheld; start the run again",
        )
    hint = "check credentials, clock, and whether they have expired" if status == HTTPStatus.FORBIDDEN else told.hint
    return type(told)(f"the transfer service at {where} refused: {said}", reasons=told.reasons, hint=hint)
