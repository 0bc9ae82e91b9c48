"""Tokens of a CAS for services that it attested: verified by the libraries that relying parties have."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Final

import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.cas import Cas, CasConfig
from bannock.cas.config import load_config
from bannock.errors import ConflictError, DeniedError, InputError
from bannock.evidence.key_proof import prove_key
from bannock.evidence.key_set import KeySet
from bannock.evidence.token import verify_token
from bannock.net.problem import from_problem
from tests.integration.cas.enclaves import enclave
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.cas import EmbeddedCas
    from bannock.net.client import Connection
    from tests.integration.cas.enclaves import Enclave

_AUDIENCE: Final = "https://rp.example"


def _token(app: Enclave, **wish: object) -> str:
    answer = app.connection.request("POST", "/v1/enclave/token", json.dumps({"audience": _AUDIENCE, **wish}).encode())
    if answer.status != 200:
        raise from_problem(answer.status, answer.body)
    return str(json.loads(answer.body)["token"])


def _post(client: Connection, text: str) -> str:
    return str(json.loads(client.request("POST", "/session", text.encode()).body)["hash"])


def _key_set(client: Connection) -> bytes:
    return client.request("GET", "/.well-known/jwks.json").body


def test_other_libraries_verify_tokens(client: Connection, app: Enclave) -> None:
    """PyJWT and joserfc, with the published key set and nothing else."""
    digest = _post(client, document())
    configuration = app.attest()
    assert configuration.argv
    token = _token(app, nonce="bm9uY2Utbm9uY2U")
    keys = jwt.PyJWKSet.from_json(_key_set(client).decode())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience=_AUDIENCE)
    assert claims["sub"] == "demo/app"
    assert claims["eat_nonce"] == "bm9uY2Utbm9uY2U"
    assert claims["submods"]["enclave"]["ear_verifier_claims"]["session_hash"] == digest
    assert claims["submods"]["enclave"]["ear_attester_claims"]["mrenclave"] == str(app.measurement)
    assert claims["ear_status"] == "contraindicated", "nothing protects platform sim"
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, algorithms=["ES256"], audience="https://other.example")
    imported = joserfc.jwk.KeySet.import_key_set(json.loads(_key_set(client)))
    again = joserfc.jwt.decode(token, imported, algorithms=["ES256"])
    assert again.header["typ"] == "eat+jwt"
    assert again.claims == claims
    joserfc.jwt.JWTClaimsRegistry(aud={"essential": True, "value": _AUDIENCE}).validate(again.claims)


def test_our_library_verifies_tokens(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """With a key that the service has proven to have."""
    _post(client, document())
    app.attest()
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    proof = prove_key(key, app.connection.exporter())
    encoded = {"key": base64.b64encode(public).decode(), "proof": base64.b64encode(proof).decode()}
    keys = KeySet.from_json(_key_set(client))
    now = dt.datetime.now(dt.UTC)
    issuer = f"urn:bannock:cas:{cas.key_hash}"
    result = verify_token(_token(app, **encoded), keys, audience=_AUDIENCE, issuer=issuer, at=now)
    assert result.key == key.public_key()
    assert (result.session, result.service) == ("demo", "app")
    assert dt.timedelta(0) < result.expires - now <= dt.timedelta(hours=1)
    entry = cas.cas.audit_log()[-1]
    assert entry.event == "token_issued"
    assert (entry.facts["audience"], entry.facts["token"]) == (_AUDIENCE, result.identifier)


def test_the_key_of_somebody_else_is_not_named(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """A proof that was made on another connection, by whoever has the key, is good for that one alone."""
    _post(client, document())
    app.attest()
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with enclave(cas.enclave_address, cas.key_hash) as victim:
        proof = prove_key(key, victim.connection.exporter())
    encoded = {"key": base64.b64encode(public).decode(), "proof": base64.b64encode(proof).decode()}
    with pytest.raises(DeniedError, match="does not prove to have the key"):
        _token(app, **encoded)
    with pytest.raises(InputError):
        _token(app, key=encoded["key"])


def test_who_was_not_attested_gets_none(client: Connection, app: Enclave) -> None:
    """Neither before an attestation nor after one that was refused."""
    _post(client, document())
    with pytest.raises(DeniedError, match="has not been attested"):
        _token(app)
    app.attest()
    _token(app)
    with pytest.raises(DeniedError):
        app.attest(service="other")
    with pytest.raises(DeniedError, match="has not been attested"):
        _token(app)


def test_a_session_that_changed_has_to_decide_anew(client: Connection, app: Enclave) -> None:
    """What it says now is not what the connection was attested by."""
    digest = _post(client, document())
    app.attest()
    _post(client, document(predecessor=digest, variable="two"))
    with pytest.raises(ConflictError, match="was changed since"):
        _token(app)
    app.attest()
    _token(app)


def test_a_session_that_decides_nothing_vouches_for_nothing(client: Connection, app: Enclave) -> None:
    """With ``mode: none`` every enclave gets the configuration; the token does not affirm what nobody looked at."""
    _post(client, 'name: demo\nversion: "0.3.10"\nservices: [{name: app}]\nsecurity: {attestation: {mode: none}}\n')
    app.attest()
    claims: dict[str, Any] = jwt.decode(_token(app), options={"verify_signature": False})
    vector = claims["submods"]["enclave"]["ear_trustworthiness_vector"]
    assert (vector["executables"], vector["configuration"]) == (33, 36)


@pytest.mark.parametrize(
    "wish", [{"audience": ""}, {"lifetime": 1}, {"lifetime": 86401}, {"nonce": "short"}, {"more": 1}, {"key": "x" * 9}]
)
def test_wishes_that_cannot_be_are_refused(app: Enclave, wish: dict[str, object]) -> None:
    """As malformed requests."""
    with pytest.raises(InputError):
        _token(app, **wish)


def test_keys_follow_from_the_cas(tmp_path: Path) -> None:
    """A restart, and every process of a CAS, has the same; another CAS has others."""
    config = CasConfig.in_directory(tmp_path / "one")
    with Cas(config) as cas:
        first = cas.tokens.key_set.to_document()
    with Cas(config) as cas:
        assert cas.tokens.key_set.to_document() == first
    with Cas(CasConfig.in_directory(tmp_path / "two")) as cas:
        assert cas.tokens.key_set.to_document() != first


def test_discovery_needs_an_address(client: Connection, tmp_path: Path) -> None:
    """An issuer that is an URL is found as issuers of identity tokens are."""
    assert client.request("GET", "/.well-known/openid-configuration").status == 404
    (tmp_path / "cas.toml").write_text('[tokens]\nissuer = "https://cas.example:8081/"\n')
    with Cas(load_config(tmp_path / "cas.toml", home=tmp_path / "cas")) as cas:
        found = cas.tokens.discovery()
    assert found["issuer"] == "https://cas.example:8081"
    assert found["jwks_uri"] == "https://cas.example:8081/.well-known/jwks.json"
    (tmp_path / "cas.toml").write_text('[tokens]\nissuer = "http://cas.example"\n')
    with pytest.raises(InputError, match="is an address with https://"):
        load_config(tmp_path / "cas.toml", home=tmp_path / "cas")
