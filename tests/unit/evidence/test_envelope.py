"""Evidence: authentic in exactly one byte form, and for exactly one attestation."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError, InputError
from bannock.evidence.attester import SIGNATURE_CONTEXT, SimAttester
from bannock.evidence.envelope import ENVELOPE_BYTES_MAX, Envelope
from bannock.evidence.quotes import SimQuote
from bannock.evidence.report import Report, report_data
from bannock.evidence.verifier import verify
from bannock.policy.canonical import canonical_json
from bannock.values import KeyHash, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable

_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_PUBLIC: Final = _KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
_DATA: Final = report_data(b"n" * 32, b"e" * 32, KeyHash(b"k" * 32))
_REPORT: Final = Report(
    measurement=Measurement(b"m" * 32), signer=Measurement(bytes(32)), product_id=7, svn=3, debug=False, data=_DATA
)
_EVIDENCE: Final = SimAttester(_KEY).attest(_REPORT).to_json()


def _verify(evidence: bytes, data: bytes = _DATA) -> None:
    verify(evidence, expected_report_data=data, at=_AT)


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    fields = json.loads(_EVIDENCE)
    change(fields)
    return canonical_json(fields)


def test_evidence_says_what_was_reported() -> None:
    """What is verified are the claims of the report, of platform sim, with a warning and the attester's key."""
    appraisal = verify(_EVIDENCE, expected_report_data=_DATA, at=_AT)
    claims = appraisal.claims
    assert (claims.platform, claims.measurement, claims.signer) == ("sim", _REPORT.measurement, _REPORT.signer)
    assert (claims.product_id, claims.svn, claims.debug) == (7, 3, False)
    assert appraisal.attester == KeyHash(hashlib.sha256(_PUBLIC).digest())
    assert any("sim" in warning for warning in appraisal.warnings)


def test_every_flipped_bit_is_refused() -> None:
    """No single bit of an envelope can change."""
    for position in range(len(_EVIDENCE)):
        for bit in range(8):
            data = bytearray(_EVIDENCE)
            data[position] ^= 1 << bit
            with pytest.raises(EvidenceError):
                _verify(bytes(data))


def test_every_cut_is_refused() -> None:
    """No end of an envelope can be missing, and nothing can follow it."""
    for size in range(len(_EVIDENCE)):
        with pytest.raises(EvidenceError):
            _verify(_EVIDENCE[:size])
    for more in (b" ", b"\n", b"\0", b"{}"):
        with pytest.raises(EvidenceError):
            _verify(_EVIDENCE + more)


@given(st.integers(0, len(_EVIDENCE)), st.integers(0, len(_EVIDENCE)), st.binary(max_size=8))
def test_no_other_bytes_parse_to_the_same(start: int, end: int, put: bytes) -> None:
    """Whatever replaces a part of an envelope: either it is the same bytes, or it is not the same envelope."""
    data = _EVIDENCE[:start] + put + _EVIDENCE[max(start, end) :]
    if data == _EVIDENCE:
        return
    try:
        parsed = Envelope.from_json(data)
    except EvidenceError:
        return
    assert parsed != Envelope.from_json(_EVIDENCE)
    assert parsed.to_json() == data


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_raise_our_error(data: bytes) -> None:
    """Bytes that are no evidence raise nothing but EvidenceError."""
    for parse in (Envelope.from_json, Report.from_json, _verify):
        with pytest.raises(EvidenceError):
            parse(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(more=1),
        lambda fields: fields["quote"].update(more=1),
        lambda fields: fields.pop("signature"),
        lambda fields: fields.update(format="bannock-evidence-1"),
        lambda fields: fields.update(format=["bannock-evidence-2"]),
        lambda fields: fields["quote"].update(platform="sgx"),
        lambda fields: fields["quote"].update(platform={}),
        lambda fields: fields.update(quote=[]),
        lambda fields: fields.update(quote=None),
        lambda fields: fields.update(report=1),
        lambda fields: fields.update(report=fields["report"] + "===="),
        lambda fields: fields.update(report=" " + fields["report"]),
        lambda fields: fields["quote"].update(key=""),
        lambda fields: fields.update(signature=""),
        lambda fields: fields.update(signature=base64.b64encode(bytes(64)).decode()),
    ],
)
def test_changed_fields_are_refused(change: Callable[[dict[str, Any]], object]) -> None:
    """Fields that are unknown, missing, of another type or spelled otherwise are refused."""
    with pytest.raises(EvidenceError):
        _verify(_changed(change))


def test_padding_bits_of_base64_are_refused() -> None:
    """The bits that base64 has to spare are zero, or there would be two texts for the same bytes."""
    fields = json.loads(_EVIDENCE)
    text = fields["signature"]
    assert text.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    fields["signature"] = text[:-3] + alphabet[alphabet.index(text[-3]) + 1] + "=="
    assert base64.b64decode(fields["signature"]) == base64.b64decode(text)
    with pytest.raises(EvidenceError, match="canonical"):
        _verify(canonical_json(fields))


@pytest.mark.parametrize("data", [b"[" * 60_000, b'{"format":' * 6_000, b" " * (ENVELOPE_BYTES_MAX + 1), b"1" * 5_000])
def test_hostile_documents_are_refused(data: bytes) -> None:
    """Depth, length and long numbers end in our error."""
    with pytest.raises(EvidenceError):
        _verify(data)


def _signed(report: bytes, key: Ed25519PrivateKey = _KEY, public: bytes = _PUBLIC) -> bytes:
    signature = key.sign(SIGNATURE_CONTEXT + report)
    return Envelope(report=report, quote=SimQuote(key=public), signature=signature).to_json()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mrenclave", "00"),
        ("mrenclave", "M" * 64),
        ("mrenclave", None),
        ("mrsigner", "00" * 33),
        ("product_id", 65536),
        ("product_id", -1),
        ("product_id", True),
        ("product_id", "7"),
        ("svn", 1.0),
        ("debug", 0),
        ("debug", "false"),
        ("debug", None),
        ("report_data", "00" * 63),
        ("report_data", _DATA.hex().upper()),
        ("report_data", 1),
        ("more", 1),
    ],
)
def test_signed_report_is_strict_too(field: str, value: Any) -> None:
    """A report with an odd field is refused even under a good signature."""
    fields = json.loads(_REPORT.to_json()) | {field: value}
    with pytest.raises(EvidenceError):
        _verify(_signed(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()))


def test_signature_is_for_reports_only() -> None:
    """A signature over the same bytes without the context is worth nothing."""
    report = _REPORT.to_json()
    envelope = Envelope(report=report, quote=SimQuote(key=_PUBLIC), signature=_KEY.sign(report))
    with pytest.raises(EvidenceError, match="signature"):
        _verify(envelope.to_json())


def test_another_key_is_refused() -> None:
    """A report signed by one key and vouched for by another does not verify."""
    with pytest.raises(EvidenceError, match="signature"):
        _verify(_signed(_REPORT.to_json(), Ed25519PrivateKey.generate()))


def test_key_of_another_kind_is_refused() -> None:
    """The attester of sim has an Ed25519 key in its canonical form."""
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    for public in (other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), _PUBLIC + b"\0", b"", b"\x30"):
        with pytest.raises(EvidenceError, match="attester's key"):
            _verify(_signed(_REPORT.to_json(), public=public))


@pytest.mark.parametrize(
    "data",
    [
        report_data(b"N" * 32, b"e" * 32, KeyHash(b"k" * 32)),
        report_data(b"n" * 32, b"E" * 32, KeyHash(b"k" * 32)),
        report_data(b"n" * 32, b"e" * 32, KeyHash(b"K" * 32)),
        b"",
        bytes(64),
    ],
)
def test_evidence_is_for_one_attestation(data: bytes) -> None:
    """Evidence for another nonce, another connection or another key is refused: no replay, no relay."""
    with pytest.raises(EvidenceError, match="another attestation"):
        _verify(_EVIDENCE, data)


def test_report_data_against_its_definition() -> None:
    """The binding is SHA-512 over context, nonce, exporter and key hash, and takes no other lengths."""
    expected = hashlib.sha512(b"bannock attestation 1\0" + b"n" * 32 + b"e" * 32 + b"k" * 32).digest()
    assert expected == _DATA
    for nonce, exporter in ((b"n" * 31, b"e" * 33), (b"n" * 33, b"e" * 32), (b"", b"e" * 32)):
        with pytest.raises(InputError):
            report_data(nonce, exporter, KeyHash(b"k" * 32))


def test_report_is_checked_when_made() -> None:
    """A report that could not be parsed cannot be made."""
    for change in ({"data": b"short"}, {"svn": 1 << 16}, {"product_id": -1}):
        with pytest.raises(InputError):
            dataclasses.replace(_REPORT, **change)
