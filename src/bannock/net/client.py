"""The client's side: one TLS connection to a service, and many requests over it.

Synchronous, thread-safe by a lock (one request at a time), and light to import: a runtime starts with it. A
connection is never renewed silently, because what was attested on it belongs to it alone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import EnvironmentFault, PeerError
from bannock.net.address import Address
from bannock.net.problem import from_problem
from bannock.net.stream import TlsStream
from bannock.net.tls import Identity, client_context, exporter_of, peer_key_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.values import KeyHash

__all__ = ["RESPONSE_BYTES_MAX", "Connection", "Response", "connect"]

#: The largest answer that is read into memory; configurations and sessions are smaller by far.
RESPONSE_BYTES_MAX: Final = 64 << 20
_STATUS_OK: Final = range(200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer, read whole; header names are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def connect(
    host: str,
    port: int,
    identity: Identity | None,
    *,
    expected_peer: KeyHash | None,
    timeout: float = 30.0,
    peer_name: str = "CAS",
) -> Connection:
    """Open a connection to a service.

    Args:
        host: name or address.
        port: TCP port.
        identity: who we are; None for a client without a certificate.
        expected_peer: who the service has to be; None accepts any, for a caller that decides by ``peer_key_hash``.
        timeout: seconds that each wait for the peer may take.
        peer_name: what messages call the service.

    Raises:
        EnvironmentFault: nothing answers there, or not in time, or it ends before the connection is made.
        PeerError: what answers does not speak TLS 1.3, or is somebody else.
    """
    where = f"{peer_name} at {Address(host, port)}"
    try:
        raw = socket.create_connection((host, port), timeout)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot reach {where}: {_reason(error)}",
            hint=f"check the address, and that {peer_name} runs there",
        ) from error
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        stream = TlsStream(raw, client_context(identity), server_name=host, timeout=timeout)
    except OSError as error:
        raw.close()
        # A service that is stopped while it answers cuts the connection: it may be asked again, as one that is silent.
        cut = isinstance(error, TimeoutError | ConnectionResetError | BrokenPipeError)
        family = EnvironmentFault if cut else PeerError
        raise family(f"cannot agree on TLS 1.3 with {where}: {_reason(error)}") from error
    except BaseException:
        raw.close()
        raise
    connection = Connection(stream, where)
    if expected_peer is not None and connection.peer_key_hash != expected_peer:
        connection.close()
        raise PeerError(
            f"{where} is not the one expected: its key hash is {connection.peer_key_hash}, expected {expected_peer}"
        )
    return connection


class Connection:
    """An open connection; a context manager."""

    def __init__(self, stream: TlsStream, where: str) -> None:
        found = peer_key_hash(stream.tls)
        if found is None:
            stream.close()
            raise PeerError(f"{where} showed no certificate")
        self.peer_key_hash: Final = found
        self._where = where
        self._stream: Final = stream
        self._exporter = exporter_of(stream.tls)
        self._lock = threading.Lock()
        self._http = http.client.HTTPConnection("localhost")
        # http.client would open a new connection, in the clear, where the peer has closed this one.
        self._http.auto_open = 0
        self._http.sock = stream

    def set_timeout(self, seconds: float) -> None:
        """Say how long each wait for the peer may take from now on."""
        self._stream.set_timeout(seconds)

    def exporter(self) -> bytes:
        """Give the bytes that only the two ends of this connection know (see :mod:`bannock.net.tls`)."""
        return self._exporter

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> Response:
        """Send a request and read its answer, whatever its status.

        Raises:
            EnvironmentFault: the connection was lost, or the answer did not come in time.
            PeerError: the answer is not HTTP, or longer than :data:`RESPONSE_BYTES_MAX`.
        """
        headers = {"content-type": content_type} if body else {}
        with self._lock, self._translated():
            self._http.request(method, path, body or None, headers)
            answer = self._http.getresponse()
            content = answer.read(RESPONSE_BYTES_MAX + 1)
            if len(content) > RESPONSE_BYTES_MAX:
                self._http.close()
                raise PeerError(f"the answer of {self._where} is longer than {RESPONSE_BYTES_MAX} bytes")
            # Reading with a limit does not notice the end of an answer without a body.
            answer.close()
        return Response(
            status=answer.status, body=content, headers={name.lower(): value for name, value in answer.getheaders()}
        )

    def request_json(self, method: str, path: str, payload: object | None = None) -> Any:
        """Send a JSON document (nothing for None) and give the JSON document that is answered (None for nothing).

        Raises:
            BannockError: what the answer tells of: InputError, DeniedError, NotFoundError, ConflictError or PeerError.
            EnvironmentFault: as :meth:`request`.
            PeerError: as :meth:`request`; the answer is not JSON.
        """
        body = b"" if payload is None else json.dumps(payload, ensure_ascii=False).encode("utf-8")
        answer = self.request(method, path, body)
        if answer.status not in _STATUS_OK:
            raise from_problem(answer.status, answer.body)
        if not answer.body:
            return None
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise PeerError(f"{self._where} answered with something other than JSON") from error

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._http.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Tell errors of the connection as ours; none of them leaves it usable."""
        try:
            yield
        except http.client.NotConnected as error:
            raise EnvironmentFault(f"the connection to {self._where} is closed") from error
        except OSError as error:
            self._http.close()
            raise EnvironmentFault(f"the connection to {self._where} failed: {_reason(error)}") from error
        except http.client.IncompleteRead as error:
            self._http.close()
            raise EnvironmentFault(f"the connection to {self._where} was cut in the middle of an answer") from error
        except http.client.HTTPException as error:
            self._http.close()
            raise PeerError(f"{self._where} does not answer in HTTP") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror or str(error)).lower()
