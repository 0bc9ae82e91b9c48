"""Somebody between a runtime and its CAS: what a pinned key refuses, and what evidence does without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from bannock.errors import DeniedError, PeerError, causes
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp
from bannock.net.tls import Identity
from bannock.values import FspfTag
from tests.integration.runtime.services import FIRST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from bannock.net.client import Connection
    from tests.integration.runtime.services import Services


_ANYWHERE: Final = Address("127.0.0.1", 0)
_ONE, _TWO = (FspfTag(letter * 16) for letter in (b"1", b"2"))


class _Between:
    """Ends TLS with a key of its own, and passes every request on to the CAS, as a client with the same key."""

    def __init__(self, services: Services, address: Address = _ANYWHERE) -> None:
        self.identity = Identity.generate("attacker")
        self.passed: list[str] = []
        self._services = services
        self._connection: Connection | None = None
        app = Starlette(routes=[Route("/{path:path}", self._pass, methods=["GET", "POST"])])
        self._server = ThreadedServer(Endpoint(app=app, sock=bind_tcp(address), identity=self.identity))
        self._server.start()
        self.address = Address("127.0.0.1", self._server.port)

    async def _pass(self, request: Request) -> Response:
        if self._connection is None:
            cas = self._services.address
            self._connection = connect(cas.host, cas.port, self.identity, expected_peer=None)
        self.passed.append(request.url.path)
        answer = self._connection.request(request.method, request.url.path, await request.body())
        return Response(answer.body, answer.status, media_type=answer.headers.get("content-type"))

    def stop(self) -> None:
        self._server.stop()
        if self._connection is not None:
            self._connection.close()


@pytest.fixture
def between(services: Services) -> Iterator[_Between]:
    """Give somebody between."""
    found = _Between(services)
    yield found
    found.stop()


def test_a_pinned_cas_is_the_only_one_that_is_asked(services: Services, between: _Between) -> None:
    """Whoever has another key gets neither evidence nor anything else, and the error names both keys."""
    services.post()
    with pytest.raises(PeerError) as caught, services.attested(cas=between.address):
        pass
    assert f"its key hash is {between.identity.key_hash}, expected {services.cas.key_hash}" in str(caught.value)
    assert between.passed == []


def test_evidence_is_good_for_one_connection(services: Services, between: _Between) -> None:
    """A runtime that pins nothing speaks with whoever is there; the CAS gives that one nothing for its evidence."""
    services.post()
    with pytest.raises(DeniedError) as caught, services.attested(cas=between.address, cas_key=None):
        pass
    told = [str(cause) for cause in causes(caught.value)]
    assert any("made for another attestation" in line for line in told), told
    assert between.passed == ["/v1/enclave/nonce", "/v1/enclave/attest"]


def test_a_pinned_cas_is_pinned_for_every_connection(services: Services) -> None:
    """Also for one that is made after another was lost, to somebody who is at the address of the CAS by then."""
    services.post()
    with services.attested(patience_seconds=5) as session:
        session.advance_fspf(FIRST, _ONE)
        services.stop()
        attacker = _Between(services, services.address)
        try:
            with pytest.raises(PeerError, match="is not the one expected"):
                session.advance_fspf(_ONE, _TWO)
        finally:
            attacker.stop()
            services.start()
        assert attacker.passed == []
