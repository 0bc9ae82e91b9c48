"""Who owns a CAS, over real TLS: claiming it once, configuring it, and all others who try."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from bannock.cas import Cas, CasConfig
from bannock.cas.embedded import EmbeddedCas
from bannock.cas.owner_config import ConfigFormat
from bannock.errors import ConflictError, DeniedError, InputError
from bannock.evidence.cas_verifier import CasExpectations, verify_cas
from bannock.net.client import connect
from bannock.net.tls import Identity, key_hash_of
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.net.client import Connection

_CONFIG = '[dcap]\nsubscription_key = "5ubscription"\n'


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[EmbeddedCas]:
    """A CAS that serves nobody before it has an owner."""
    with EmbeddedCas(tmp_path / "closed", provisioning_required=True) as running:
        yield running


def _claim(cas: EmbeddedCas, connection: Connection, **changes: object) -> Any:
    body = {"token": cas.cas.owner.token, "config": _CONFIG, "format": "toml"}
    return connection.request_json("POST", "/v1/owner/provision", body | changes)


def test_a_cas_is_claimed_with_its_token(cas: EmbeddedCas, client: Connection) -> None:
    """Its owner reads the configuration, and everybody learns that there is one."""
    status = client.request_json("GET", "/v1/owner")
    assert status == {
        "cas_key_hash": str(cas.key_hash),
        "provisioned": False,
        "provisioning_required": False,
        "owner_secret_access": False,
    }
    assert _claim(cas, client) == status | {"provisioned": True}
    assert client.request_json("GET", "/v1/owner") == status | {"provisioned": True}
    answer = client.request("GET", "/v1/owner/config")
    assert (answer.body.decode(), answer.headers["content-type"]) == (_CONFIG, "application/toml")
    assert cas.cas.owner.token is None


def test_a_wrong_token_claims_nothing(cas: EmbeddedCas, client: Connection) -> None:
    """Nor does the right one without a certificate."""
    with pytest.raises(DeniedError, match="token is not the one"):
        _claim(cas, client, token="0" * 32)
    with pytest.raises(InputError, match="malformed"):
        _claim(cas, client, token="0")
    with (
        connect(*cas.client_address, None, expected_peer=cas.key_hash) as nobody,
        pytest.raises(DeniedError, match="certificate is needed"),
    ):
        _claim(cas, nobody)
    assert client.request_json("GET", "/v1/owner")["provisioned"] is False


def test_a_cas_has_one_owner(cas: EmbeddedCas, client: Connection) -> None:
    """The token is good once; a lost answer can be asked for again."""
    token = cas.cas.owner.token
    _claim(cas, client)
    assert _claim(cas, client, token=token)["provisioned"] is True
    with pytest.raises(ConflictError, match="has an owner already"):
        _claim(cas, client, token=token, config="")
    with connect(*cas.client_address, Identity.generate("bob"), expected_peer=cas.key_hash) as bob:
        with pytest.raises(ConflictError, match="has an owner already"):
            _claim(cas, bob, token=token)
        with pytest.raises(DeniedError, match="only the owner"):
            bob.request_json("GET", "/v1/owner/config")
        assert bob.request("PUT", "/v1/owner/config", b"").status == 403


def test_a_configuration_that_is_not_usable_changes_nothing(cas: EmbeddedCas, client: Connection) -> None:
    """Neither at the claim nor later; the answer has no credential."""
    with pytest.raises(InputError) as caught:
        _claim(cas, client, config='[dcap]\nsubscription = "5ubscription"\n')
    assert "did you mean dcap.subscription_key?" in "".join(caught.value.reasons)
    assert client.request_json("GET", "/v1/owner")["provisioned"] is False
    _claim(cas, client)
    answer = client.request("PUT", "/v1/owner/config", b"{", "application/json")
    assert answer.status == 400
    assert b"5ubscription" not in answer.body
    assert client.request("GET", "/v1/owner/config").body.decode() == _CONFIG


@pytest.mark.parametrize(
    ("content_type", "content", "stored"),
    [
        ("application/json; charset=utf-8", b'{"dcap": {"subscription_key": "k"}}', "application/json"),
        ("text/yaml", b"dcap: {subscription_key: k}", "application/yaml"),
        ("application/x-www-form-urlencoded", b"", "application/toml"),
    ],
)
def test_a_configuration_is_replaced(
    cas: EmbeddedCas, client: Connection, content_type: str, content: bytes, stored: str
) -> None:
    """In any of its formats."""
    _claim(cas, client)
    assert client.request("PUT", "/v1/owner/config", content, content_type).status == 200
    answer = client.request("GET", "/v1/owner/config")
    assert (answer.body, answer.headers["content-type"]) == (content, stored)


def test_content_that_is_no_configuration(cas: EmbeddedCas, client: Connection) -> None:
    """Other types, and bytes that are no text, are the client's fault."""
    _claim(cas, client)
    assert client.request("PUT", "/v1/owner/config", b"x", "image/png").status == 400
    assert client.request("PUT", "/v1/owner/config", b"\xff").status == 400


def test_an_owner_outlives_a_restart(tmp_path: Path, alice: Identity) -> None:
    """The record is sealed in the database; neither it nor the configuration is there in clear."""
    config = CasConfig.in_directory(tmp_path / "cas")
    with Cas(config) as cas:
        token = cas.owner.token
        assert token is not None
    with Cas(config) as cas:
        assert cas.owner.token == token
        cas.owner.provision(alice.key_hash, token, _CONFIG, ConfigFormat.TOML)
    with Cas(config) as cas:
        assert cas.owner.read(alice.key_hash).text == _CONFIG
        assert cas.owner.token is None
    files = b"".join(path.read_bytes() for path in config.database.parent.iterdir() if path.is_file())
    assert b"5ubscription" not in files
    assert token.encode() not in files


def test_two_processes_share_one_owner(tmp_path: Path, alice: Identity) -> None:
    """What one of them is told, the other takes over, its audit log included."""
    config = CasConfig.in_directory(tmp_path / "cas")
    with Cas(config) as first, Cas(config) as second:
        token = str(first.owner.token)
        first.owner.provision(
            alice.key_hash, token, '[audit_log]\nmode="unsigned"\nsink="database"', ConfigFormat.TOML
        )
        assert second.owner.record is None
        second.owner.refresh()
        assert second.owner.record == first.owner.record
        assert second.store.journal.config == first.store.journal.config
        with pytest.raises(ConflictError):
            second.owner.provision(Identity.generate("bob").key_hash, token, "", ConfigFormat.TOML)


def test_the_audit_log_tells_of_the_owner(cas: EmbeddedCas, client: Connection, alice: Identity) -> None:
    """Who it is, and each change of the configuration; nothing of what is in it."""
    _claim(cas, client)
    client.request("PUT", "/v1/owner/config", b'[audit_log]\nsink = "database"\n', "application/toml")
    entries = [(entry.event, dict(entry.facts)) for entry in cas.cas.audit.verified()]
    assert ("cas_provisioned", {"owner": str(alice.key_hash)}) in entries
    assert ("owner_config_updated", {"owner": str(alice.key_hash)}) in entries
    assert "5ubscription" not in repr(entries)


def test_a_cas_that_needs_an_owner_serves_nobody_before(closed: EmbeddedCas, alice: Identity) -> None:
    """It says so, can be attested and claimed, and serves everybody afterwards."""
    with connect(*closed.client_address, alice, expected_peer=closed.key_hash) as client:
        answer = client.request("POST", "/v1/sessions", document().encode())
        assert answer.status == 403
        assert json.loads(answer.body)["msg"][0] == "this CAS has no owner yet, and serves nobody before"
        assert client.request("GET", "/v1/values/session=demo").status == 403
        with connect(*closed.enclave_address, alice, expected_peer=closed.key_hash) as enclave:
            assert enclave.request("POST", "/v1/enclave/nonce").status == 403
            _attest(client, refused=True)
            _claim(closed, client)
            assert enclave.request("POST", "/v1/enclave/nonce").status == 200
        assert client.request("POST", "/v1/sessions", document().encode()).status == 201
        _attest(client, refused=False)


def _attest(connection: Connection, *, refused: bool) -> None:
    nonce = "00" * 32
    arguments: Any = {
        "nonce": nonce,
        "exporter": connection.exporter(),
        "peer": connection.peer_key_hash,
        "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    }
    body = connection.request("GET", f"/v1/attest?nonce={nonce}").body
    expected = CasExpectations(any_software=True, allow_simulation=True)
    if refused:
        with pytest.raises(DeniedError, match="not provisioned"):
            verify_cas(body, expected, **arguments)
    else:
        assert verify_cas(body, expected, **arguments).statement.provisioned


def test_the_owner_decides_what_the_certificate_says(cas: EmbeddedCas, client: Connection) -> None:
    """From the next connection on; key and names that it had before stay."""
    config = (
        '[api_identity]\ncommon_name = "Our CAS"\nalt_names = ["cas.example.org", "10.1.2.3"]\ncountry_name = "DE"'
    )
    _claim(cas, client, config=config)
    with socket.create_connection((cas.client_address.host, cas.client_address.port)) as raw:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(raw) as tls:
            certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    assert key_hash_of(certificate) == cas.key_hash
    assert certificate.subject.rfc4514_string() == "CN=Our CAS,C=DE"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"cas.example.org", "localhost", "cas"} <= set(names.get_values_for_type(x509.DNSName))
    assert "10.1.2.3" in map(str, names.get_values_for_type(x509.IPAddress))
