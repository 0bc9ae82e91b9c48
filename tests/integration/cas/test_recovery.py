"""A vendor recovers: newer collateral asks more of programs, and reaches CASes without a network too.

The vendor is make-believe, and its root stands here in the place of Intel's, so that all of the way is gone that
genuine evidence goes: the CAS asks for collateral, keeps it, and takes no older one for it.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.cas.collateral_config import CollateralConfig
from bannock.errors import DeniedError, causes
from bannock.evidence.attester import KeyAttester, key_binding
from bannock.evidence.collateral.bundle import open_bundle
from bannock.evidence.dcap import verifier
from bannock.evidence.dcap.second_opinion import ask
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import TdxQuote
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.rehearsal.knobs import Rehearsal
from tests.integration.cas.forecast_site import NOW, Site
from tests.unit.evidence.collateral.vendor_server import VendorServer, make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VENDOR: Final = IntelVendor(lambda count: b"\x09" * count, NOW)
_WEEK: Final = dt.timedelta(days=7)
_RECOVERED: Final = _VENDOR.renewed(NOW + _WEEK, Rehearsal(software_hardening_needed=True))


@dataclass
class _World:
    """A vendor with its service, a CAS that asks it, and one that has no network."""

    vendor: VendorServer
    online: Site
    offline: Site

    def at(self, now: dt.datetime) -> None:
        """Let it be another time everywhere."""
        self.online.now = self.offline.now = now


def _quoted(*, along: bool) -> KeyAttester:
    """Give a machine of the vendor; with the collateral of the beginning along, or without any."""

    def quote(public: bytes) -> tuple[TdxQuote, bytes]:
        data = _VENDOR.tdx_quote(key_binding(public))
        return TdxQuote(key=public, quote=data), _VENDOR.endorsements().to_json() if along else b""

    return KeyAttester(Ed25519PrivateKey.from_private_bytes(b"k" * 32), quote)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_World]:
    """Services ``strict`` and ``lenient`` run on one machine of the vendor, which all take for Intel."""
    root = _VENDOR.root
    for place in ("bannock.evidence.dcap.chain", "bannock.evidence.collateral.authentic"):
        monkeypatch.setattr(f"{place}.intel_root", lambda: root)
    monkeypatch.setattr(verifier, "ask", lambda quote, known, _, at: ask(quote, known, root, at))
    certificate = make_certificate(tmp_path / "server.pem")
    with VendorServer(certificate=certificate, cache=True) as vendor:
        _publish(vendor, _VENDOR)
        config = CollateralConfig(pcs=vendor.url, kds=vendor.url, ca_file=certificate)
        sites = [Site(tmp_path / "online", config), Site(tmp_path / "offline")]
        for site in sites:
            site.attesters = {"bare": _quoted(along=False), "old": _quoted(along=True)}
            rule = f"{{tdx: {{mrtd: {_mrtd()}}}}}"
            site.post("strict", f"{{machines: [{rule}]}}")
            lenient = "tolerate: [software-hardening-needed], ignore_advisories: [INTEL-SA-00615]"
            site.post("lenient", f"{{{lenient}, machines: [{rule}]}}")
        yield _World(vendor, *sites)
        for site in sites:
            site.close()


def _publish(server: VendorServer, vendor: IntelVendor) -> None:
    server.intel.clear()
    for text in vendor.endorsements().dcap:
        server.add(text)


def _mrtd() -> str:
    appraisal = verifier.verify_tdx(
        _quoted(along=False)._quote,
        _VENDOR.endorsements(),
        NOW,
    )
    return str(appraisal.machine["mrtd"])


def _refusal(site: Site, session: str, machine: str = "bare") -> str:
    with pytest.raises(DeniedError) as caught:
        site.start(machine, session)
    return " ".join(line for cause in causes(caught.value) for line in (str(cause), *getattr(cause, "reasons", ())))


def test_collateral_comes_from_the_vendor(world: _World) -> None:
    """Evidence that brings nothing starts where the CAS can ask; where it cannot, its log says what is missing."""
    world.online.start("bare", "strict")
    assert [path for path in world.vendor.requests if path.startswith("/tdx/certification/v4/tcb?fmspc=FF")]
    entry = next(each for each in reversed(world.online.cas.audit_log()) if each.event == "service_attested")
    assert entry.facts["platform"] == "tdx"
    assert "nothing at hand counts as" in _refusal(world.offline, "strict")
    entry = next(each for each in reversed(world.offline.cas.audit_log()) if each.event == "service_refused")
    assert "nobody is asked for it here: import it" in str(entry.facts["reasons"])
    world.offline.start("old", "strict")
    # What came along was genuine, and was kept.
    world.offline.start("bare", "strict")


def test_a_recovery_is_known_before_it_counts(world: _World) -> None:
    """It is carried in a bundle: first to see what would stop, then to count; and it cannot be taken back."""
    for site in (world.online, world.offline):
        for session in ("strict", "lenient"):
            site.start("old", session)
    world.at(NOW + _WEEK)
    _publish(world.vendor, _RECOVERED)
    text = world.online.ask("GET", "/v1/owner/collateral?refresh=true")
    bundle = open_bundle(text.decode(), cas=world.online.cas.key_hash)
    assert bundle.missing == ()
    brought = bundle.endorsements.to_json()
    assert json.loads(json.loads(bundle.endorsements.dcap[0])["tcb_info"])["issueDate"] == "2025-07-11T09:16:30Z"

    found = world.offline.ask("POST", "/v1/owner/collateral/replay", brought)
    assert (found["total"], len(found["stops"]), found["refused"]) == (2, 1, [])
    assert found["stops"][0]["session"] == "strict"
    assert any("software-hardening-needed" in line for line in found["stops"][0]["why"]), found["stops"]
    # Nothing of it is kept, and nothing that was found with it counts.
    assert not [each for each in world.offline.cas.forecasting.forecast() if each.stopped]
    world.offline.start("bare", "strict")

    kept: Any = world.offline.ask("PUT", "/v1/owner/collateral", brought)["kept"]
    assert any(name.startswith("dcap/tdx-FF") for name in kept)
    _refusal(world.offline, "strict")
    # The host brings the older collateral along, which has not ended.
    _refusal(world.offline, "strict", "old")
    world.offline.start("old", "lenient")
    older = Endorsements(dcap=_VENDOR.endorsements().dcap).to_json()
    assert world.offline.ask("PUT", "/v1/owner/collateral", older)["kept"] == []
    stopped = [each.session for each in world.offline.cas.forecasting.forecast() if each.stopped]
    assert stopped == ["strict"]
    assert world.offline.cas.forecasting.expiry() == {"tdx": 0.0}


def test_collateral_ends_where_nobody_renews_it(world: _World) -> None:
    """Without a network nothing starts after the end; with one, it was renewed in time."""
    for site in (world.online, world.offline):
        site.start("old", "strict")
    world.at(NOW + 4 * _WEEK)
    _publish(world.vendor, _VENDOR.renewed(NOW + 4 * _WEEK))
    world.online.cas.tend()
    world.online.start("bare", "strict")
    until = {site: site.cas.forecasting.forecast()[0].until for site in (world.online, world.offline)}
    world.at(NOW + dt.timedelta(days=31))
    assert until[world.offline] == NOW.replace(microsecond=0) + dt.timedelta(days=30)
    world.online.start("bare", "strict")
    assert "expired" in _refusal(world.offline, "strict")
    assert "expired" in _refusal(world.offline, "strict", "old")
