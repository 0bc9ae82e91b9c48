"""What the verifier of a CAS has from vendors: kept, learned, asked for, and quotes verified once while that holds."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.cas import EmbeddedCas
from bannock.cas import endorsing as module
from bannock.cas.collateral_config import CollateralConfig
from bannock.cas.config import load_config
from bannock.cas.endorsing import Endorsing
from bannock.cas.owner_config import ConfigFormat
from bannock.errors import EvidenceError, InputError
from bannock.evidence.attester import key_binding
from bannock.evidence.endorsements import NO_ENDORSEMENTS, Endorsements
from bannock.evidence.quotes import TdxQuote
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.verifier import verify_quote
from bannock.net.tls import Identity
from bannock.values import Secret
from tests.unit.evidence.collateral.vendor_server import VendorServer, make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.evidence.appraisal import PlatformAppraisal
    from bannock.evidence.quotes import Quote

_EVIDENCE: Final = Path(__file__).parents[2] / "data" / "evidence" / "dcap"
#: When the genuine collateral is good, and when its first part has ended.
_GOOD: Final = dt.datetime(2025, 7, 4, 10, 16, 30, tzinfo=dt.UTC)
_ENDED: Final = dt.datetime(2025, 7, 20, tzinfo=dt.UTC)
_QUOTE: Final = TdxQuote(key=b"", quote=(_EVIDENCE / "tdx-v4-uptodate.quote").read_bytes())
_COLLATERAL: Final = (_EVIDENCE / "tdx-v4-uptodate.collateral.json").read_text()
_ALONG: Final = Endorsements(dcap=(_COLLATERAL,))


class _Counted:
    """The verifier, and how often it was asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, quote: Quote, endorsements: Endorsements, at: dt.datetime) -> PlatformAppraisal:
        self.count += 1
        return verify_quote(quote, endorsements, at)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> _Counted:
    """Count the verdicts."""
    found = _Counted()
    monkeypatch.setattr(module, "verify_quote", found)
    return found


@pytest.fixture
def endorsing(tmp_path: Path) -> Iterator[Endorsing]:
    """What a CAS without a network has."""
    config = CollateralConfig(offline=True)
    found = Endorsing(config, tmp_path / "collateral", clock=lambda: _GOOD, subscription_key=lambda: None)
    yield found
    found.close()


def test_a_quote_is_verified_once(endorsing: Endorsing, counted: _Counted) -> None:
    """One quote serves many reports; the next time it is judged anew is when something that it rests on has ended."""
    first = endorsing.appraise(_QUOTE, _ALONG, _GOOD)
    assert (first.platform, first.genuine, first.tcb.status) == ("tdx", True, "UpToDate")
    # What came along was learned, and is what it rests on now.
    for _ in range(3):
        assert endorsing.appraise(_QUOTE, _ALONG, _GOOD + dt.timedelta(hours=1)) == first
    assert counted.count <= 2
    judged = counted.count
    assert endorsing.appraise(_QUOTE, _ALONG, min(first.bounds).until - dt.timedelta(seconds=1)) == first
    assert counted.count == judged
    with pytest.raises(EvidenceError):
        endorsing.appraise(_QUOTE, _ALONG, _ENDED)
    with pytest.raises(EvidenceError):
        endorsing.appraise(_QUOTE, _ALONG, _GOOD - dt.timedelta(days=365))
    assert counted.count == judged + 2


def test_another_quote_is_judged_by_itself(endorsing: Endorsing, counted: _Counted) -> None:
    """A bit that differs makes another quote, and none of the verdict is its."""
    endorsing.appraise(_QUOTE, _ALONG, _GOOD)
    changed = bytearray(_QUOTE.quote)
    changed[600] ^= 1
    with pytest.raises(EvidenceError):
        endorsing.appraise(TdxQuote(key=b"", quote=bytes(changed)), _ALONG, _GOOD)
    assert counted.count == 2


def test_what_came_along_is_learned(endorsing: Endorsing) -> None:
    """The next quote of that family may come without; one that nothing is known for says what is missing."""
    with pytest.raises(EvidenceError) as caught:
        endorsing.appraise(_QUOTE, NO_ENDORSEMENTS, _GOOD)
    (missing,) = caught.value.withheld
    assert missing.startswith("TDX, FMSPC B0C06F000000, platform CA is not at hand, and nobody is asked for it here")
    endorsing.appraise(_QUOTE, _ALONG, _GOOD)
    assert endorsing.appraise(_QUOTE, NO_ENDORSEMENTS, _GOOD).genuine
    assert endorsing.appraise_known(_QUOTE, NO_ENDORSEMENTS, _GOOD).genuine


def test_a_rehearsal_teaches_nothing(endorsing: Endorsing) -> None:
    """What a make-believe vendor signs stays with the evidence that brought it."""
    vendor = IntelVendor(lambda count: b"\x07" * count, _GOOD)
    key = Ed25519PrivateKey.from_private_bytes(b"\x11" * 32).public_key().public_bytes_raw()
    quote = TdxQuote(key=key, quote=vendor.tdx_quote(key_binding(key)))
    assert not endorsing.appraise(quote, vendor.endorsements(), _GOOD).genuine
    assert not endorsing.library.store.directory.exists()
    with pytest.raises(EvidenceError) as caught:
        endorsing.appraise(quote, NO_ENDORSEMENTS, _GOOD)
    assert caught.value.withheld == ()


def test_the_vendor_is_asked_with_the_key_of_the_owner(tmp_path: Path) -> None:
    """Where evidence brings nothing, the CAS asks for what it needs, as its configuration and its owner say."""
    certificate = make_certificate(tmp_path / "server.pem")
    with VendorServer(certificate=certificate, subscription_key="canary-key", cache=True) as vendor:
        vendor.add(_COLLATERAL)
        config = CollateralConfig(pcs=vendor.url, kds=vendor.url, ca_file=certificate)
        key: list[Secret | None] = [None]
        found = Endorsing(config, tmp_path / "collateral", clock=lambda: _GOOD, subscription_key=lambda: key[0])
        with pytest.raises(EvidenceError) as caught:
            found.appraise(_QUOTE, NO_ENDORSEMENTS, _GOOD)
        assert "answers 401 for TCB info of TDX" in caught.value.withheld[0]
        key[0] = Secret(b"canary-key")
        assert found.library.fetch(found._needs(_QUOTE, NO_ENDORSEMENTS)) == []
        assert found.appraise(_QUOTE, NO_ENDORSEMENTS, _GOOD).genuine
        found.close()


def test_the_section_of_the_configuration(tmp_path: Path) -> None:
    """Every key is heeded; the directory is beside the database unless it is said."""
    file = tmp_path / "cas.toml"
    file.write_text(
        """
        [collateral]
        directory = "/srv/collateral"
        pcs = "https://pccs.example:8081/"
        kds = "https://kds.example"
        ca_file = "/etc/ca.pem"
        offline = true
        refresh = 6
        """
    )
    assert load_config(file, home=tmp_path).collateral == CollateralConfig(
        directory=Path("/srv/collateral"),
        pcs="https://pccs.example:8081",
        kds="https://kds.example",
        ca_file=Path("/etc/ca.pem"),
        offline=True,
        refresh=dt.timedelta(hours=6),
    )
    assert load_config(None, home=tmp_path).collateral_directory == tmp_path / "collateral"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pcs = 'http://pccs'", "pcs is an address with https://, without query"),
        ("kds = 'https://'", "kds is an address with https://"),
        ("kds = 7", "kds is an address with https://"),
        ("refresh = 0", "refresh is 1 to 168 hours"),
        ("refresh = true", "refresh is 1 to 168 hours"),
        ("offline = 'yes'", "offline is true or false"),
        ("directory = ''", "directory is a path in quotes"),
        ("pccs = 'https://x'", "pccs is not known"),
    ],
)
def test_what_the_section_may_not_say(tmp_path: Path, line: str, message: str) -> None:
    """It is refused with its place."""
    file = tmp_path / "cas.toml"
    file.write_text(f"[collateral]\n{line}\n")
    with pytest.raises(InputError, match=message):
        load_config(file, home=tmp_path)


def test_the_owner_tells_the_subscription_key(tmp_path: Path) -> None:
    """The section [dcap] of the owner's configuration is what Intel's service is asked with."""
    with EmbeddedCas(tmp_path / "cas") as running:
        owner = running.cas.owner
        assert owner.subscription_key is None
        text = '[dcap]\nsubscription_key = "canary"\n'
        owner.provision(Identity.generate("owner").key_hash, owner.token or "", text, ConfigFormat.TOML)
        assert owner.subscription_key == Secret(b"canary")
