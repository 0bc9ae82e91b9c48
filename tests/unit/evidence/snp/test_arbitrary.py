"""Whatever bytes say, they are read or refused as evidence."""

from __future__ import annotations

import contextlib
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.der import Der, oid_text
from bannock.evidence.snp.certificates import ChipKey, VendorCertificate
from bannock.evidence.snp.report import REPORT_BYTES, AttestationReport
from tests.unit.evidence.snp.samples import appraise, read

_REPORT: Final = read("milan-v3-vlek.report")
_CERTIFICATE: Final = read("milan-v3-vlek.vlek.der")


@st.composite
def _changed(draw: st.DrawFn, data: bytes) -> bytes:
    """Give bytes of which a part is replaced, or taken out."""
    start = draw(st.integers(0, len(data) - 1))
    end = draw(st.integers(start, min(len(data), start + 80)))
    return data[:start] + draw(st.binary(max_size=80)) + data[end:]


@given(st.binary() | st.binary(min_size=REPORT_BYTES, max_size=REPORT_BYTES) | _changed(_REPORT))
def test_any_report(data: bytes) -> None:
    """Any bytes are a report, or refused."""
    with contextlib.suppress(EvidenceError):
        AttestationReport.from_bytes(data)


@given(st.binary() | _changed(_CERTIFICATE))
def test_any_certificate(data: bytes) -> None:
    """Any bytes are a certificate, or refused."""
    with contextlib.suppress(EvidenceError):
        certificate = VendorCertificate.from_der(data)
        certificate.issued(certificate)
        ChipKey.of(certificate)
        certificate.require_authority()


@given(_changed(_REPORT), _changed(_CERTIFICATE), st.binary())
def test_any_evidence(report: bytes, certificate: bytes, crl: bytes) -> None:
    """Any report with any certificate and any list of revoked ones is verified, or refused."""
    with contextlib.suppress(EvidenceError):
        appraise(report, certificate, _CERTIFICATE, crls=(crl,))


@given(st.binary(max_size=200))
def test_any_der(data: bytes) -> None:
    """A reader reads any bytes to their end, or refuses them."""
    reader = Der(data, "it")
    with contextlib.suppress(EvidenceError):
        while reader:
            _, content, whole = reader.element()
            assert whole.endswith(content)
            for read_one in (Der.integer, Der.oid, Der.bits, Der.boolean, Der.enumerated):
                with contextlib.suppress(EvidenceError):
                    read_one(Der(whole, "it"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "too early"),
        (b"\x02", "too early"),
        (b"\x02\x02\x01", "where 1 are left"),
        (b"\x02\x80\x01\x00\x00", "not definite"),
        (b"\x02\x85\x00\x00\x00\x00\x01\x01", "too long"),
        (b"\x02\x82\x00", "too long"),
        (b"\x02\x81\x01\x01", "shortest form"),
        (b"\x02\x82\x00\x80" + bytes(128), "shortest form"),
        (b"\x02\x00", "shortest form"),
        (b"\x02\x02\x00\x01", "shortest form"),
        (b"\x02\x02\xff\xff", "shortest form"),
        (b"\x1f\x01\x00", "above 30"),
        (b"\x04\x01\x00", "0x02 is expected"),
    ],
)
def test_one_form_of_der(data: bytes, why: str) -> None:
    """An INTEGER has one form, and lengths are looked at before they are believed."""
    with pytest.raises(EvidenceError, match=why):
        Der(data, "it").integer()


def test_der_that_is_good() -> None:
    """Numbers, identifiers and flags come out as they are."""
    assert Der(b"\x02\x02\x00\xdb", "it").integer() == 219
    assert Der(b"\x02\x01\xff", "it").integer() == -1
    assert oid_text(bytes.fromhex("2b060104019c780103 08".replace(" ", ""))) == "1.3.6.1.4.1.3704.1.3.8"
    assert oid_text(bytes.fromhex("551d13")) == "2.5.29.19"
    assert [oid_text(bad) for bad in (b"", b"\x80\x01", b"\x2b\x86", b"\x01" * 65)] == [None] * 4
    assert Der(b"\x01\x01\xff", "it").boolean()
    assert Der(b"\x03\x02\x00\x05", "it").bits() == b"\x05"
    for bad in (b"\x01\x01\x01", b"\x01\x00"):
        with pytest.raises(EvidenceError):
            Der(bad, "it").boolean()
    with pytest.raises(EvidenceError, match="1 bytes too many"):
        Der(b"\x00", "it").end()
