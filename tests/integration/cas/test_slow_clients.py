"""Clients that stop in the middle of anything hold up nobody else."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import TYPE_CHECKING, Final

from bannock.net.client import connect
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.cas import EmbeddedCas
    from bannock.net.tls import Identity

_STALLED: Final = 40
#: More than a CAS has worker threads, each waits for as long as it is let.
_HEAD: Final = b"POST /v1/sessions HTTP/1.1\r\nhost: cas\r\ncontent-length: 1000\r\n"


def test_half_open_clients_delay_nobody(cas: EmbeddedCas, alice: Identity, tmp_path: Path) -> None:
    """In the handshake, in the head of a request, and in its body, on both interfaces."""
    pem = tmp_path / "alice.pem"
    pem.write_bytes(alice.to_pem().reveal())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(pem)
    with contextlib.ExitStack() as stalled:
        for address in (cas.client_address, cas.enclave_address):
            for sent in (_HEAD, _HEAD + b"\r\nname:"):
                for _ in range(_STALLED):
                    raw = stalled.enter_context(socket.create_connection((address.host, address.port)))
                    tls = stalled.enter_context(context.wrap_socket(raw))
                    tls.sendall(sent)
            for _ in range(_STALLED):
                raw = stalled.enter_context(socket.create_connection((address.host, address.port)))
                raw.sendall(b"\x16\x03\x01\x02\x00\x01")
        began = time.monotonic()
        with connect(*cas.client_address, alice, expected_peer=cas.key_hash) as client:
            assert client.request("POST", "/v1/sessions", document().encode()).status == 201
            assert client.request("GET", "/v1/sessions/demo").status == 200
        with connect(*cas.enclave_address, alice, expected_peer=cas.key_hash) as enclave:
            assert enclave.request("POST", "/v1/enclave/nonce").status == 200
        # As long as one of them is waited for, it takes the ten seconds of a handshake.
        assert time.monotonic() - began < 5
