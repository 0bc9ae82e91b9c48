"""Attestation over real TLS: who gets a configuration, who does not, and why; and what goes on after it."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.errors import BannockError, ConflictError, DeniedError, InputError, NotFoundError, causes
from bannock.evidence.attester import SimAttester
from bannock.net.client import connect
from bannock.values import FspfTag, Measurement
from tests.integration.cas.enclaves import enclave
from tests.unit.cas.documents import MEASUREMENT, document

if TYPE_CHECKING:
    from bannock.cas import EmbeddedCas
    from bannock.net.client import Connection
    from tests.integration.cas.enclaves import Enclave

_ONE, _TWO, _THREE = (FspfTag(letter * 16) for letter in (b"1", b"2", b"3"))


def _post(client: Connection, text: str) -> str:
    answer = client.request("POST", "/session", text.encode())
    assert answer.status == 201, answer.body
    return str(json.loads(answer.body)["hash"])


def _lines(error: BaseException) -> list[str]:
    return [
        line
        for cause in causes(error)
        for line in (str(cause), *(cause.reasons if isinstance(cause, BannockError) else ()))
    ]


def test_the_enclave_of_the_session_gets_its_configuration(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """Arguments with their secrets, environment, and volumes with keys; the audit log tells who got it."""
    digest = _post(client, document(made="value: open-sesame"))
    configuration = app.attest()
    assert configuration.argv == ("/bin/app", "--password", "open-sesame")
    assert configuration.environment["VARIABLE"] == "one"
    assert [(volume.name, volume.path, volume.tag) for volume in configuration.volumes] == [
        ("output", "/output", None)
    ]
    entry = cas.cas.audit_log()[-1]
    assert entry.event == "service_attested"
    assert entry.facts["hash"] == digest
    assert entry.facts["mrenclave"] == str(MEASUREMENT)
    assert entry.facts["platform"] == "sim"
    assert entry.facts["enclave"] == str(app.identity.key_hash)


def test_another_enclave_is_refused_with_reasons(
    cas: EmbeddedCas, client: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Expected and actual measurement reach the client, the operator's log and the audit log."""
    _post(client, document())
    found = Measurement(b"\x33" * 32)
    with enclave(cas.enclave_address, cas.key_hash, found) as other, pytest.raises(DeniedError) as caught:
        other.attest()
    expected = f"Unexpected enclave measurement (MRENCLAVE, {found}) - Expected {MEASUREMENT}"
    assert any(expected in line for line in _lines(caught.value))
    assert any(expected in record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    entry = cas.cas.audit_log()[-1]
    assert entry.event == "service_refused"
    assert any(expected in line for line in entry.facts["reasons"] or [])


def test_simulation_is_refused_unless_the_session_accepts_it(client: Connection, app: Enclave) -> None:
    """A session that does not list simulation gives nothing to an enclave that nothing protects."""
    _post(client, document(tolerate=""))
    with pytest.raises(DeniedError) as caught:
        app.attest()
    assert any("Unexpected platform (platform, sim)" in line for line in _lines(caught.value))


def test_evidence_without_a_nonce_is_refused(client: Connection, app: Enclave) -> None:
    """Evidence for a nonce of the enclave's own is worth nothing."""
    _post(client, document())
    with pytest.raises(DeniedError) as caught:
        app.present(app.evidence(b"n" * 32))
    assert any("no nonce is open on this connection" in line for line in _lines(caught.value))


def test_a_nonce_is_good_for_one_attestation(client: Connection, app: Enclave) -> None:
    """The same evidence a second time is a replay, on the very same connection too."""
    _post(client, document())
    evidence = app.evidence(app.nonce())
    app.present(evidence)
    with pytest.raises(DeniedError) as caught:
        app.present(evidence)
    assert any("no nonce is open" in line for line in _lines(caught.value))


def test_a_nonce_is_spent_by_a_failure(client: Connection, app: Enclave) -> None:
    """There is no second try with one nonce."""
    _post(client, document())
    nonce = app.nonce()
    for message in ("made for another attestation", "no nonce is open"):
        with pytest.raises(DeniedError) as caught:
            app.present(app.evidence(nonce, exporter=b"e" * 32))
        assert any(message in line for line in _lines(caught.value))


def test_an_older_nonce_is_void(client: Connection, app: Enclave) -> None:
    """Only the newest nonce of a connection counts."""
    _post(client, document())
    evidence = app.evidence(app.nonce())
    app.nonce()
    with pytest.raises(DeniedError) as caught:
        app.present(evidence)
    assert any("made for another attestation" in line for line in _lines(caught.value))


def test_evidence_of_another_connection_is_refused(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """Relayed evidence, with the nonce of the relay but made for the victim's connection, is refused."""
    _post(client, document())
    with enclave(cas.enclave_address, cas.key_hash) as relay:
        nonce = relay.nonce()
        with pytest.raises(DeniedError) as caught:
            relay.present(app.evidence(nonce, key=relay.identity.key_hash))
    assert any("made for another attestation" in line for line in _lines(caught.value))


def test_evidence_for_another_key_is_refused(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """Evidence that names another enclave's key is refused."""
    _post(client, document())
    with pytest.raises(DeniedError) as caught:
        app.present(app.evidence(app.nonce(), key=cas.key_hash))
    assert any("made for another attestation" in line for line in _lines(caught.value))


def test_an_enclave_without_a_certificate_is_refused(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """Without a key there is nothing that evidence could be bound to."""
    _post(client, document())
    with connect(*cas.enclave_address, None, expected_peer=cas.key_hash) as anonymous:
        app.connection = anonymous
        with pytest.raises(DeniedError) as caught:
            app.attest()
    assert any("the enclave showed no certificate" in line for line in _lines(caught.value))


def test_evidence_with_another_signature_is_refused(client: Connection, app: Enclave) -> None:
    """The report has to be the one that the attester's key has signed."""
    _post(client, document())
    nonce = app.nonce()
    evidence = app.evidence(nonce)
    app.attester = SimAttester(Ed25519PrivateKey.from_private_bytes(b"o" * 32))
    evidence["quote"] = app.evidence(nonce)["quote"]
    with pytest.raises(DeniedError) as caught:
        app.present(evidence)
    assert any("signature of the report does not verify" in line for line in _lines(caught.value))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"session": "demo"}', b"[" * 100_000, b'{"session":1}', b"\xff"])
def test_a_malformed_request_is_refused(app: Enclave, body: bytes) -> None:
    """Whatever is sent, the answer is a problem of the client's."""
    answer = app.connection.request("POST", "/v1/enclave/attest", body)
    assert answer.status == 400
    assert json.loads(answer.body)["msg"]


def test_deeply_nested_evidence_is_refused(client: Connection, app: Enclave) -> None:
    """Nesting costs the client its request, and nothing else."""
    _post(client, document())
    nested = b'{"a":' * 900 + b"1" + b"}" * 900
    body = b'{"session": "demo", "service": "app", "evidence": ' + nested + b"}"
    app.nonce()
    assert app.connection.request("POST", "/v1/enclave/attest", body).status in {400, 403}


def test_unknown_sessions_and_services_are_not_found(client: Connection, app: Enclave) -> None:
    """The enclave is told which of them is not there."""
    _post(client, document())
    with pytest.raises(NotFoundError, match="Session not found: nope"):
        app.attest(session="nope")
    with pytest.raises(NotFoundError, match="session demo has no service 'nope'"):
        app.attest(service="nope")


def test_a_commit_needs_an_attestation(client: Connection, app: Enclave) -> None:
    """A connection that was not attested, or was refused since, commits nothing."""
    _post(client, document())
    with pytest.raises(DeniedError, match="has not been attested"):
        app.commit(None, _ONE)
    app.attest()
    app.commit(None, _ONE)
    with pytest.raises(DeniedError):
        app.present(app.evidence(app.nonce(), exporter=b"e" * 32))
    with pytest.raises(DeniedError, match="has not been attested"):
        app.commit(_ONE, _TWO)


def test_a_commit_is_for_volumes_of_the_service(client: Connection, app: Enclave) -> None:
    """A volume that the service does not mount is out of reach."""
    _post(client, document())
    app.attest()
    with pytest.raises(DeniedError, match="mounts no such volume"):
        app.commit(None, _ONE, volume="other")


def test_commits_compare_and_swap(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """Each step starts from the state before; readers and the next enclave see the newest."""
    _post(client, document())
    app.attest()
    assert app.commit(None, _ONE) == str(_ONE)
    assert app.commit(_ONE, _TWO) == str(_TWO)
    with pytest.raises(ConflictError, match=f"is in state {_TWO}, expected {_ONE}"):
        app.commit(_ONE, _THREE)
    assert client.request_json("GET", "/v1/volumes/session=demo,volume=output") == {"tag": str(_TWO)}
    with enclave(cas.enclave_address, cas.key_hash) as successor:
        assert successor.attest().volumes[0].tag == _TWO


def test_a_commit_that_is_sent_twice_is_made_once(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """Who did not get the answer asks again, on a new connection if need be."""
    _post(client, document())
    app.attest()
    app.commit(None, _ONE)
    app.commit(None, _ONE)
    with enclave(cas.enclave_address, cas.key_hash) as again:
        again.attest()
        again.commit(None, _ONE)
    assert [entry.event for entry in cas.cas.audit_log()].count("volume_fspf_tag_updated") == 1


def test_of_two_enclaves_with_one_volume_one_commits(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """No update is lost between forks of a service: the second is told of a conflict."""
    _post(client, document())
    with enclave(cas.enclave_address, cas.key_hash) as fork:
        app.attest()
        fork.attest()
        app.commit(None, _ONE)
        with pytest.raises(ConflictError):
            fork.commit(None, _TWO)


def test_a_replaced_volume_is_out_of_reach_of_those_before(client: Connection, app: Enclave) -> None:
    """Who was attested for the old volume does not change the new one."""
    first = _post(client, document())
    app.attest()
    app.commit(None, _ONE)
    key = f"fspf_key: {'aa' * 32}\n    fspf_tag: {'bb' * 16}"
    _post(client, document(predecessor=first, volume=key))
    with pytest.raises(ConflictError, match="was replaced by an update of session demo"):
        app.commit(_ONE, _TWO)
    assert app.attest().volumes[0].tag == FspfTag.from_hex("bb" * 16)


@pytest.mark.parametrize("path", ["/v1/enclave/volumes/output/commit", "/v1/enclave/fspf/commit"])
@pytest.mark.parametrize("tag", ["", "zz" * 16, "AA" * 16, "aa" * 15, "aa" * 17])
def test_a_malformed_tag_is_refused(client: Connection, app: Enclave, path: str, tag: str) -> None:
    """A tag is 32 lower-case hexadecimal digits, and what was found is not repeated."""
    _post(client, document())
    app.attest()
    with pytest.raises(InputError, match="the request is malformed") as caught:
        app.connection.request_json("POST", path, {"expected": None, "tag": tag})
    assert "body.tag" in caught.value.reasons[0]


def test_no_secret_is_in_any_log(client: Connection, app: Enclave, caplog: pytest.LogCaptureFixture) -> None:
    """Neither success nor refusal nor error leaves a value behind."""
    with caplog.at_level(logging.DEBUG):
        text = document(made="value: canary-secret", variable="canary-variable")
        first = _post(client, text)
        app.attest()
        client.request("POST", "/session", text.encode())
        client.request("POST", "/session", (text + "canary: canary").encode())
        client.request("POST", "/session", document(predecessor=first, made="value: canary-other").encode())
        app.connection.request("POST", "/v1/enclave/volumes/output/commit", b'{"tag": "canary"}')
    assert len(caplog.records) > 5
    assert [record.getMessage() for record in caplog.records if "canary" in record.getMessage()] == []


def test_the_end_of_a_service_is_told(cas: EmbeddedCas, client: Connection) -> None:
    """The audit log has an entry for a service that was attested and has gone, and none for others."""
    _post(client, document())
    with enclave(cas.enclave_address, cas.key_hash) as attested, enclave(cas.enclave_address, cas.key_hash):
        attested.attest()
        key = str(attested.identity.key_hash)
    deadline = time.monotonic() + 20
    while (entry := cas.cas.audit_log()[-1]).event != "service_exited":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert entry.facts == {"session": "demo", "service": "app", "enclave": key}
    assert [told.event for told in cas.cas.audit_log()].count("service_exited") == 1
