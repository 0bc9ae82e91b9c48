"""The attestation of a CAS: what the client accepts, and every single thing that it does not."""

from __future__ import annotations

import base64
import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.cas.derived_keys import provisioning_token, session_encryption_key, software_identity
from bannock.cas.self_attestation import SelfAttestation
from bannock.errors import BannockError, DeniedError, EvidenceError
from bannock.evidence.cas_verifier import CasExpectations, verify_cas, verify_cas_report
from bannock.identity.cas_program import cas_measurement
from bannock.net.tls import Identity
from bannock.values import KeyHash, Measurement

_NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_NONCE = "5a" * 32
_EXPORTER = b"x" * 32
_CAS = Identity.generate("CAS")
_SELF = SelfAttestation(_CAS, las=None)
_ANY = CasExpectations(any_software=True, allow_simulation=True, allow_unprovisioned=True)


def _document(
    *, nonce: str | None = _NONCE, provisioned: bool = True, required: bool = False, access: bool = False
) -> dict[str, Any]:
    statement = _SELF.statement(
        nonce=nonce,
        exporter=_EXPORTER,
        provisioned=provisioned,
        provisioning_required=required,
        owner_secret_access=access,
    )
    return _SELF.document(statement)


def _bytes(document: object) -> bytes:
    return json.dumps(document).encode()


def test_a_cas_is_attested() -> None:
    """What is expected is found: keys, measurement, and the warning that the platform protects nothing."""
    expected = CasExpectations(
        mrenclaves=frozenset({cas_measurement(), Measurement(bytes(32))}),
        key_hash=_CAS.key_hash,
        software_key_hash=_SELF.software.key_hash,
        allow_simulation=True,
    )
    found = verify_cas(_bytes(_document()), expected, nonce=_NONCE, exporter=_EXPORTER, peer=_CAS.key_hash, at=_NOW)
    assert found.key_hash == _CAS.key_hash
    assert found.claims.measurement == cas_measurement()
    assert "platform sim" in found.warnings[0]
    assert found.statement.certificate.encode() == _CAS.certificate_pem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mrenclaves": frozenset({Measurement(b"m" * 32)})},
            "Enclave hash does not match expectation: expected 6d6d",
        ),
        ({"any_software": False}, "Enclave hash does not match expectation: none is expected"),
        ({"mrsigner": Measurement(b"s" * 32)}, "Enclave signer does not match expectation"),
        ({"mrsigner": Measurement(bytes(32)), "isvprodid": 7}, "Product id does not match expectation: expected 7"),
        ({"mrsigner": Measurement(bytes(32)), "isvsvn": 1}, "Security version does not match .* expected 1 or later"),
        ({"any_software": True, "key_hash": KeyHash(b"k" * 32)}, "CAS key hash does not match"),
        ({"any_software": True, "software_key_hash": KeyHash(b"k" * 32)}, "CAS software key hash does not match"),
        ({"any_software": True, "allow_simulation": False}, "simulation, in which nothing protects it"),
    ],
)
def test_each_expectation_counts(change: dict[str, Any], message: str) -> None:
    """One thing that differs is enough, and is told as such."""
    expected = replace(_ANY, any_software=False, **change) if "any_software" not in change else replace(_ANY, **change)
    with pytest.raises(DeniedError, match=message):
        verify_cas_report(_bytes(_document()), expected, nonce=_NONCE, at=_NOW)


def test_a_cas_that_waits_for_its_owner_is_told_apart() -> None:
    """So is one whose owner can open its database; both are accepted where the user says so."""
    document = _bytes(_document(provisioned=False, required=True, access=True))
    with pytest.raises(DeniedError, match="not provisioned") as caught:
        verify_cas_report(document, replace(_ANY, allow_unprovisioned=False), nonce=_NONCE, at=_NOW)
    assert "chose the key of its database" in caught.value.reasons[0]
    assert verify_cas_report(document, replace(_ANY, allow_owner_secret_access=True), nonce=_NONCE, at=_NOW)


def test_all_differences_are_told_at_once() -> None:
    """The first is the message, as scripts read it; the others are its reasons."""
    expected = CasExpectations(mrenclaves=frozenset({Measurement(b"m" * 32)}), key_hash=KeyHash(b"k" * 32))
    with pytest.raises(DeniedError, match="Enclave hash does not match") as caught:
        verify_cas_report(_bytes(_document()), expected, nonce=_NONCE, at=_NOW)
    assert len(caught.value.reasons) == 2


def test_an_attestation_is_good_for_one_nonce_one_connection_and_one_key() -> None:
    """Neither replayed nor relayed evidence is accepted, not even by who accepts any software."""
    document = _bytes(_document())
    with pytest.raises(EvidenceError, match="another nonce"):
        verify_cas(document, _ANY, nonce="00" * 32, exporter=_EXPORTER, peer=_CAS.key_hash, at=_NOW)
    with pytest.raises(EvidenceError, match="another connection"):
        verify_cas(document, _ANY, nonce=_NONCE, exporter=b"y" * 32, peer=_CAS.key_hash, at=_NOW)
    with pytest.raises(EvidenceError, match="another CAS"):
        verify_cas(document, _ANY, nonce=_NONCE, exporter=_EXPORTER, peer=KeyHash(bytes(32)), at=_NOW)
    with pytest.raises(EvidenceError, match="another nonce"):
        verify_cas_report(_bytes(_document(nonce=None)), _ANY, nonce=_NONCE, at=_NOW)
    assert verify_cas_report(_bytes(_document(nonce=None)), _ANY, nonce=None, at=_NOW)


@pytest.mark.parametrize("key", sorted(_document()["statement"]))
def test_evidence_vouches_for_every_word(key: str) -> None:
    """A statement in which one word is changed does not go with the evidence."""
    document = _document()
    other = SelfAttestation(Identity.generate("CAS"), las=None)
    statement = other.statement(
        nonce="11", exporter=b"z" * 32, provisioned=False, provisioning_required=True, owner_secret_access=True
    ).to_document()
    statement["version"] = "another"
    document["statement"][key] = statement[key]
    with pytest.raises(EvidenceError):
        verify_cas_report(_bytes(document), replace(_ANY, allow_owner_secret_access=True), nonce=None, at=_NOW)


def test_a_software_key_of_another_cas_is_refused() -> None:
    """The certificate of the software is the CAS's own, even if the evidence were made for another."""
    statement = _SELF.statement(
        nonce=None, exporter=b"", provisioned=True, provisioning_required=False, owner_secret_access=False
    )
    foreign = software_identity(Identity.generate("CAS"), cas_measurement()).certificate_pem.decode()
    forged = _SELF.document(replace(statement, software_certificate=foreign))
    with pytest.raises(EvidenceError, match="not issued by the key of the CAS"):
        verify_cas_report(_bytes(forged), _ANY, nonce=None, at=_NOW)


@settings(max_examples=200)
@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists) | st.binary())
def test_arbitrary_documents_are_refused(content: object) -> None:
    """Whatever is sent in place of an attestation, or of a part of it, is one of our errors."""
    whole = content if isinstance(content, bytes) else _bytes(content)
    with pytest.raises(BannockError):
        verify_cas_report(whole, _ANY, nonce=None, at=_NOW)
    if not isinstance(content, bytes):
        for part in ("statement", "evidence", "format"):
            with pytest.raises(BannockError):
                verify_cas_report(_bytes(_document() | {part: content}), _ANY, nonce=None, at=_NOW)


def test_derived_keys_are_those_of_one_cas_and_one_purpose() -> None:
    """Every process has the same keys; another CAS, another software and another purpose have others."""
    again, other = Identity.from_pem(_CAS.to_pem().reveal()), Identity.generate("CAS")
    first, second = Measurement(bytes(32)), Measurement(b"m" * 32)
    software = software_identity(again, first)
    assert software.to_pem() == software_identity(_CAS, first).to_pem()
    keys = {
        _CAS.key_hash,
        software.key_hash,
        software_identity(_CAS, second).key_hash,
        software_identity(other, first).key_hash,
    }
    assert len(keys) == 4
    numbers = {session_encryption_key(each).private_numbers().private_value for each in (_CAS, again, other)}
    assert len(numbers) == 2
    assert len(provisioning_token(_CAS)) == 32
    assert provisioning_token(again) == provisioning_token(_CAS) != provisioning_token(other)


def test_certificates_of_no_version_are_refused() -> None:
    """The library has an error of its own for them."""
    der = bytearray(_CAS.certificate.public_bytes(Encoding.DER))
    place = bytes(der).index(b"\xa0\x03\x02\x01\x02") + 4
    der[place] = 3
    pem = "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(bytes(der)).decode() + "-----END CERTIFICATE-----\n"
    document = _document()
    document["statement"] = {**document["statement"], "cas_certificate": pem}
    with pytest.raises(EvidenceError, match="malformed"):
        verify_cas_report(_bytes(document), _ANY, nonce=_NONCE, at=_NOW)
