"""The strongest platform that the kernel shows is the one that is chosen; the kernel is emulated."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import EnvironmentFault
from bannock.evidence.modes import Mode
from bannock.evidence.platforms import Places, choose
from bannock.evidence.quotes import TdxQuote
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify
from bannock.values import Measurement
from tests.tsm_kernel import TsmKernel

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_AT: Final = datetime(2026, 3, 1, tzinfo=UTC)


def _no_key() -> Ed25519PrivateKey:
    raise AssertionError("a key was made that would be kept")


def _plain(data: bytes, _level: int) -> tuple[bytes, bytes]:
    return data, b""


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.HW])
@pytest.mark.parametrize(("provider", "platform"), [("tdx_guest", "tdx"), ("sev_guest", "sev-snp")])
def test_kernel_with_quotes(tmp_path: Path, mode: Mode, provider: str, platform: str) -> None:
    """Its platform is chosen, with a reason, and no other one is there."""
    with TsmKernel(tmp_path, provider, _plain):
        chosen = choose(mode, None, Places(tsm=tmp_path), _no_key)
        assert (chosen.attester.platform, chosen.attester.rehearses) == (platform, None)
        assert chosen.reason == f"{platform}: {tmp_path} gives quotes"
        first, _ = chosen.attester.vouched()
        chosen.attester.renew()
        assert chosen.attester.vouched()[0] != first
        assert choose(mode, platform, Places(tsm=tmp_path), _no_key).attester.platform == platform
        other = "sev-snp" if platform == "tdx" else "tdx"
        with pytest.raises(EnvironmentFault, match=f"no {other} here") as caught:
            choose(mode, other, Places(tsm=tmp_path), _no_key)
        assert caught.value.reasons == (f"{other}: {tmp_path} is of {platform}",)


def test_kernel_without_a_provider(tmp_path: Path) -> None:
    """The directory alone is no hardware."""
    with (
        TsmKernel(tmp_path, None, _plain),
        pytest.raises(EnvironmentFault, match="no hardware here that could attest") as caught,
    ):
        choose(Mode.HW, None, Places(tsm=tmp_path), _no_key)
    assert f"tdx: {tmp_path} is of no provider that is known" in caught.value.reasons


def test_a_report_from_the_kernels_quote_to_the_verdict(tmp_path: Path) -> None:
    """What the chosen attester signs is verified by the quote that the kernel gave for its key."""
    vendor = IntelVendor(os.urandom, _AT)
    with TsmKernel(tmp_path, "tdx_guest", lambda data, _: (vendor.tdx_quote(data), b"")):
        attester = choose(Mode.HW, None, Places(tsm=tmp_path), _no_key).attester
    report = Report(
        measurement=Measurement(b"\x01" * 32),
        signer=Measurement(bytes(32)),
        product_id=0,
        svn=0,
        debug=False,
        data=bytes(64),
    )
    envelope = attester.attest(report)
    assert isinstance(envelope.quote, TdxQuote)
    found = verify(envelope.to_json(), expected_report_data=bytes(64), at=_AT, endorsements=vendor.endorsements())
    assert (found.claims.rehearses, found.claims.measurement) == ("tdx", report.measurement)


def test_hardware_that_fails_is_no_reason_for_less(tmp_path: Path) -> None:
    """It is told, and what to do; a weaker platform is for whoever runs the machine to choose."""

    def fail(data: bytes, level: int) -> tuple[bytes, bytes]:
        raise OSError(errno.EIO, f"no quote of {len(data)} bytes at {level}")

    with (
        TsmKernel(tmp_path, "tdx_guest", fail),
        pytest.raises(EnvironmentFault, match=r"tdx was chosen .* does not attest this machine") as caught,
    ):
        choose(Mode.AUTO, None, Places(tsm=tmp_path), _no_key)
    assert "SCONE_MODE=sim" in (caught.value.hint or "")
    assert "the kernel gives no quote" in str(caught.value.__cause__)
