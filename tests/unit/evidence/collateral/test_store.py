"""The directory of collateral: what is put there, what people put there, and what counts of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.collateral.intel import IntelCollateral
from bannock.evidence.collateral.needs import AmdChainNeed, IntelNeed, needs_of
from bannock.evidence.collateral.store import CollateralStore
from bannock.evidence.collateral.x509_parts import Certificate, Crl, certificates_in, crls_in, to_pem
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SgxQuote, SimQuote, SnpQuote, TdxQuote
from tests.unit.evidence.collateral.amd_lists import NOW, make_list
from tests.unit.evidence.collateral.conftest import EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def changed(text: str, *, recovery: int | None = None, issued: str | None = None) -> str:
    """Give collateral of another recovery, or date; its signature does not hold any more."""
    document = json.loads(text)
    info = json.loads(document["tcb_info"])
    if recovery is not None:
        info["tcbEvaluationDataNumber"] = recovery
    if issued is not None:
        info["issueDate"] = issued
    return json.dumps({**document, "tcb_info": json.dumps(info)})


@pytest.fixture
def tdx(genuine: Callable[[str], bytes]) -> str:
    """Genuine collateral for a TDX quote."""
    return genuine("dcap/tdx-v4-uptodate.collateral.json").decode()


_TDX = IntelNeed(tee="tdx", fmspc="B0C06F000000", ca="platform")


def test_needs_of_genuine_quotes(genuine: Callable[[str], bytes]) -> None:
    """Quotes tell the family of their processor and who certified it; sim needs nothing."""
    assert needs_of(TdxQuote(key=b"", quote=genuine("dcap/tdx-v4-uptodate.quote"))) == (_TDX,)
    sgx = needs_of(SgxQuote(quote=genuine("dcap/sgx-v3-config-and-swhardening.quote")))
    assert sgx == (IntelNeed(tee="sgx", fmspc="00A067110000", ca="processor"),)
    vlek = needs_of(SnpQuote(key=b"", report=genuine("snp/milan-v3-vlek.report")))
    assert vlek == (AmdChainNeed(product="Milan", signer="vlek"),)
    assert needs_of(SimQuote(key=b"")) == ()


def test_collateral_tells_its_dates(tdx: str) -> None:
    """Its first end is that which dcap-qvl finds in genuine collateral too."""
    found = IntelCollateral.parse(tdx)
    assert found.until == dt.datetime(2025, 7, 19, 10, 0, 35, tzinfo=dt.UTC)
    assert min(found.bounds).what == "pck crl of TDX, FMSPC B0C06F000000, platform CA (nextUpdate)"
    assert found.evaluation == 17


def test_what_is_put_is_found_by_its_name(tmp_path: Path, genuine: Callable[[str], bytes], tdx: str) -> None:
    """Files have names that people understand, and what is in them is what was put."""
    store = CollateralStore(tmp_path / "collateral")
    assert store.held().endorsements([_TDX]) == Endorsements()
    report = genuine("snp/milan-v2.report")
    vcek = genuine("snp/milan-v2.vcek.der")
    ask, ark = (certificates_in(genuine(f"snp/{name}-milan.pem"))[0].der for name in ("ask", "ark"))
    names = store.put(Endorsements(dcap=(tdx,), certificates=(vcek, ask, ark), crls=(make_list(0),)))
    assert names == [
        "amd/ARK-Milan-69d063b4.pem",
        "amd/ARK-Milan-crl.pem",
        "amd/SEV-Milan-67d303bd.pem",
        f"amd/SEV-VCEK-c38427a30d4c7af9-bl3-ucode115-snp8-tee0-{Certificate.parse(vcek).digest[:8]}.pem",
        "dcap/tdx-B0C06F000000-platform.json",
    ]
    needs = (*needs_of(SnpQuote(key=b"", report=report)), _TDX)
    found = CollateralStore(tmp_path / "collateral").held().endorsements(needs)
    assert found.dcap == (tdx,)
    assert set(found.certificates) == {vcek, ask, ark}
    assert found.crls == (make_list(0),) or len(found.crls) == 1
    other = needs_of(SnpQuote(key=b"", report=genuine("snp/milan-debug-policy.report")))
    assert set(store.held().endorsements(other).certificates) == {ask, ark}
    assert (tmp_path / "collateral" / "dcap").stat().st_mode & 0o777 == 0o700
    assert store.put(found) == []


def test_the_newest_is_kept_and_counts(tmp_path: Path, tdx: str) -> None:
    """A later recovery wins, then a later date; what is older neither replaces it nor is given."""
    store = CollateralStore(tmp_path)
    later = changed(tdx, issued="2025-06-30T00:00:00Z")
    recovered = changed(tdx, recovery=18, issued="2025-01-01T00:00:00Z")
    assert store.put(Endorsements(dcap=(later, tdx)))
    assert store.held().endorsements([_TDX]).dcap == (later,)
    assert store.put(Endorsements(dcap=(recovered,)))
    assert store.put(Endorsements(dcap=(tdx, later))) == []
    assert store.held().endorsements([_TDX]).dcap == (recovered,)
    assert store.put(Endorsements(crls=(make_list(3), make_list(5), make_list(4))))
    assert store.put(Endorsements(crls=(make_list(4),))) == []
    found = store.held().revoked(AmdChainNeed(product="Milan", signer="vcek"))
    assert found is not None
    assert found.issued == NOW + dt.timedelta(days=5)


def test_people_put_files_there(
    tmp_path: Path, genuine: Callable[[str], bytes], tdx: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Any name will do, in DER or PEM; a damaged file is named and stops nothing; what is taken away is gone."""
    passed = [0.0]
    store = CollateralStore(tmp_path, monotonic=lambda: passed[0])
    (tmp_path / "from-the-vendor").mkdir()
    (tmp_path / "from-the-vendor" / "a.json").write_text(tdx)
    (tmp_path / "chain.pem").write_bytes(genuine("snp/ask-milan.pem") + genuine("snp/ark-milan.pem"))
    (tmp_path / "list.crl").write_bytes(make_list(0))
    (tmp_path / "damaged.json").write_text(tdx[:-10])
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / "README.txt").write_text("not collateral")
    (tmp_path / ".hidden.json").write_text(tdx[:-10])
    with caplog.at_level(logging.WARNING):
        found = store.held().endorsements([_TDX])
    assert found.dcap == (tdx,)
    assert (len(found.certificates), len(found.crls)) == (2, 1)
    assert sorted(record.getMessage().partition(" is no collateral")[0] for record in caplog.records) == [
        f"{tmp_path}/damaged.json",
        f"{tmp_path}/key.pem",
    ]
    (tmp_path / "from-the-vendor" / "a.json").unlink()
    assert store.held().endorsements([_TDX]).dcap == (tdx,)
    passed[0] = 1.0
    caplog.clear()
    assert store.held().endorsements([_TDX]).dcap == ()
    assert not caplog.records, "what is known to be damaged is told once"


def test_nothing_is_put_where_a_part_is_malformed(tmp_path: Path, tdx: str) -> None:
    """All of it, or nothing."""
    store = CollateralStore(tmp_path)
    with pytest.raises(EvidenceError):
        store.put(Endorsements(dcap=(tdx,), certificates=(b"x",)))
    assert list(tmp_path.iterdir()) == []


def test_pem_is_what_openssl_reads(genuine: Callable[[str], bytes]) -> None:
    """What is written is read by others, and is what it was."""
    for name in ("ark-milan", "ask-genoa", "ark-turin"):
        (found,) = certificates_in(genuine(f"snp/{name}.pem"))
        assert x509.load_pem_x509_certificate(to_pem(found.der, "CERTIFICATE")).public_bytes(Encoding.DER) == found.der
    assert crls_in(to_pem(make_list(1), "X509 CRL"))[0].issued == NOW + dt.timedelta(days=1)


@settings(deadline=None)
@given(data=st.binary(max_size=2000))
def test_arbitrary_bytes(data: bytes) -> None:
    """They are refused as evidence, and nothing else happens."""
    for read in (Certificate.parse, Crl.parse, certificates_in, crls_in):
        with pytest.raises(EvidenceError):
            read(data)
    with pytest.raises(EvidenceError):
        IntelCollateral.parse(data.decode("latin-1"))
    for quote in (SgxQuote(quote=data), TdxQuote(key=b"", quote=data)):
        with pytest.raises(EvidenceError):
            needs_of(quote)


@settings(deadline=None)
@given(
    name=st.sampled_from(["tcb_info", "qe_identity", "pck_crl", "root_ca_crl", "tcb_info_issuer_chain"]),
    value=st.none() | st.integers() | st.text(max_size=30) | st.sampled_from(["{}", "[]", '{"id":"TDX"}', "00", "30"]),
)
def test_arbitrary_collateral(name: str, value: object) -> None:
    """Whatever a part is, collateral is read or refused as evidence."""
    document = json.loads((EVIDENCE / "dcap/tdx-v4-uptodate.collateral.json").read_text())
    with pytest.raises(EvidenceError):
        IntelCollateral.parse(json.dumps({**document, name: value}))


def test_a_bit_that_differs(genuine: Callable[[str], bytes], tdx: str) -> None:
    """Certificates and lists with any byte changed are read or refused as evidence, whatever the library thinks."""
    crl = bytes.fromhex(json.loads(tdx)["pck_crl"])
    readers = (
        (Certificate.parse, genuine("snp/milan-v2.vcek.der")),
        (Certificate.parse, certificates_in(genuine("snp/ark-milan.pem"))[0].der),
        (Crl.parse, crl),
    )
    for read, data in readers:
        for place in range(len(data)):
            changed = bytearray(data)
            changed[place] ^= 1 << place % 8
            with contextlib.suppress(EvidenceError):
                read(bytes(changed))
    document = json.loads(tdx)
    for name in ("pck_crl", "root_ca_crl"):
        for place in range(0, len(crl), 3):
            flipped = bytearray.fromhex(document[name])
            flipped[place % len(flipped)] ^= 1 << place % 8
            with contextlib.suppress(EvidenceError):
                IntelCollateral.parse(json.dumps({**document, name: flipped.hex()}))
