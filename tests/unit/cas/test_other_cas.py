"""What a CAS expects of another one: no less than it is itself, and what its owner says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bannock.cas.other_cas import Accepted, expected_of
from bannock.evidence.enclave_expectations import enclave_findings
from bannock.policy.claims import Claims
from bannock.policy.machines import MachineRule
from bannock.values import Measurement

if TYPE_CHECKING:
    from bannock.evidence.cas_verifier import CasExpectations

_OWN = Measurement(b"m" * 32)
_TDX = Claims(
    platform="tdx",
    measurement=_OWN,
    signer=Measurement(bytes(32)),
    product_id=0,
    svn=0,
    debug=False,
    attester="5a" * 32,
    machine={"mrtd": "ab" * 48, "rtmr0": "cd" * 48},
)
_SIM = Claims(platform="sim", measurement=_OWN, signer=_OWN, product_id=0, svn=0, debug=False)


def _expected(own: Claims | None, accepted: Accepted | None = None) -> CasExpectations:
    return expected_of(own, _OWN, accepted or Accepted(), owner_secret_access=False)


def _refused(claims: Claims, expected: CasExpectations) -> bool:
    return any(finding.holds is False for finding in enclave_findings(claims, expected, "CAS"))


def test_a_twin_is_accepted() -> None:
    """The same software on a machine that booted the same, wherever that is, with another LAS key."""
    assert not _refused(replace(_TDX, attester="00" * 32), _expected(_TDX))


def test_nothing_weaker_is_accepted() -> None:
    """Not a simulation, not a rehearsal, not another machine, not a weakness of its own."""
    expected = _expected(_TDX)
    for other in (
        _SIM,
        replace(_TDX, platform="sim", rehearses="tdx"),
        replace(_TDX, machine={**_TDX.machine, "rtmr0": "ef" * 48}),
        replace(_TDX, weaknesses=frozenset({"outdated-tcb"})),
        replace(_TDX, debug=True),
        replace(_TDX, measurement=Measurement(b"x" * 32)),
    ):
        assert _refused(other, expected)
    assert _refused(_SIM, _expected(None)), "a CAS that knows nothing of itself accepts nothing weak"
    assert _refused(_TDX, _expected(None))


def test_what_a_cas_is_itself_it_accepts() -> None:
    """A CAS in simulation asks for no hardware, and an outdated one for no better platform."""
    assert not _refused(_SIM, _expected(_SIM))
    weak = replace(_TDX, weaknesses=frozenset({"outdated-tcb"}))
    assert not _refused(weak, _expected(weak))


def test_its_owner_says_what_else_is_accepted() -> None:
    """Other machines, weaknesses, and another software."""
    other = replace(_TDX, machine={"mrtd": "ef" * 48}, weaknesses=frozenset({"hyperthreading"}))
    rule = MachineRule(platform="tdx", values={"mrtd": ("ef" * 48,)})
    assert not _refused(other, _expected(_TDX, Accepted(machines=(rule,), tolerated=frozenset({"hyperthreading"}))))
    upgraded = replace(_TDX, measurement=Measurement(b"n" * 32))
    assert not _refused(upgraded, _expected(_TDX, Accepted(mrenclaves=frozenset({upgraded.measurement}))))
    assert not _refused(upgraded, _expected(_TDX, Accepted(any_software=True)))
