"""Who is on the other side of the connection that a request came over.

Pure; an application finds it in the scope of each request.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import Bug

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.x509 import Certificate

    from bannock.values import KeyHash

__all__ = ["EXTENSION", "IDLE_SECONDS", "Peer", "peer_of"]

#: The name of the peer among the extensions of an ASGI scope.
EXTENSION: Final = "bannock"

#: How long a connection may rest between requests, unless the application gives its peer more.
IDLE_SECONDS: Final = 75.0


@dataclass(slots=True, kw_only=True, eq=False)
class Peer:
    """One connection's other side; the same object for all requests of the connection.

    Attributes:
        key_hash: the client's key, whose possession the handshake has proven; None without a certificate.
        certificate: the one that the client showed; its key alone says who the client is.
        exporter: the bytes that only the two ends of this connection know; None without TLS.
        process: the process that connected, as the kernel saw it; on unix sockets alone.
        process_handle: a pidfd of that process, open as long as the connection is: unlike its number, it is never
            that of another process. None if the process had ended when the connection was accepted.
        idle_seconds: how long the connection may rest between requests; the application may change it.
        state: what the application keeps for the connection.
        over: whether the connection has ended.
        ended: called once the connection is over, on the thread of the event loop, where the application sets it.
    """

    key_hash: KeyHash | None = None
    certificate: Certificate | None = None
    exporter: bytes | None = None
    process: int | None = None
    process_handle: int | None = None
    idle_seconds: float = IDLE_SECONDS
    state: dict[str, object] = field(default_factory=dict)
    over: bool = False
    ended: Callable[[], None] | None = None

    @property
    def certificate_pem_hash(self) -> str | None:
        """SHA-256 over the certificate as OpenSSL writes it in PEM, which old session documents name clients by."""
        if self.certificate is None:
            return None
        return hashlib.sha256(self.certificate.public_bytes(Encoding.PEM)).hexdigest()


def peer_of(scope: Mapping[str, Any]) -> Peer:
    """Find the peer in an ASGI scope.

    Raises:
        Bug: the application runs behind another server.
    """
    peer = scope.get("extensions", {}).get(EXTENSION)
    if not isinstance(peer, Peer):
        raise Bug("a request came without its peer")
    return peer
