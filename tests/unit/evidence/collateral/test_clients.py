"""Clients of Intel's PCS, of caches of it and of AMD's KDS, over real HTTPS to a server that speaks their APIs."""

from __future__ import annotations

import email.utils
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bannock.errors import DeniedError, EnvironmentFault, EvidenceError, InputError, NotFoundError, PeerError
from bannock.evidence.collateral.intel import IntelCollateral
from bannock.evidence.collateral.kds import Kds
from bannock.evidence.collateral.needs import AmdChainNeed, VcekNeed, needs_of
from bannock.evidence.collateral.pcs import Pcs
from bannock.evidence.collateral.web import VendorWeb
from bannock.evidence.quotes import SnpQuote, TdxQuote
from bannock.values import Secret
from tests.unit.evidence.collateral.amd_lists import make_list

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.evidence.collateral.vendor_server import VendorServer


@pytest.fixture
def web(server_certificate: Path) -> VendorWeb:
    """A client that trusts the server."""
    return VendorWeb(ca_file=server_certificate, seconds=5.0)


def _pcs(vendor: VendorServer, web: VendorWeb, key: str | None = None) -> Pcs:
    secret = None if key is None else Secret(key.encode())
    return Pcs(web, vendor.url, subscription_key=lambda: secret, root_crl=f"{vendor.url}/root.der")


@pytest.mark.parametrize("cache", [False, True], ids=["service", "cache"])
@pytest.mark.parametrize("name", ["tdx-v4-uptodate", "sgx-v3-swhardening"])
def test_collateral_comes_byte_for_byte(
    vendor: VendorServer, web: VendorWeb, genuine: Callable[[str], bytes], name: str, *, cache: bool
) -> None:
    """What is signed and what is revoked are what the vendor has, so that the signatures hold."""
    text = genuine(f"dcap/{name}.collateral.json").decode()
    need = vendor.add(text)
    vendor.cache = cache
    found = _pcs(vendor, web).collateral(need)
    assert json.loads(found.text) == {
        key: value for key, value in json.loads(text).items() if key != "pck_certificate_chain"
    }
    assert found.need == need


def test_the_subscription_key_goes_to_the_service(
    vendor: VendorServer, web: VendorWeb, genuine: Callable[[str], bytes]
) -> None:
    """A service that asks for one gets it; without it, it refuses, and the message does not have it."""
    need = vendor.add(genuine("dcap/tdx-v4-uptodate.collateral.json").decode())
    vendor.subscription_key = "canary-key"
    assert _pcs(vendor, web, "canary-key").collateral(need).need == need
    with pytest.raises(DeniedError, match="answers 401 for TCB info of TDX, FMSPC B0C06F000000") as caught:
        _pcs(vendor, web, "canary-wrong").collateral(need)
    assert "canary" not in str(caught.value)


def test_collateral_of_another_family_is_refused(
    vendor: VendorServer, web: VendorWeb, genuine: Callable[[str], bytes]
) -> None:
    """A cache that answers with what was not asked for does not put it in the place of what was."""
    need = vendor.add(genuine("dcap/tdx-v4-uptodate.collateral.json").decode())
    other = genuine("dcap/tdx-v4-outofdate.collateral.json").decode()
    vendor.intel[need] = other
    with pytest.raises(PeerError, match=r"was asked for collateral of .*B0C06F.*, and answers with that of .*00806F"):
        _pcs(vendor, web).collateral(need)


def test_unknown_family(vendor: VendorServer, web: VendorWeb, genuine: Callable[[str], bytes]) -> None:
    """What the service does not have is not there, and the service may be asked again at once."""
    need = IntelCollateral.parse(genuine("dcap/tdx-v4-uptodate.collateral.json").decode()).need
    for _ in range(2):
        with pytest.raises(NotFoundError, match="answers 404"):
            _pcs(vendor, web).collateral(need)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"tcbInfo":{}}',
        b'{"tcbInfo":{},"signature":"zz"}',
        b"\xff",
        b"[" * 5000,
    ],
)
def test_answers_that_are_none(
    vendor: VendorServer, web: VendorWeb, genuine: Callable[[str], bytes], body: bytes
) -> None:
    """Whatever a service answers, it is told as its fault."""
    need = vendor.add(genuine("dcap/tdx-v4-uptodate.collateral.json").decode())
    vendor.answer = (200, {"TCB-Info-Issuer-Chain": "x"}, body)
    with pytest.raises(PeerError):
        _pcs(vendor, web).collateral(need)


def test_certificates_of_chips(vendor: VendorServer, web: VendorWeb, genuine: Callable[[str], bytes]) -> None:
    """The needs of a genuine report lead to the certificate of its chip, to those above it, and to the list."""
    report = genuine("snp/milan-v2.report")
    chain, _, chip = needs_of(SnpQuote(key=b"", report=report))
    assert isinstance(chain, AmdChainNeed)
    assert isinstance(chip, VcekNeed)
    vendor.chips[chip] = genuine("snp/milan-v2.vcek.der")
    vendor.chains[chain] = genuine("snp/ask-milan.pem") + genuine("snp/ark-milan.pem")
    vendor.crls["Milan"] = make_list(0)
    kds = Kds(web, vendor.url)
    assert kds.chip(chip).der == genuine("snp/milan-v2.vcek.der")
    assert [each.subject for each in kds.chain(chain)] == ["SEV-Milan", "ARK-Milan"]
    assert kds.revoked(chain).name == "ARK-Milan"
    assert vendor.requests[0].startswith(f"/vcek/v1/Milan/{chip.chip_id}?blSPL=03&ucodeSPL=115&snpSPL=08&teeSPL=00")


def test_a_certificate_of_another_chip_is_refused(
    vendor: VendorServer, web: VendorWeb, genuine: Callable[[str], bytes]
) -> None:
    """It would stand in the store for one that it is not."""
    chip = needs_of(SnpQuote(key=b"", report=genuine("snp/milan-v2.report")))[-1]
    assert isinstance(chip, VcekNeed)
    vendor.chips[chip] = genuine("snp/milan-debug-policy.vcek")
    with pytest.raises(PeerError, match="answers with another certificate"):
        Kds(web, vendor.url).chip(chip)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (None, 30.0),
        ("soon", 30.0),
        ("99999999999999999999", 3600.0),
        (lambda: email.utils.formatdate(time.time() + 600, usegmt=True), 600.0),
    ],
    ids=["seconds", "not told", "nonsense", "for ever", "a date"],
)
def test_a_busy_service_is_left_alone(
    vendor: VendorServer,
    server_certificate: Path,
    genuine: Callable[[str], bytes],
    header: str | Callable[[], str] | None,
    seconds: float,
) -> None:
    """After 429 a service is not asked before the time that it says, and then it is."""
    told = header() if callable(header) else header
    passed = [0.0]
    web = VendorWeb(ca_file=server_certificate, monotonic=lambda: passed[0])
    need = vendor.add(genuine("dcap/tdx-v4-uptodate.collateral.json").decode())
    vendor.answer = (429, {} if told is None else {"Retry-After": told}, b"")
    pcs = _pcs(vendor, web)
    with pytest.raises(EnvironmentFault, match="answers 429"):
        pcs.collateral(need)
    vendor.answer = None
    passed[0] = seconds - 5
    with pytest.raises(EnvironmentFault, match=r"is not asked for .* for another \d s: it answered 429"):
        pcs.collateral(need)
    assert len(vendor.requests) == 1
    passed[0] = seconds + 1
    assert pcs.collateral(need).need == need


def test_a_slow_service_does_not_hold_us(vendor: VendorServer, server_certificate: Path) -> None:
    """An answer that does not come in time is none, and the next question fails at once."""
    vendor.silent = threading.Event()
    web = VendorWeb(ca_file=server_certificate, seconds=0.2)
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match="cannot get it from localhost"):
        web.get("it", f"{vendor.url}/root.der")
    assert time.monotonic() - began < 5.0
    with pytest.raises(EnvironmentFault, match="it could not be reached"):
        web.get("it", f"{vendor.url}/root.der")
    vendor.silent.set()


def test_who_is_asked_has_to_be_who_it_is(vendor: VendorServer, web: VendorWeb) -> None:
    """No other certificate, no other scheme, no other place."""
    with pytest.raises(EnvironmentFault, match="certificate verify failed"):
        VendorWeb().get("it", f"{vendor.url}/root.der")
    with pytest.raises(InputError, match="over https, found 'http'"):
        web.get("it", vendor.url.replace("https", "http"))
    vendor.answer = (302, {"Location": f"{vendor.url}/root.der"}, b"")
    with pytest.raises(PeerError, match="answers 302"):
        web.get("it", f"{vendor.url}/elsewhere")
    assert vendor.requests == ["/elsewhere"]


def test_an_endless_answer_is_cut(vendor: VendorServer, web: VendorWeb) -> None:
    """Collateral is small."""
    vendor.answer = (200, {}, bytes(5 << 20))
    with pytest.raises(PeerError, match="is longer than"):
        web.get("it", f"{vendor.url}/x")


@pytest.mark.parametrize("quote", [b"", b"\0" * 1184, b"\xff" * 5000])
def test_needs_of_what_is_no_quote(quote: bytes) -> None:
    """They are refused as evidence."""
    with pytest.raises(EvidenceError):
        needs_of(TdxQuote(key=b"", quote=quote))
    with pytest.raises(EvidenceError):
        needs_of(SnpQuote(key=b"", report=quote[:1183]))
