"""A client that costs little: TLS by the product's own stream, and as much HTTP as answers with a length need.

Load and what is measured share the processors, so each microsecond of a client is one that the CAS does not get.
"""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.net.problem import from_problem
from bannock.net.stream import TlsStream
from bannock.net.tls import client_context, exporter_of, peer_key_hash

if TYPE_CHECKING:
    from OpenSSL import SSL

    from bannock.net.address import Address
    from bannock.net.tls import Identity
    from bannock.values import KeyHash

__all__ = ["Wire", "client_context"]

_SECONDS: Final = 60.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_END: Final = b"\r\n\r\n"
_READ_BYTES: Final = 1 << 16


class Wire:
    """A connection; a context manager."""

    def __init__(self, address: Address, context: SSL.Context, key: KeyHash | None) -> None:
        """Connect to whoever has a key, or to anybody.

        Raises:
            ConnectionError: somebody else answers.
        """
        raw = socket.create_connection((address.host, address.port), _SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = TlsStream(raw, context, server_name=address.host, timeout=_SECONDS)
        self._buffer = bytearray(_READ_BYTES)
        if key is not None and peer_key_hash(self._stream.tls) != key:
            self._stream.close()
            raise ConnectionError("this is another CAS")

    @classmethod
    def as_client(cls, address: Address, identity: Identity, key: KeyHash) -> Self:
        """Connect with a context of its own."""
        return cls(address, client_context(identity), key)

    def exporter(self) -> bytes:
        """Give the bytes that only the two ends know."""
        return exporter_of(self._stream.tls)

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Ask, and give the body of the answer.

        Raises:
            BannockError: the answer is a refusal.
        """
        fields = f"host: cas\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        head = f"{method} {path} HTTP/1.1\r\n{fields}\r\n\r\n"
        self._stream.sendall(head.encode("ascii") + body)
        received = b""
        while (end := received.find(_END)) < 0:
            received += self._read()
        length = _LENGTH.search(received, 0, end + 2)
        total = end + len(_END) + (0 if length is None else int(length[1]))
        while len(received) < total:
            received += self._read()
        content = received[end + len(_END) : total]
        status = int(received[9:12])
        if status // 100 != 2:  # noqa: PLR2004 - any success
            raise from_problem(status, content)
        return content

    def request_json(self, method: str, path: str, document: object) -> Any:
        """Ask with a JSON document, and give the one that is answered."""
        return json.loads(self.request(method, path, json.dumps(document).encode()))

    def close(self) -> None:
        """Leave."""
        self._stream.close()

    def _read(self) -> bytes:
        count = self._stream.receive_into(self._buffer)
        if not count:
            raise ConnectionError("the CAS closed the connection")
        return bytes(self._buffer[:count])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
