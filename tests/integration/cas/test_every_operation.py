"""Every operation of a CAS by every kind of identity: one table, and no operation that is not in it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.policy.signing import sign
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.cas import EmbeddedCas
    from bannock.net.address import Address
    from bannock.net.client import Connection

_SIGNER: Final = Ed25519PrivateKey.from_private_bytes(b"signer".ljust(32))
_PEM: Final = _SIGNER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

#: Everybody there is: without a certificate; the owner of the CAS; the creator of a session; who is listed under one
#: operation each; somebody else; and whose signature is listed, carried by nobody. An enclave that proved nothing is
#: one of them on the other port.
_PEOPLE: Final = ("nobody", "owner", "creator", "reader", "updater", "maker", "stranger", "signer")
_CLIENTS: Final = {name: Identity.generate(name) for name in _PEOPLE if name not in ("nobody", "signer")}
_ALL: Final = set(_PEOPLE)

#: Whom the session lets do what.
_MAY: Final = {
    "read": {"creator", "reader"},
    "update": {"creator", "updater", "signer"},
    "create_sessions": {"maker", "signer"},
}


def _access() -> str:
    lists = []
    for operation, names in _MAY.items():
        entries = ["CREATOR"] * ("creator" in names)
        entries += [str(_CLIENTS[name].key_hash) for name in sorted(names - {"creator", "signer"})]
        entries += [f"{{signer: {json.dumps(_PEM)}}}"] * ("signer" in names)
        lists.append(f"{operation}: [{', '.join(entries)}]")
    return f"access_policy: {{{', '.join(lists)}}}"


@pytest.fixture
def owned(cas: EmbeddedCas) -> EmbeddedCas:
    """A CAS with an owner."""
    with connect(*cas.client_address, _CLIENTS["owner"], expected_peer=cas.key_hash) as connection:
        body = json.dumps({"token": cas.cas.owner.token, "config": "", "format": "toml"}).encode()
        assert connection.request("POST", "/v1/owner/provision", body, "application/json").status == 200
    return cas


_numbers = itertools.count()


class _World:
    """A session of its own for one question, and a connection to ask it on."""

    def __init__(self, cas: EmbeddedCas, connection: Connection, who: str) -> None:
        self.connection = connection
        self._cas = cas
        self._who = who

    @functools.cached_property
    def name(self) -> str:
        """Make the session, and give its name."""
        name = f"demo{next(_numbers)}"
        with connect(*self._cas.client_address, _CLIENTS["creator"], expected_peer=self._cas.key_hash) as creator:
            answer = creator.request("POST", "/v1/sessions", document(name, access=_access()).encode())
        assert answer.status == 201
        self.digest: str = json.loads(answer.body)["hash"]
        return name

    def successor(self) -> str:
        name = self.name
        return document(name, access=_access(), predecessor=self.digest)

    def get(self, path: str) -> int:
        return self.connection.request("GET", path).status

    def send(self, method: str, path: str, body: object = b"", content_type: str = "application/json") -> int:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.connection.request(method, path, data, content_type).status

    def post(self, text: str, path: str = "/v1/sessions") -> int:
        signed = sign(text, _SIGNER) if self._who == "signer" else text
        return self.send("POST", path, signed.encode(), "text/plain")


_TAG: Final = "00" * 16
_COMMIT: Final = {"expected": None, "tag": _TAG}
_HAVE_KEYS: Final = _ALL - {"nobody"}

#: Operation → how it is done, its status for those who may do it, and who may; all others get 403.
_CLIENT_API: Final[dict[str, tuple[Callable[[_World], int], int, set[str]]]] = {
    "POST /v1/sessions": (lambda world: world.post(document(f"new{next(_numbers)}")), 201, _HAVE_KEYS),
    "POST /session": (lambda world: world.post(document(f"new{next(_numbers)}"), "/session"), 201, _HAVE_KEYS),
    "POST /v1/sessions, a new version": (
        lambda world: world.post(world.successor()),
        201,
        _MAY["update"],
    ),
    "POST /v1/sessions, in a namespace": (
        lambda world: world.post(document(f"{world.name}/inner")),
        201,
        _MAY["create_sessions"],
    ),
    "GET /v1/sessions/{name}": (lambda world: world.get(f"/v1/sessions/{world.name}"), 200, _MAY["read"]),
    "GET /v1/sessions/{name}, an older version": (
        lambda world: world.get(f"/v1/sessions/{world.name}?hash={world.digest}"),
        200,
        _MAY["read"],
    ),
    "GET /session/{name}": (lambda world: world.get(f"/session/{world.name}"), 200, _MAY["read"]),
    "GET /v1/values/{selector}": (lambda world: world.get(f"/v1/values/session={world.name}"), 200, _ALL),
    "GET /v1/values/{selector}, a public one": (
        lambda world: world.get(f"/v1/values/session={world.name},secret=greeting"),
        200,
        _ALL,
    ),
    "GET /v1/values/{selector}, a private one": (
        lambda world: world.get(f"/v1/values/session={world.name},secret=password"),
        404,
        _ALL,
    ),
    "GET /v1/volumes/{selector}": (
        lambda world: world.get(f"/v1/volumes/session={world.name},volume=output"),
        200,
        _MAY["read"],
    ),
    "GET /v1/attest": (lambda world: world.get("/v1/attest"), 200, _ALL),
    # No LAS gives evidence of this CAS.
    "POST /v1/attest/activate": (
        lambda world: world.send("POST", "/v1/attest/activate", {"challenge": "AAAA"}),
        200,
        set(),
    ),
    "GET /.well-known/jwks.json": (lambda world: world.get("/.well-known/jwks.json"), 200, _ALL),
    "GET /.well-known/openid-configuration": (
        lambda world: world.get("/.well-known/openid-configuration"),
        404,
        _ALL,
    ),
    "GET /v1/owner": (lambda world: world.get("/v1/owner"), 200, _ALL),
    "POST /v1/owner/provision": (
        lambda world: world.send("POST", "/v1/owner/provision", {"token": "0" * 32, "config": "", "format": "toml"}),
        409,
        set(),
    ),
    "GET /v1/owner/config": (lambda world: world.get("/v1/owner/config"), 200, {"owner"}),
    "PUT /v1/owner/config": (
        lambda world: world.send("PUT", "/v1/owner/config", b"", "application/toml"),
        200,
        {"owner"},
    ),
    # There is no CAS at this address, which only the owner is told.
    "POST /v1/owner/backups": (
        lambda world: world.send("POST", "/v1/owner/backups", {"address": "127.0.0.1:1"}),
        400,
        {"owner"},
    ),
    "POST /v1/owner/upgrades": (
        lambda world: world.send("POST", "/v1/owner/upgrades", {"address": "127.0.0.1:1", "mrenclaves": ["00" * 32]}),
        400,
        {"owner"},
    ),
    "POST /v1/owner/upgrade": (lambda world: world.send("POST", "/v1/owner/upgrade"), 200, {"owner"}),
    "GET /v1/owner/forecast": (lambda world: world.send("GET", "/v1/owner/forecast?days=14"), 200, {"owner"}),
    "GET /v1/owner/collateral": (lambda world: world.send("GET", "/v1/owner/collateral"), 200, {"owner"}),
    "PUT /v1/owner/collateral": (
        lambda world: world.send("PUT", "/v1/owner/collateral", NO_ENDORSEMENTS.to_json()),
        200,
        {"owner"},
    ),
    "POST /v1/owner/collateral/replay": (
        lambda world: world.send("POST", "/v1/owner/collateral/replay", NO_ENDORSEMENTS.to_json()),
        200,
        {"owner"},
    ),
    "POST /v1/owner/forecast/replay": (
        lambda world: world.send("POST", "/v1/owner/forecast/replay", b"name: demo\nversion: '0.3'\n", "text/yaml"),
        200,
        {"owner"},
    ),
    "POST /v1/backup/nonce": (lambda world: world.send("POST", "/v1/backup/nonce"), 200, _ALL),
    "POST /v1/backup/key": (
        lambda world: world.send("POST", "/v1/backup/key", {"attestation": {}, "upgrade": False}),
        200,
        set(),
    ),
    # For other processes of this CAS, which have its key.
    "GET /v1/replica": (lambda world: world.send("GET", "/v1/replica"), 200, set()),
    "GET /v1/owner/audit": (lambda world: world.get("/v1/owner/audit?from=1&to=2"), 200, {"owner"}),
    "GET /v1/owner/audit/log": (lambda world: world.get("/v1/owner/audit/log?from=1&to=2"), 200, {"owner"}),
}

_ENCLAVE_API: Final[dict[str, tuple[Callable[[_World], int], int, set[str]]]] = {
    "POST /v1/enclave/nonce": (lambda world: world.send("POST", "/v1/enclave/nonce"), 200, _ALL),
    "POST /v1/enclave/attest": (
        lambda world: world.send(
            "POST", "/v1/enclave/attest", {"session": world.name, "service": "app", "evidence": {}}
        ),
        200,
        set(),
    ),
    "POST /v1/enclave/secrets": (
        lambda world: world.send("POST", "/v1/enclave/secrets", {"placeholders": ["password"]}),
        200,
        set(),
    ),
    "POST /v1/enclave/token": (
        lambda world: world.send("POST", "/v1/enclave/token", {"audience": "https://rp.example"}),
        200,
        set(),
    ),
    "POST /v1/enclave/volumes/{volume}/commit": (
        lambda world: world.send("POST", "/v1/enclave/volumes/output/commit", _COMMIT),
        200,
        set(),
    ),
    "POST /v1/enclave/fspf/commit": (
        lambda world: world.send("POST", "/v1/enclave/fspf/commit", _COMMIT),
        200,
        set(),
    ),
    "POST /v1/enclave/commits": (
        lambda world: world.send("POST", "/v1/enclave/commits", {"commits": [{"volume": "output", **_COMMIT}]}),
        200,
        set(),
    ),
}


def _ask(
    cas: EmbeddedCas, address: Address, who: str, operation: tuple[Callable[[_World], int], int, set[str]]
) -> int:
    identity = _CLIENTS.get(who)
    with contextlib.closing(connect(*address, identity, expected_peer=cas.key_hash)) as connection:
        return operation[0](_World(cas, connection, who))


@pytest.mark.parametrize("name", _CLIENT_API)
def test_every_operation_for_clients(owned: EmbeddedCas, name: str) -> None:
    """Who may gets the answer, everybody else 403."""
    _, status, allowed = _CLIENT_API[name]
    found = {who: _ask(owned, owned.client_address, who, _CLIENT_API[name]) for who in _PEOPLE}
    assert found == {who: status if who in allowed else 403 for who in _PEOPLE}


@pytest.mark.parametrize("name", _ENCLAVE_API)
def test_every_operation_for_enclaves_without_evidence(owned: EmbeddedCas, name: str) -> None:
    """Whoever owns a CAS or a session is nobody to the enclave interface without evidence."""
    _, status, allowed = _ENCLAVE_API[name]
    found = {who: _ask(owned, owned.enclave_address, who, _ENCLAVE_API[name]) for who in _PEOPLE}
    assert found == {who: status if who in allowed else 403 for who in _PEOPLE}


def test_no_operation_is_missing_in_the_table(owned: EmbeddedCas) -> None:
    """Whoever adds a route has to say who may use it."""
    elsewhere = {"GET /livez", "GET /readyz", "GET /metrics", "POST /v1/exports"}
    for address, table in ((owned.client_address, _CLIENT_API), (owned.enclave_address, _ENCLAVE_API)):
        with contextlib.closing(connect(*address, None, expected_peer=owned.key_hash)) as connection:
            described = json.loads(connection.request("GET", "/openapi.json").body)["paths"]
        routes = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
        assert routes - elsewhere == {name.partition(",")[0] for name in table}
