"""A LAS that rehearses a platform gives evidence that is looked at like the real one's, and taken for what it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import EvidenceError, InputError
from bannock.evidence.rehearsal.knobs import ALL_WELL, Rehearsal
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify
from bannock.las.rehearsal import rehearse
from bannock.values import Measurement

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.evidence.platforms import ReportAttester
    from bannock.evidence.verifier import Appraisal

_AT: Final = datetime(2026, 3, 1, 12, 30, 15, 123, tzinfo=UTC)
_REPORT: Final = Report(
    measurement=Measurement(b"\x0e" * 32),
    signer=Measurement(b"\x05" * 32),
    product_id=3,
    svn=4,
    debug=False,
    data=bytes(range(64)),
    instance=bytes(range(32)),
)
_PLATFORMS: Final = ("sgx", "tdx", "sev-snp", "tpm")


def _made(platform: str, directory: Path, *knobs: str, at: datetime = _AT, **machine: str) -> ReportAttester:
    parsed = Rehearsal.parse(knobs)
    named = {name.replace("_", "."): value for name, value in machine.items()}
    return rehearse(platform, parsed, directory, machine=named, clock=lambda: at)


def _appraised(attester: ReportAttester, at: datetime = _AT) -> Appraisal:
    return verify(attester.attest(_REPORT).to_json(), expected_report_data=_REPORT.data, at=at)


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_what_is_rehearsed_is_simulation(platform: str, private_path: Path) -> None:
    """Its claims are those of the report, its machine is the same one after a restart, its key is not."""
    first, second = (_made(platform, private_path) for _ in range(2))
    claims = _appraised(first).claims
    assert (claims.platform, claims.rehearses) == ("sim", platform)
    assert (first.platform, first.rehearses) == ("sim", platform)
    assert (claims.measurement, claims.signer) == (_REPORT.measurement, _REPORT.signer)
    assert (claims.product_id, claims.svn, claims.debug) == (3, 4, False)
    again = _appraised(second).claims
    assert claims.machine_id == again.machine_id
    assert claims.machine_id is not None
    if platform != "sgx":
        assert claims.attester != again.attester
        assert claims.instance == bytes(range(32)).hex()
        assert claims.machine == again.machine
    kept = list(private_path.iterdir())
    assert [(path.name, path.stat().st_mode & 0o777) for path in kept] == [(f"rehearsal-{platform}.json", 0o600)]


@pytest.mark.parametrize("platform", _PLATFORMS)
@pytest.mark.parametrize(
    ("knob", "told"), [("expired-collateral", "expired|nextUpdate|past|since"), ("revoked", "revoked"), ("replay", "")]
)
def test_what_does_not_hold_is_refused(platform: str, knob: str, told: str, private_path: Path) -> None:
    """The genuine verifiers refuse it for its reason."""
    with pytest.raises(EvidenceError) as caught:
        _appraised(_made(platform, private_path, knob))
    text = " ".join((str(caught.value), *caught.value.reasons))
    if knob == "replay":
        told = "the one in the SGX quote" if platform == "sgx" else "another key than the one that signed"
        assert told in text
    else:
        assert any(word in text for word in told.split("|")), text


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_what_sessions_decide_on_is_told(platform: str, private_path: Path) -> None:
    """A debugger, and where vendors tell of it a state of the platform, are claims and no errors."""
    assert _appraised(_made(platform, private_path, "debug")).claims.debug
    outdated = _appraised(_made(platform, private_path, "outdated-tcb")).claims
    if platform in {"sgx", "tdx"}:
        assert "outdated-tcb" in outdated.weaknesses


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_a_renewal_brings_what_the_vendor_says_now(platform: str, private_path: Path) -> None:
    """What ran out in the meantime is made anew."""
    now = [_AT]
    attester = rehearse(platform, ALL_WELL, private_path, machine={}, clock=lambda: now[0])
    now[0] = later = _AT + timedelta(days=400)
    with pytest.raises(EvidenceError):
        _appraised(attester, later)
    attester.renew()
    assert _appraised(attester, later).claims.rehearses == platform


def test_machines_as_users_want_them(private_path: Path) -> None:
    """What sessions compare can be said; what is no value of a machine is an error."""
    assert _appraised(_made("tdx", private_path, mrtd="ab" * 48)).claims.machine["mrtd"] == "ab" * 48
    assert _appraised(_made("sev-snp", private_path, measurement="cd" * 48)).claims.machine["measurement"] == "cd" * 48
    assert _appraised(_made("tpm", private_path, pcr_sha256_7="ef" * 32)).claims.machine["pcr.sha256.7"] == "ef" * 32
    for platform in _PLATFORMS:
        with pytest.raises(InputError):
            _made(platform, private_path, mrtd="xy")
    with pytest.raises(InputError, match="what can be rehearsed is sev-snp, sgx, tdx, tpm"):
        _made("sim", private_path)


@pytest.mark.parametrize("platform", _PLATFORMS)
def test_a_damaged_vendor_is_told(platform: str, private_path: Path) -> None:
    """And left as it is."""
    _made(platform, private_path)
    path = private_path / f"rehearsal-{platform}.json"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=path.name) as caught:
        _made(platform, private_path)
    assert "move it away" in (caught.value.hint or "")
