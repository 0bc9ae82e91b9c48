"""What the audit log is told of evidence."""

from __future__ import annotations

from bannock.cas.appraised import appraised_facts
from bannock.evidence.appraisal import Appraisal, TcbState
from bannock.policy.claims import Claims
from bannock.values import KeyHash, Measurement

_CLAIMS = {
    "measurement": Measurement(b"\x11" * 32),
    "signer": Measurement(b"\x22" * 32),
    "product_id": 0,
    "svn": 0,
}


def _appraisal(claims: Claims, warnings: tuple[str, ...] = ("look out",)) -> Appraisal:
    return Appraisal(
        claims=claims, attester=KeyHash(b"\x33" * 32), warnings=warnings, tcb=TcbState(status="OutOfDate")
    )


def test_all_that_was_found_is_told() -> None:
    """The machine, its state in the vendor's words, what is known of it, and what a person should know."""
    claims = Claims(
        platform="tdx",
        debug=True,
        machine_id="ab" * 32,
        weaknesses=frozenset({"outdated-tcb"}),
        advisories=frozenset({"INTEL-SA-2", "INTEL-SA-1"}),
        **_CLAIMS,  # type: ignore[arg-type]  # values of several types
    )
    facts = appraised_facts(_appraisal(claims))
    assert facts.pop("attester") == str(KeyHash(b"\x33" * 32))
    assert facts == {
        "platform": "tdx",
        "mrenclave": "11" * 32,
        "machine": "ab" * 32,
        "debug": "true",
        "tcb": "OutOfDate",
        "weaknesses": ["outdated-tcb"],
        "advisories": ["INTEL-SA-1", "INTEL-SA-2"],
        "warnings": ["look out"],
    }


def test_a_rehearsal_is_told_as_simulation() -> None:
    """Never as the platform that it rehearses alone."""
    claims = Claims(platform="sim", rehearses="tdx", debug=False, **_CLAIMS)  # type: ignore[arg-type]  # as above
    facts = appraised_facts(_appraisal(claims))
    assert facts["platform"] == "sim (rehearses tdx)"
    assert facts["warnings"] == ["look out"]


def test_plain_simulation_needs_no_warning_beside_its_name() -> None:
    """An entry is written for every start."""
    claims = Claims(platform="sim", debug=False, **_CLAIMS)  # type: ignore[arg-type]  # as above
    assert sorted(appraised_facts(_appraisal(claims))) == ["attester", "mrenclave", "platform", "tcb"]
