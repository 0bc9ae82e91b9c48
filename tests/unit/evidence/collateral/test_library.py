"""The library: what is asked for, when, and what is believed of the answers."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.evidence.collateral.authentic import authentic
from bannock.evidence.collateral.kds import Kds
from bannock.evidence.collateral.library import Library, Vendors
from bannock.evidence.collateral.needs import IntelNeed, VcekNeed, needs_of
from bannock.evidence.collateral.pcs import Pcs
from bannock.evidence.collateral.store import CollateralStore, Held
from bannock.evidence.collateral.web import VendorWeb
from bannock.evidence.collateral.x509_parts import certificates_in
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SnpQuote
from tests.unit.evidence.collateral.amd_lists import make_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.evidence.collateral.vendor_server import VendorServer

_TDX = IntelNeed(tee="tdx", fmspc="B0C06F000000", ca="platform")
#: When the genuine collateral is good, and when its first part has ended.
_GOOD = dt.datetime(2025, 7, 4, 10, 16, 30, tzinfo=dt.UTC)
_ENDED = dt.datetime(2025, 7, 20, tzinfo=dt.UTC)


@dataclass
class _Clock:
    now: dt.datetime = _GOOD

    def __call__(self) -> dt.datetime:
        return self.now


@dataclass
class _Rig:
    library: Library
    clock: _Clock
    vendor: VendorServer
    passed: list[float] = field(default_factory=lambda: [0.0])

    def wait(self) -> None:
        """Wait until no question is open."""
        end = time.monotonic() + 10
        while self.library.waits and time.monotonic() < end:
            time.sleep(0.005)


@pytest.fixture
def rig(tmp_path: Path, vendor: VendorServer, server_certificate: Path) -> Iterator[_Rig]:
    """A library that asks a server which has genuine collateral, at a time when it is good."""
    clock, passed = _Clock(), [0.0]
    web = VendorWeb(ca_file=server_certificate, seconds=5.0, monotonic=lambda: passed[0])
    vendors = Vendors(
        intel=Pcs(web, vendor.url, root_crl=f"{vendor.url}/root.der"),
        amd=Kds(web, vendor.url),
    )
    store = CollateralStore(tmp_path / "collateral", monotonic=lambda: passed[0])
    library = Library(store, vendors, clock=clock, patience=5.0)
    yield _Rig(library, clock, vendor, passed)
    library.close()


@pytest.fixture
def tdx(genuine: Callable[[str], bytes]) -> str:
    """Genuine collateral for a TDX quote."""
    return genuine("dcap/tdx-v4-uptodate.collateral.json").decode()


def test_what_is_missing_is_asked_for_and_kept(rig: _Rig, tdx: str) -> None:
    """The first evidence of a family waits for its collateral; the next does not ask."""
    rig.vendor.add(tdx)
    found, problems = rig.library.provide([_TDX])
    assert not problems
    assert json.loads(found.dcap[0])["tcb_info"] == json.loads(tdx)["tcb_info"]
    asked = len(rig.vendor.requests)
    assert rig.library.provide([_TDX]) == (found, [])
    rig.wait()
    assert len(rig.vendor.requests) == asked


def test_many_ask_once(rig: _Rig, tdx: str) -> None:
    """Evidence that comes at the same time shares one question."""
    rig.vendor.add(tdx)
    found: list[Endorsements] = []
    threads = [threading.Thread(target=lambda: found.append(rig.library.provide([_TDX])[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.dcap for each in found}) == 1
    assert [path for path in rig.vendor.requests if "/tcb?" in path] == [
        "/tdx/certification/v4/tcb?fmspc=B0C06F000000"
    ]


def test_what_came_along_suffices(rig: _Rig, tdx: str) -> None:
    """Nobody waits for what the evidence brought itself."""
    rig.vendor.silent = threading.Event()
    besides = Endorsements(dcap=(tdx, "damaged"))
    assert rig.library.provide([], besides=besides) == (Endorsements(), [])
    began = time.monotonic()
    assert rig.library.provide([_TDX], besides=besides) == (Endorsements(), [])
    assert time.monotonic() - began < 2.0
    rig.vendor.silent.set()


def test_a_vendor_that_is_down_does_not_matter_for_what_is_known(rig: _Rig, tdx: str) -> None:
    """What is kept is given at once, while it is asked for anew; it is given until it ends, and then no more."""
    rig.library.store.put(Endorsements(dcap=(tdx,)))
    rig.vendor.silent = threading.Event()
    began = time.monotonic()
    found, problems = rig.library.provide([_TDX])
    assert (found.dcap, problems) == ((tdx,), [])
    assert time.monotonic() - began < 2.0
    rig.vendor.answer = (500, {}, b"")
    rig.vendor.silent.set()
    rig.wait()
    assert rig.library.provide([_TDX]) == (found, [])
    rig.clock.now = _ENDED
    rig.passed[0] += 3600
    _, problems = rig.library.provide([_TDX])
    assert len(problems) == 1
    assert problems[0].startswith("TDX, FMSPC B0C06F000000, platform CA is not at hand: localhost:")
    assert "answers 500 for TCB info" in problems[0]


def test_a_slow_vendor_is_waited_for_with_patience(rig: _Rig, tdx: str) -> None:
    """Evidence that needs more than there is waits, and not for ever."""
    rig.vendor.add(tdx)
    rig.vendor.silent = threading.Event()
    library = Library(rig.library.store, rig.library._vendors, clock=rig.clock, patience=0.2)
    _, problems = library.provide([_TDX])
    assert problems == [f"{_TDX} is not at hand: the vendor has not answered in 0 s, and is waited for"]
    rig.vendor.silent.set()
    library.close()
    assert library.provide([_TDX])[1] == []


def test_offline(tmp_path: Path, tdx: str) -> None:
    """Without vendors, what was put there by hand is all."""
    library = Library(CollateralStore(tmp_path), Vendors(), clock=_Clock())
    assert library.provide([_TDX]) == (
        Endorsements(),
        [f"{_TDX} is not at hand, and nobody is asked for it here: import it (scone cas collateral import)"],
    )
    library.store.put(Endorsements(dcap=(tdx,)))
    assert library.provide([_TDX]) == (Endorsements(dcap=(tdx,)), [])


def test_refresh_before_the_end(rig: _Rig, tdx: str) -> None:
    """What is kept is asked for once a day, and from a week before its end again and again."""
    rig.vendor.add(tdx)
    rig.library.provide([_TDX])

    def asked(now: dt.datetime) -> int:
        rig.clock.now = now
        before = len([path for path in rig.vendor.requests if "/tcb?" in path])
        rig.library.refresh()
        rig.wait()
        return len([path for path in rig.vendor.requests if "/tcb?" in path]) - before

    assert asked(_GOOD + dt.timedelta(hours=23)) == 0
    assert asked(_GOOD + dt.timedelta(hours=25)) == 1
    assert asked(_ENDED - dt.timedelta(days=3)) == 1
    assert asked(_ENDED - dt.timedelta(days=3) + dt.timedelta(hours=1)) == 0
    assert asked(_ENDED - dt.timedelta(days=3) + dt.timedelta(hours=8)) == 1


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity", "tcb_info_signature", "pck_crl", "root_ca_crl"])
def test_a_lie_is_not_kept(rig: _Rig, tdx: str, part: str) -> None:
    """A cache that changes what Intel signed changes nothing here, even if what it says is newer."""
    document = json.loads(tdx)
    if part in ("tcb_info", "qe_identity"):
        lie = document[part].replace('"tcbEvaluationDataNumber":17', '"tcbEvaluationDataNumber":99')
        assert lie != document[part]
    else:
        value = bytearray.fromhex(document[part])
        value[-1] ^= 1
        lie = value.hex()
    rig.library.store.put(Endorsements(dcap=(tdx,)))
    rig.vendor.add(json.dumps({**document, part: lie}))
    problems = rig.library.fetch([_TDX])
    assert len(problems) == 1
    assert problems[0].startswith(f"{_TDX}: ")
    assert rig.library.provide([_TDX])[0].dcap == (tdx,)


def test_stale_is_not_kept(rig: _Rig, tdx: str) -> None:
    """Collateral that has ended does not come into the store, whoever serves it."""
    rig.vendor.add(tdx)
    rig.clock.now = _ENDED
    _, problems = rig.library.provide([_TDX])
    assert len(problems) == 1
    assert "expired at 2025-07-19" in problems[0]
    assert rig.library.store.held() == Held()


def test_chips_of_amd(rig: _Rig, genuine: Callable[[str], bytes]) -> None:
    """The certificate of a chip is asked for; a revocation list that AMD's root did not sign is not kept."""
    needs = needs_of(SnpQuote(key=b"", report=genuine("snp/milan-v2.report")))
    chip = needs[-1]
    assert isinstance(chip, VcekNeed)
    rig.vendor.chips[chip] = genuine("snp/milan-v2.vcek.der")
    for need in needs[:-1]:
        rig.vendor.chains[need] = genuine("snp/ask-milan.pem") + genuine("snp/ark-milan.pem")  # type: ignore[index]
    rig.vendor.crls["Milan"] = make_list(0)
    found, problems = rig.library.provide(needs)
    assert genuine("snp/milan-v2.vcek.der") in found.certificates
    assert found.crls == ()
    assert any("the CRL of CN=ARK-Milan was signed by no vendor that is known here" in each for each in problems)


def test_what_vendors_vouch_for(genuine: Callable[[str], bytes], tdx: str) -> None:
    """Genuine collateral holds at its time; what is broken, stale or of somebody else does not."""
    vcek, broken = genuine("snp/milan-v2.vcek.der"), genuine("snp/broken.vcek.der")
    asvk = certificates_in(genuine("snp/asvk-ark-milan-vlek.pem"))[0].der
    vlek = genuine("snp/milan-v3-vlek.vlek.der")
    at = _GOOD
    good, reasons = authentic(Endorsements(dcap=(tdx,), certificates=(vcek, broken, vlek, asvk)), at)
    assert good == Endorsements(dcap=(tdx,), certificates=(vcek, vlek, asvk))
    assert reasons == ["certificate SEV-VCEK was not issued by AMD"]
    late, reasons = authentic(Endorsements(certificates=(vcek, vlek)), dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert late.certificates == (vcek,)
    assert reasons == ["certificate SEV-VLEK expired at 2025-12-10 22:14:21 UTC"]


def test_authorities_of_tpm_manufacturers() -> None:
    """Their certificates and lists count below a root that is trusted here, in any order, and not otherwise."""
    root, root_key = _authority("Root", None)
    middle, middle_key = _authority("Middle", (root, root_key))
    leaf, _ = _authority("Leaf", (middle, middle_key))
    stranger, stranger_key = _authority("Stranger", None)
    ders = tuple(each.public_bytes(Encoding.DER) for each in (leaf, middle, stranger))
    lists = (_list(middle, middle_key), _list(stranger, stranger_key))
    good, reasons = authentic(
        Endorsements(certificates=ders, crls=lists), _GOOD, roots=(root.public_bytes(Encoding.DER),)
    )
    assert set(good.certificates) == set(ders[:2])
    assert good.crls == lists[:1]
    assert len(reasons) == 2
    assert authentic(Endorsements(certificates=ders, crls=lists), _GOOD)[0] == Endorsements()


_Authority = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _authority(name: str, issuer: _Authority | None) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_GOOD - dt.timedelta(days=1))
        .not_valid_after(_GOOD + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=name != "Leaf", path_length=None), critical=True)
    )
    return builder.sign(key if issuer is None else issuer[1], hashes.SHA256()), key


def _list(issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    begin, end = _GOOD - dt.timedelta(days=1), _GOOD + dt.timedelta(days=1)
    builder = x509.CertificateRevocationListBuilder(issuer.subject, begin, end)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
