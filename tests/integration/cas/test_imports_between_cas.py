"""Secrets between two CASes over real TLS: each side trusts the other by its key, or by that of its software."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bannock.cas import EmbeddedCas
from bannock.cas.exchange import _proof
from bannock.errors import BannockError, DeniedError, causes
from bannock.net.client import connect
from bannock.net.tls import Identity
from tests.integration.cas.enclaves import enclave
from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.net.client import Connection
    from bannock.values import KeyHash


@pytest.fixture
def here(tmp_path: Path) -> Iterator[EmbeddedCas]:
    """The CAS that imports."""
    with EmbeddedCas(tmp_path / "here") as running:
        yield running


@pytest.fixture
def there(tmp_path: Path) -> Iterator[EmbeddedCas]:
    """The CAS that exports."""
    with EmbeddedCas(tmp_path / "there") as running:
        yield running


def _post(cas: EmbeddedCas, text: str) -> str:
    with connect(*cas.client_address, Identity.generate("owner"), expected_peer=cas.key_hash) as client:
        answer = client.request("POST", "/v1/sessions", text.encode())
    assert answer.status == 201, answer.body
    return str(json.loads(answer.body)["hash"])


def _software(cas: EmbeddedCas) -> KeyHash:
    return cas.cas.self_attestation.software.key_hash


def _exporter(to: str) -> str:
    return f"""
name: server
version: "0.3.10"
secrets:
  - {{name: password, kind: ascii, value: from-the-other-cas, export: [{{{to}, session: client}}]}}
  - {{name: own, kind: ascii}}
"""


def _importer(source: str) -> str:
    return f"""
name: client
version: "0.3.10"
services:
  - name: app
    command: [run, $$SCONE::theirs$$]
    mrenclaves: ["{MEASUREMENT}"]
secrets:
  - {{name: theirs, import: {{{source}, session: server, secret: password}}}}
security: {{attestation: {{tolerate: [simulation]}}}}
"""


def _key(cas: EmbeddedCas) -> str:
    return f"cas_url: {cas.enclave_address.host}:{cas.enclave_address.port}, cas_key: {cas.key_hash}"


def _software_key(cas: EmbeddedCas) -> str:
    return f"cas_url: {cas.enclave_address.host}:{cas.enclave_address.port}, cas_software_key: {_software(cas)}"


def _argv(cas: EmbeddedCas) -> tuple[str, ...]:
    with enclave(cas.enclave_address, cas.key_hash) as app:
        return app.attest(session="client").argv


def _refusal(cas: EmbeddedCas) -> str:
    """Attest in vain, and give what the audit log and the answer say of it."""
    with pytest.raises(BannockError) as caught:
        _argv(cas)
    told = "\n".join(str(cause) for cause in causes(caught.value))
    reasons = cas.cas.audit_log()[-1].facts.get("reasons")
    return told + "\n" + "\n".join(reasons if isinstance(reasons, list) else [])


@pytest.mark.parametrize("by", [_key, _software_key])
def test_a_service_gets_a_secret_of_another_cas(
    here: EmbeddedCas, there: EmbeddedCas, by: Callable[[EmbeddedCas], str]
) -> None:
    """By the key of the CAS, or by that of its software, on both sides; the exporting CAS logs it."""
    _post(there, _exporter(by(here)))
    digest = _post(here, _importer(by(there)))
    assert _argv(here) == ("run", "from-the-other-cas")
    entry = there.cas.audit_log()[-1]
    assert entry.event == "secret_exported"
    assert entry.facts["importer"] == "client"
    assert entry.facts["importer-hash"] == digest
    assert str(here.key_hash) in (entry.facts["cas"] or [])


def test_another_cas_gets_nothing(
    here: EmbeddedCas, there: EmbeddedCas, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A session of the right name on a CAS that is not the one named is somebody else; both logs tell."""
    with EmbeddedCas(tmp_path / "stranger") as stranger:
        _post(there, _exporter(_key(stranger)))
        _post(here, _importer(_key(there)))
        assert "server does not export a secret password to session client" in _refusal(here)
    assert not any(entry.event == "secret_exported" for entry in there.cas.audit_log())
    assert f"an export to the CAS {here.key_hash} is refused" in caplog.text


def test_an_export_to_a_session_here_is_none_for_one_elsewhere(here: EmbeddedCas, there: EmbeddedCas) -> None:
    """Without the other CAS in it, an export is for this CAS."""
    _post(there, _exporter("session: x").replace("session: x, session", "session"))
    _post(here, _importer(_key(there)))
    assert "does not export" in _refusal(here)


def test_who_answers_has_to_be_the_one_named(here: EmbeddedCas, there: EmbeddedCas) -> None:
    """Another key, and nothing is asked."""
    _post(there, _exporter(_key(here)))
    wrong = f"cas_url: {there.enclave_address.host}:{there.enclave_address.port}, cas_key: {here.key_hash}"
    _post(here, _importer(wrong))
    assert f"its key hash is {there.key_hash}, expected {here.key_hash}" in _refusal(here)
    assert not any(entry.event == "secret_exported" for entry in there.cas.audit_log())


def test_the_software_has_to_be_the_one_named(here: EmbeddedCas, there: EmbeddedCas) -> None:
    """After an update of the other CAS, its software key is another one, and the import says so."""
    _post(there, _exporter(_key(here)))
    wrong = f"cas_url: {there.enclave_address.host}:{there.enclave_address.port}, cas_software_key: {here.key_hash}"
    _post(here, _importer(wrong))
    assert f"its key hash is {_software(there)}, expected {here.key_hash}" in _refusal(here)


def test_a_cas_that_is_away(here: EmbeddedCas, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The service may try again, and the operator's log says which CAS cannot be reached."""
    with EmbeddedCas(tmp_path / "away") as away:
        source = _key(away)
    _post(here, _importer(source))
    assert "cannot do this now" in _refusal(here)
    assert f"cannot reach CAS at {away.enclave_address}" in caplog.text


def test_two_that_import_from_each_other_in_a_circle(here: EmbeddedCas, there: EmbeddedCas) -> None:
    """The circle is cut, and nobody waits for ever."""
    for cas, other in ((here, there), (there, here)):
        exported = f"export: [{{{_key(other)}, session: ring}}]"
        secrets = f"""
  - {{name: key, kind: private-key, {exported}}}
  - {{name: theirs, import: {{{_key(other)}, session: ring, secret: ca}}}}
  - {{name: ca, kind: x509-ca, private_key: key, issuer: theirs, {exported}}}
"""
        _post(
            cas,
            f'name: ring\nversion: "0.3.10"\nsecrets:{secrets}services: [{{name: app, command: run $$SCONE::ca$$, '
            f'mrenclaves: ["{MEASUREMENT}"]}}]\nsecurity: {{attestation: {{tolerate: [simulation]}}}}\n',
        )
    with pytest.raises(BannockError) as caught, enclave(here.enclave_address, here.key_hash) as app:
        app.attest(session="ring")
    assert any("in a circle" in str(cause) for cause in causes(caught.value))


@pytest.fixture
def stranger(there: EmbeddedCas) -> Iterator[Connection]:
    """Somebody who connects to the interface for enclaves and is no CAS."""
    with connect(*there.enclave_address, Identity.generate("stranger"), expected_peer=there.key_hash) as connection:
        yield connection


def _wish(**changed: object) -> dict[str, object]:
    wish: dict[str, object] = {
        "session": "server",
        "session_hash": None,
        "secret": "password",
        "importer": "client",
        "importer_hash": "ab" * 32,
        "hops": 1,
        "software": {"key": "", "signature": ""},
    }
    return wish | changed


def test_a_software_key_is_proven_for_the_connection(
    here: EmbeddedCas, there: EmbeddedCas, stranger: Connection
) -> None:
    """Without a proof, or with one of another connection, nobody is the software that he says he is."""
    _post(there, _exporter(_software_key(here)))
    with pytest.raises(BannockError, match="does not prove"):
        stranger.request_json("POST", "/v1/exports", _wish())
    replayed = _proof(here.cas.self_attestation.software, b"importing", b"\0" * 32)
    with pytest.raises(BannockError, match="does not prove"):
        stranger.request_json("POST", "/v1/exports", _wish(software=replayed))
    other_side = _proof(here.cas.self_attestation.software, b"exporting", stranger.exporter())
    with pytest.raises(BannockError, match="does not prove"):
        stranger.request_json("POST", "/v1/exports", _wish(software=other_side))


def test_what_a_stranger_learns(there: EmbeddedCas, stranger: Connection) -> None:
    """The same answer for what is not there and for what is not exported to him."""
    _post(there, _exporter("session: x").replace("session: x, session", "session"))
    proof = _proof(Identity.generate("software"), b"importing", stranger.exporter())
    answers = []
    for session, secret in (("server", "password"), ("server", "none"), ("nobody", "password")):
        with pytest.raises(DeniedError) as caught:
            stranger.request_json("POST", "/v1/exports", _wish(session=session, secret=secret, software=proof))
        answers.append(str(caught.value).replace(session, "S").replace(secret, "N"))
    assert len(set(answers)) == 1


def test_an_import_without_a_key_is_none(here: EmbeddedCas, there: EmbeddedCas) -> None:
    """A CAS that is not named by a key could be anybody."""
    address = f"{there.enclave_address.host}:{there.enclave_address.port}"
    with connect(*here.client_address, Identity.generate("owner"), expected_peer=here.key_hash) as client:
        answer = client.request("POST", "/v1/sessions", _importer(f"cas_url: {address}").encode())
    assert answer.status == 400, answer.body
