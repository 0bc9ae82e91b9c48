"""Recorded evidence: what other tools wrote is told apart by its own bytes, and anything else is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import struct
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.attester import SimAttester
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.evidence.envelope import Envelope
from bannock.evidence.recorded import appraise_recorded
from bannock.evidence.report import Report
from bannock.values import Measurement

if TYPE_CHECKING:
    from bannock.policy.claims import Claims

_NOW: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def _appraise(data: bytes) -> Claims:
    return appraise_recorded(data, at=_NOW, endorsements=NO_ENDORSEMENTS)


def test_an_envelope_needs_no_nonce_any_more() -> None:
    """Its report is what it says, whatever it was bound to; a text editor may have added a line feed."""
    report = Report(
        measurement=Measurement(b"\x11" * 32),
        signer=Measurement(b"\x22" * 32),
        product_id=6,
        svn=4,
        debug=False,
        data=b"d" * 64,
    )
    envelope = SimAttester(Ed25519PrivateKey.from_private_bytes(b"l" * 32)).attest(report).to_json()
    for data in (envelope, envelope + b"\n"):
        claims = _appraise(data)
        assert (claims.platform, claims.measurement, claims.product_id, claims.svn) == (
            "sim",
            report.measurement,
            6,
            4,
        )
    other = SimAttester(Ed25519PrivateKey.from_private_bytes(b"o" * 32)).attest(report)
    with pytest.raises(EvidenceError, match="signature"):
        _appraise(dataclasses.replace(other, signature=Envelope.from_json(envelope).signature).to_json())


_VALUE: Final = st.recursive(
    st.none() | st.text(max_size=8) | st.integers() | st.just("tdx"),
    lambda inner: st.dictionaries(st.sampled_from(["platform", "key", "quote"]), inner) | st.lists(inner, max_size=2),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        st.fixed_dictionaries({"format": st.just("bannock-platform-1"), "quote": _VALUE, "endorsements": _VALUE}).map(
            lambda fields: json.dumps(fields).encode("utf-8")
        ),
        st.binary(max_size=300),
        st.binary(max_size=200).map(lambda data: b"{" + data),
        st.tuples(st.integers(2, 6), st.sampled_from([0, 0x81]), st.binary(max_size=1400)).map(
            lambda parts: struct.pack("<HHI", parts[0], 2, parts[1]) + parts[2]
        ),
        st.binary(min_size=1180, max_size=1180).map(lambda data: b"\x03\x00\x00\x00" + data),
    )
)
def test_any_bytes_raise_our_error_alone(data: bytes) -> None:
    """What looks like a quote too."""
    with pytest.raises(EvidenceError):
        _appraise(data)
