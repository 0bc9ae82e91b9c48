"""A relying party that connects: to a service, to attackers, and to the CAS for its keys."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bannock.cas import EmbeddedCas
from bannock.errors import EnvironmentFault, PeerError
from bannock.evidence.ra_tls import RaTlsStatement
from bannock.relying import (
    ByEvidence,
    ByToken,
    EnclaveExpectations,
    EvidenceError,
    KeyHash,
    PeerVerifier,
    fetch_key_set,
)
from tests.unit.relying.peers import AT, CAS, KEYS, PROGRAM, Made, key, key_hash, token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BY_TOKEN = ByToken(keys=KEYS, session="demo", service="app")
_BY_EVIDENCE = ByEvidence(
    enclave=EnclaveExpectations(mrenclaves=frozenset({PROGRAM}), allow_simulation=True),
    cas=CAS,
    session="demo",
    service="app",
)


@dataclass
class _Server:
    """What listens with a certificate, and keeps what it is sent."""

    made: Made
    directory: Path
    received: list[bytes] = field(default_factory=list)

    @contextlib.contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """Listen, and give a connection to it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = x509.load_der_x509_certificate(self.made.der()).public_bytes(Encoding.PEM)
        private = self.made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.directory / "server.pem").write_bytes(private + certificate)
        context.load_cert_chain(self.directory / "server.pem")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self._serve, args=(listener, context))
            thread.start()
            with socket.create_connection(listener.getsockname()) as connection:
                yield connection
            thread.join()

    def _serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        raw, _ = listener.accept()
        with raw, contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as tls:
            self.received.append(tls.recv(100))
            tls.sendall(b"answer")


@pytest.mark.parametrize("expected", [_BY_TOKEN, _BY_EVIDENCE], ids=["token", "evidence"])
def test_a_service_is_spoken_with(tmp_path: Path, expected: ByToken | ByEvidence) -> None:
    """After it was verified."""
    server = _Server(Made(token=token(key(1))), tmp_path)
    with server.listening() as connection, PeerVerifier(expected, clock=lambda: AT).wrap(connection) as tls:
        assert tls.version() == "TLSv1.3"
        tls.sendall(b"question")
        assert tls.recv(100) == b"answer"
    assert server.received == [b"question"]


@pytest.mark.parametrize("expected", [_BY_TOKEN, _BY_EVIDENCE], ids=["token", "evidence"])
def test_whoever_relays_to_another_key_is_sent_nothing(tmp_path: Path, expected: ByToken | ByEvidence) -> None:
    """An attacker has the certificate of the service, and so its token and evidence, but another key."""
    service = RaTlsStatement(key=key_hash(key(1)), cas=CAS, session="demo", service="app")
    own = RaTlsStatement(key=key_hash(key(2)), cas=CAS, session="demo", service="app")
    relayed = Made(key=key(2), statement=own, bound=service.report_data(), token=token(key(1)))
    server = _Server(relayed, tmp_path)
    with server.listening() as connection, pytest.raises(EvidenceError):
        PeerVerifier(expected, clock=lambda: AT).wrap(connection)
    assert server.received in ([], [b""])


def test_what_does_not_speak_tls_is_told() -> None:
    """As a fault of the network."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"this is no TLS at all")
        with pytest.raises(EnvironmentFault, match="TLS handshake"):
            PeerVerifier(_BY_TOKEN).wrap(ours)


def test_keys_come_from_the_cas_that_is_known(tmp_path: Path) -> None:
    """Whoever else answers at its address could make up keys."""
    with EmbeddedCas(tmp_path / "cas") as cas:
        address = str(cas.client_address)
        assert fetch_key_set(address, cas.key_hash).keys == cas.cas.tokens.key_set.keys
        with pytest.raises(PeerError, match="is not the one expected"):
            fetch_key_set(address, KeyHash(bytes(32)))
