"""What is accepted of the platform of a CAS: nothing that was not said, and everything that was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bannock.evidence.cas_expectations import CasExpectations, software_findings
from bannock.policy.claims import Claims
from bannock.policy.machines import MachineRule
from bannock.values import Measurement

_KEY = "5a" * 32
_SGX = Claims(
    platform="sgx",
    measurement=Measurement(b"m" * 32),
    signer=Measurement(b"s" * 32),
    product_id=7,
    svn=3,
    debug=False,
)
_TDX = replace(_SGX, platform="tdx", attester=_KEY, machine={"mrtd": "ab" * 48})
_ANY = CasExpectations(any_software=True)


def _refused(claims: Claims, expected: CasExpectations) -> list[str]:
    return [finding.what for finding in software_findings(claims, expected) if finding.holds is False]


def test_hardware_without_weaknesses_is_accepted() -> None:
    """Nothing has to be said for it."""
    assert not _refused(_SGX, _ANY)
    assert not _refused(_SGX, CasExpectations(mrsigner=_SGX.signer, isvprodid=7, isvsvn=3))


@pytest.mark.parametrize("weakness", ["outdated-tcb", "software-hardening-needed", "hyperthreading", "aepic-leak"])
def test_each_weakness_is_accepted_by_its_name_alone(weakness: str) -> None:
    """Another one that is accepted does not help."""
    weak = replace(_SGX, weaknesses=frozenset({weakness}))
    assert _refused(weak, _ANY) == [f"The platform of the CAS has the weakness {weakness}, which is not accepted"]
    assert _refused(weak, replace(_ANY, tolerated=frozenset({"insecure-igpu"})))
    assert not _refused(weak, replace(_ANY, tolerated=frozenset({weakness})))


def test_advisories_come_with_the_state_that_is_accepted() -> None:
    """A list of them is the whole list."""
    ids = frozenset({"INTEL-SA-00289", "INTEL-SA-00615"})
    weak = replace(_SGX, weaknesses=frozenset({"software-hardening-needed"}), advisories=ids)
    accepting = replace(_ANY, tolerated=weak.weaknesses)
    assert len(_refused(weak, _ANY)) == 3
    assert not _refused(weak, accepting)
    assert not _refused(weak, replace(accepting, advisories=ids))
    assert _refused(weak, replace(accepting, advisories=frozenset({"INTEL-SA-00289"}))) == [
        "The advisory INTEL-SA-00615 applies to the platform of the CAS, and is not accepted"
    ]


def test_advisories_alone_are_not_accepted_with_something_else() -> None:
    """Neither with a weakness that no statement of the vendor is behind, nor with one that is not there."""
    weak = replace(_SGX, weaknesses=frozenset({"aepic-leak"}), advisories=frozenset({"INTEL-SA-00657"}))
    tolerated = frozenset({"aepic-leak", "outdated-tcb"})
    assert _refused(weak, replace(_ANY, tolerated=tolerated)) == [
        "The advisory INTEL-SA-00657 applies to the platform of the CAS, and is not accepted"
    ]


def test_a_machine_has_to_be_known() -> None:
    """Anybody can start a machine on genuine hardware, with an attester in it that lies."""
    refused = _refused(_TDX, _ANY)
    assert refused == [
        (
            f"The machine of the CAS does not match expectation: none is expected, found mrtd {'ab' * 48}; "
            f"if you know these values, the rule that accepts it is {{tdx: {{mrtd: {'ab' * 48}}}}}"
        )
    ]
    assert not _refused(_TDX, replace(_ANY, attesters=frozenset({_KEY.upper()})))
    assert "Unexpected attester" in _refused(_TDX, replace(_ANY, attesters=frozenset({"00" * 32})))[0]
    assert _refused(replace(_TDX, attester=None), replace(_ANY, attesters=frozenset({"00" * 32})))


def test_a_machine_is_known_by_what_was_started_in_it() -> None:
    """Rules are those of sessions; a LAS that is named may be in any machine."""
    right, wrong = (MachineRule(platform="tdx", values={"mrtd": (value * 48,)}) for value in ("ab", "cd"))
    other = MachineRule(platform="sev-snp", values={"measurement": ("ab" * 48,)})
    assert not _refused(_TDX, replace(_ANY, machines=(other, wrong, right)))
    assert _refused(_TDX, replace(_ANY, machines=(wrong,))) == [
        (
            f"The machine of the CAS does not match expectation: Unexpected machine (MRTD, {'ab' * 48}) "
            f"- Expected {'cd' * 48}"
        )
    ]
    assert "Expected sev-snp" in _refused(_TDX, replace(_ANY, machines=(other,)))[0]
    assert not _refused(_TDX, replace(_ANY, machines=(wrong,), attesters=frozenset({_KEY})))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"platform": "sim", "rehearses": "tdx"}, "platform sim (rehearses tdx)"),
        ({"debug": True}, "debug mode"),
    ],
)
def test_nothing_protects_a_rehearsal_and_a_debug_enclave(change: dict[str, Any], told: str) -> None:
    """Each is refused by its own words, whatever weaknesses are accepted."""
    everything = replace(_ANY, tolerated=frozenset({"simulation", "debug-mode"}), attesters=frozenset({_KEY}))
    refused = _refused(replace(_TDX, **change), everything)
    assert len(refused) == 1
    assert told in refused[0]


def test_a_rehearsal_that_is_accepted_may_be_any_machine() -> None:
    """But one that is named has to be that one, as it would have to on hardware."""
    rehearsal = replace(_TDX, platform="sim", rehearses="tdx")
    assert not _refused(rehearsal, replace(_ANY, allow_simulation=True))
    assert _refused(rehearsal, replace(_ANY, allow_simulation=True, attesters=frozenset({"00" * 32})))
