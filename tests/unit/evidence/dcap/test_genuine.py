"""Genuine quotes of Intel's processors: what they prove, beside what dcap-qvl says of them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest

from bannock.errors import Bug, EvidenceError
from bannock.evidence.dcap.chain import intel_root
from bannock.evidence.dcap.quote import DcapQuote
from bannock.evidence.dcap.verifier import verify_sgx, verify_tdx
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.evidence.quotes import SgxQuote, SimQuote, TdxQuote
from tests.unit.evidence.dcap.samples import GOOD, NAMES, appraise, collateral, expected, quote, time_of

_WEAKNESSES = {
    "UpToDate": set[str](),
    "SWHardeningNeeded": {"software-hardening-needed"},
    "ConfigurationAndSWHardeningNeeded": {"software-hardening-needed", "insecure-configuration"},
    "OutOfDate": {"outdated-tcb"},
}


def _date(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


@pytest.mark.parametrize("name", [each for each in NAMES if expected(each)["result"] == "valid"])
def test_verdicts_agree(name: str) -> None:
    """State, advisories and the end of the verdict are those that dcap-qvl finds."""
    found = appraise(name)
    known = expected(name)
    assert (found.platform, found.genuine, found.debug) == (known["tee"].lower(), True, False)
    assert found.tcb.status == known["status_or_error"]
    assert found.advisories == set(known["advisory_ids"])
    assert found.weaknesses == _WEAKNESSES[known["status_or_error"]]
    assert abs(min(found.bounds).until - _date(known["valid_to"])) <= timedelta(seconds=1)
    assert "FAILED" not in "\n".join(line for each in found.findings for line in each.lines())
    for moment in (min(found.bounds).until, _date(known["valid_from"]) - timedelta(seconds=1)):
        with pytest.raises(EvidenceError):
            appraise(name, at=moment)
    appraise(name, at=min(found.bounds).until - timedelta(seconds=1))
    appraise(name, at=_date(known["valid_from"]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tdx-v4-sept-ve-disable-off", "SEPT_VE_DISABLE is off"),
        ("tdx-v5-service-td", "MR_SERVICE_TD 383c87d3bbb047b2d171eaca95312ede"),
        ("tdx-v5-pck-not-yet-valid", "the PCK certificate is not valid before 2026-01-23 18:09:41 UTC"),
    ],
)
def test_refused(name: str, reason: str) -> None:
    """What dcap-qvl refuses for good is refused, with a reason that says what was found."""
    with pytest.raises(EvidenceError, match="tdx quote does not hold") as raised:
        appraise(name)
    assert reason in "\n".join(raised.value.reasons)


def test_debug_is_told() -> None:
    """An enclave that a debugger may look into is told as such, with the state of its platform: sessions decide."""
    found = appraise("sgx-v3-debug")
    assert found.debug
    assert found.genuine
    assert found.weaknesses == {"software-hardening-needed", "insecure-configuration"}
    assert "a debugger may look in" in "\n".join(line for each in found.findings for line in each.lines())


def test_every_sample_is_accounted_for() -> None:
    """No sample is left out of the tests above."""
    assert set(NAMES) - set(GOOD) == {
        "tdx-v4-sept-ve-disable-off",
        "tdx-v5-service-td",
        "tdx-v5-pck-not-yet-valid",
    }


def test_enclave() -> None:
    """An SGX quote says which enclave it is, and on which machine."""
    found = appraise("sgx-v3-swhardening")
    data = quote("sgx-v3-swhardening")
    assert found.enclave is not None
    assert found.enclave.measurement.value == data[48 + 64 : 48 + 96]
    assert found.enclave.signer.value == data[48 + 128 : 48 + 160]
    assert found.enclave.product_id == int.from_bytes(data[48 + 256 : 48 + 258], "little")
    assert found.enclave.svn == int.from_bytes(data[48 + 258 : 48 + 260], "little")
    assert found.report_data == data[48 + 320 : 48 + 384]
    assert found.machine == {}
    assert found.machine_id is not None
    assert len(found.machine_id) == 64


def test_machine() -> None:
    """A TDX quote says which machine it is, in all its registers."""
    found = appraise("tdx-v4-uptodate")
    data = quote("tdx-v4-uptodate")
    assert found.enclave is None
    places = {
        "tee_tcb_svn": (0, 16),
        "mrseam": (16, 48),
        "mrsignerseam": (64, 48),
        "td_attributes": (120, 8),
        "xfam": (128, 8),
        "mrtd": (136, 48),
        "mrconfigid": (184, 48),
        "mrowner": (232, 48),
        "mrownerconfig": (280, 48),
        "rtmr0": (328, 48),
        "rtmr1": (376, 48),
        "rtmr2": (424, 48),
        "rtmr3": (472, 48),
    }
    assert found.machine == {
        name: data[48 + start : 48 + start + length].hex() for name, (start, length) in places.items()
    }
    assert found.report_data == data[48 + 520 : 48 + 584]


def test_machine_id_is_of_the_machine() -> None:
    """Two quotes of one machine have one id, and one of another machine has another."""
    first, second = appraise("sgx-v3-debug"), appraise("sgx-v3-config-and-swhardening")
    third = appraise("sgx-v3-swhardening")
    assert first.machine_id != third.machine_id
    assert second.machine_id != third.machine_id


def test_version_5_is_read() -> None:
    """The body of version 5 has two more fields; the chain of a sample is Intel's."""
    found = DcapQuote.parse(quote("tdx-v5-service-td"))
    assert found.version == 5
    report = found.report
    assert report.report_data == quote("tdx-v5-service-td")[54 + 520 : 54 + 584]
    root = hashlib.sha256(found.certificates[-1]).hexdigest()
    assert root == "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"


def test_root() -> None:
    """The built-in root is the one whose hash its file tells, and the one that genuine quotes lead to."""
    text = (files("bannock.evidence") / "roots" / "intel-sgx-root-ca.pem").read_text(encoding="ascii")
    assert hashlib.sha256(intel_root()).hexdigest() in text
    assert {DcapQuote.parse(quote(each)).certificates[-1] for each in NAMES} == {intel_root()}


def test_quotes_of_other_platforms() -> None:
    """A quote of one platform is not taken for one of another."""
    at = time_of("tdx-v4-uptodate")
    with pytest.raises(EvidenceError, match="one of sgx, found one of tdx"):
        verify_sgx(SgxQuote(quote=quote("tdx-v4-uptodate")), NO_ENDORSEMENTS, at)
    with pytest.raises(EvidenceError, match="one of tdx, found one of sgx"):
        verify_tdx(TdxQuote(key=b"", quote=quote("sgx-v3-debug")), NO_ENDORSEMENTS, at)
    for verifier in (verify_sgx, verify_tdx):
        with pytest.raises(Bug):
            verifier(SimQuote(key=b""), NO_ENDORSEMENTS, at)


def test_without_collateral() -> None:
    """Without collateral all that is missing is named, and what to do."""
    with pytest.raises(EvidenceError) as raised:
        appraise("tdx-v4-uptodate", dcap=())
    assert len(raised.value.reasons) == 2
    assert "PCCS" in (raised.value.hint or "")
    with pytest.raises(EvidenceError) as raised:
        appraise("tdx-v4-uptodate", dcap=(collateral("tdx-v4-outofdate"),))
    assert any("FMSPC B0C06F000000" in each for each in raised.value.reasons)


def test_collateral_of_many() -> None:
    """Among sets of collateral for other processors, the right parts are found."""
    sets = tuple(collateral(each) for each in NAMES)
    at = time_of("tdx-v4-outofdate")
    assert appraise("tdx-v4-outofdate", dcap=sets, at=at).tcb.status == "OutOfDate"
