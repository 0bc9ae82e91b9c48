"""Whatever JSON says, evidence is verified or refused as evidence; and the formats are those of known vectors."""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.attester import SIGNATURE_CONTEXT, SimAttester
from bannock.evidence.envelope import ENVELOPE_BYTES_MAX, FORMAT, Envelope
from bannock.evidence.quotes import SimQuote
from bannock.evidence.report import Report, report_data
from bannock.evidence.verifier import verify
from bannock.values import KeyHash, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable

_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
#: The first key of RFC 8032, section 7.1.
_KEY: Final = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
_KEY_DER: Final = bytes.fromhex("302a300506032b6570032100") + bytes.fromhex(
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
)
_PUBLIC: Final = _KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
_DATA: Final = report_data(bytes(range(32)), bytes(range(32, 64)), KeyHash(bytes(range(64, 96))))
_REPORT: Final = Report(
    measurement=Measurement(b"\xaa" * 32), signer=Measurement(bytes(32)), product_id=0, svn=0, debug=False, data=_DATA
)
_EVIDENCE: Final = SimAttester(_KEY).attest(_REPORT).to_json()

_FIELDS: Final = ["format", "report", "quote", "signature", "platform", "key", "mrenclave", "svn", "debug"]
_anything: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([FORMAT, "sim", "AAAA", "00"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_FIELDS) | st.text(), inner, max_size=5)
    ),
    max_leaves=10,
)


def _bytes(document: object) -> bytes:
    """Write JSON that may have lone surrogates, infinity and not-a-number in it, as Python's own reader takes it."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _refused(evidence: bytes, match: str | None = None) -> None:
    with pytest.raises(EvidenceError, match=match):
        verify(evidence, expected_report_data=_DATA, at=_AT)


@given(_anything)
def test_any_json_is_refused(document: Any) -> None:
    """A document of any shape raises EvidenceError, as envelope and as report, and as a report that is signed."""
    data = _bytes(document)
    for parse in (_refused, Report.from_json, Envelope.from_json):
        if parse is _refused:
            _refused(data)
            continue
        with pytest.raises(EvidenceError):
            parse(data)
    signature = _KEY.sign(SIGNATURE_CONTEXT + data)
    _refused(Envelope(report=data, quote=SimQuote(key=_PUBLIC), signature=signature).to_json())


@given(st.sampled_from(["format", "report", "quote", "signature"]), _anything)
def test_any_value_of_a_field_is_refused(field: str, value: Any) -> None:
    """One field of good evidence with any other value raises EvidenceError."""
    fields = json.loads(_EVIDENCE)
    if value != fields[field]:
        _refused(_bytes(fields | {field: value}))


@given(st.sampled_from(["platform", "key"]), _anything)
def test_any_value_of_a_quote_is_refused(field: str, value: Any) -> None:
    """One field of a good quote with any other value raises EvidenceError."""
    fields = json.loads(_EVIDENCE)
    if value != fields["quote"][field]:
        _refused(_bytes(fields | {"quote": fields["quote"] | {field: value}}))


@given(st.sampled_from(["mrenclave", "mrsigner", "product_id", "svn", "debug", "report_data"]), _anything)
def test_any_value_of_a_signed_report_is_refused(field: str, value: Any) -> None:
    """One field of a report with any other value raises EvidenceError, though it is signed with the attester's key."""
    fields = json.loads(_REPORT.to_json())
    fields[field] = value
    report = _bytes(fields)
    envelope = Envelope(report=report, quote=SimQuote(key=_PUBLIC), signature=_KEY.sign(SIGNATURE_CONTEXT + report))
    if report != _REPORT.to_json() and not _is_another_report(report):
        _refused(envelope.to_json())


def _is_another_report(report: bytes) -> bool:
    """Whether a change made a good report of something else, such as one with another security version number."""
    try:
        Report.from_json(report)
    except EvidenceError:
        return False
    return True


@pytest.mark.parametrize("name", ["format", "quote", "report", "signature", "platform", "key"])
def test_doubled_names_are_refused(name: str) -> None:
    """A name that stands twice, which one reader takes the first of and another the last, is refused."""
    text = _EVIDENCE.decode()
    for first in ("null", '"x"', json.dumps(_value(name))):
        _refused(text.replace(f'"{name}":', f'"{name}":{first},"{name}":', 1).encode())


def _value(name: str) -> object:
    fields = json.loads(_EVIDENCE)
    return fields[name] if name in fields else fields["quote"][name]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: text.rstrip("="),
        lambda text: text + "=",
        lambda text: text[:4] + "\n" + text[4:],
        lambda text: text[:4] + "=" + text[4:],
        lambda text: text[:4] + "\u00e9" + text[4:],
        lambda text: text[:4] + "\ud800" + text[4:],
        lambda text: text.lower(),
        lambda text: text[:0],
    ],
)
@pytest.mark.parametrize("field", ["report", "signature", "key"])
def test_other_spellings_of_base64_are_refused(field: str, change: Callable[[str], str]) -> None:
    """There is one text for the same bytes: no other alphabet, no line feeds, the padding that there has to be."""
    fields = json.loads(_EVIDENCE)
    place = fields["quote"] if field == "key" else fields
    if change(place[field]) != place[field]:
        place[field] = change(place[field])
        _refused(_bytes(fields))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be", "utf-8-sig"])
def test_evidence_is_utf8(encoding: str) -> None:
    """The same text in another encoding, which Python's reader would take, is refused."""
    _refused(_EVIDENCE.decode().encode(encoding))


def test_order_of_names_is_one() -> None:
    """The same fields in any other order are refused."""
    fields = list(json.loads(_EVIDENCE).items())
    for order in itertools.permutations(fields):
        shuffled = list(order)
        if shuffled != sorted(shuffled):
            _refused(json.dumps(dict(shuffled), separators=(",", ":")).encode(), "canonical")


def test_size_is_bounded_before_it_is_read() -> None:
    """One byte more than allowed is refused for its size; a report has a bound of its own."""
    _refused(b"[" * (ENVELOPE_BYTES_MAX + 1), "at most")
    with pytest.raises(EvidenceError, match="at most"):
        Report.from_json(b"[" * 4097)


def test_every_flipped_bit_of_report_and_signature_is_refused() -> None:
    """No single bit of what is inside of the base64 can change either."""
    fields = json.loads(_EVIDENCE)
    for name in ("report", "signature"):
        content = base64.b64decode(fields[name])
        for bit in range(0, len(content) * 8, 3):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            _refused(_bytes(fields | {name: base64.b64encode(flipped).decode()}))


def test_evidence_against_a_vector() -> None:
    """The bytes of evidence are those of this format for ever: context, order of names, numbers and base64."""
    assert _DATA.hex() == (
        "39e5d0b9a263653d300383f6f75a201053cea3027ea0b90b0f96d433853cbf43"
        "09379e48b18708623998ca554c2cd7ee9b3459169f65c875a889129ca5fc4d89"
    )
    report = json.loads(_EVIDENCE)["report"]
    assert base64.b64decode(report) == (
        b'{"debug":false,"instance":null,"mrenclave":"'
        + b"aa" * 32
        + b'","mrsigner":"'
        + b"00" * 32
        + b'","product_id":0,'
        b'"report_data":"' + _DATA.hex().encode() + b'","svn":0}'
    )
    key = base64.b64encode(_KEY_DER).decode()
    signature = base64.b64encode(_KEY.sign(b"bannock report 2\0" + base64.b64decode(report))).decode()
    assert _EVIDENCE.decode() == (
        f'{{"endorsements":"","format":"bannock-evidence-2","quote":{{"key":"{key}","platform":"sim"}},'
        f'"report":"{report}","signature":"{signature}"}}'
    )
