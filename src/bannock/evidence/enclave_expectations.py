"""What an enclave that one relies on has to be, and what of it is so: software, platform and machine. Pure.

Everything that is looked at is a finding. Those that do not hold are in the words that scripts look for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.evidence.appraisal import Finding
from bannock.policy.claims import SIMULATED
from bannock.policy.machines import machine_mismatches, machine_platform, rule_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.policy.claims import Claims
    from bannock.policy.machines import MachineRule
    from bannock.values import Measurement

__all__ = ["EnclaveExpectations", "compared", "enclave_findings"]

#: Weaknesses that stand for the vendor's word on the whole platform; advisories come with them.
_ADVISED: Final = frozenset({"outdated-tcb", "software-hardening-needed", "insecure-configuration"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveExpectations:
    """What an enclave has to be. What is None or empty is not asked for, but for the software and the machine.

    Attributes:
        mrenclaves: any of these measurements; empty leaves it to ``mrsigner``.
        mrsigner: who signed the software; then ``isvprodid`` and ``isvsvn`` count too.
        isvprodid: the product id, exactly.
        isvsvn: the security version, or a later one.
        any_software: whether every software will do (only for tests: it may be anybody's).
        machines: what the machine has to be, any of these, on platforms that vouch for one: there an enclave is as
            trustworthy as what was started in the machine, the LAS above all.
        attesters: keys of LASes that are trusted whatever their machine is, 64 hexadecimal digits each.
        tolerated: weaknesses of the platform that are accepted, as sessions name them.
        advisories: those that are accepted, and no others; None accepts those that come with a state of the platform
            that is accepted.
        allow_debug: whether a debugger may look into it (only for tests).
        allow_simulation: whether a platform without protection will do (only for tests and development).
    """

    mrenclaves: frozenset[Measurement] = field(default_factory=frozenset)
    mrsigner: Measurement | None = None
    isvprodid: int | None = None
    isvsvn: int | None = None
    any_software: bool = False
    machines: tuple[MachineRule, ...] = ()
    attesters: frozenset[str] = frozenset()
    tolerated: frozenset[str] = frozenset()
    advisories: frozenset[str] | None = None
    allow_debug: bool = False
    allow_simulation: bool = False


def enclave_findings(claims: Claims, expected: EnclaveExpectations, what: str) -> Iterator[Finding]:
    """Compare what evidence tells with what is expected.

    Args:
        claims: of the evidence.
        expected: what the enclave has to be.
        what: it is, for messages, for example ``CAS``.
    """
    yield from _software(claims, expected)
    yield from _platform(claims, expected, what)
    yield from _weaknesses(claims, expected, what)
    yield from _machine(claims, expected, what)


def _software(claims: Claims, expected: EnclaveExpectations) -> Iterator[Finding]:
    if expected.any_software:
        yield Finding("any software is accepted", None, f"MRENCLAVE {claims.measurement}")
        return
    if expected.mrenclaves:
        wanted = " or ".join(sorted(str(each) for each in expected.mrenclaves))
        yield compared(
            claims.measurement in expected.mrenclaves,
            "the software is one that is expected",
            f"MRENCLAVE {claims.measurement}",
            f"Enclave hash does not match expectation: expected {wanted}, found {claims.measurement}",
        )
    elif expected.mrsigner is None:
        yield Finding(
            f"Enclave hash does not match expectation: none is expected, found {claims.measurement}", holds=False
        )
    if expected.mrsigner is not None:
        yield compared(
            claims.signer == expected.mrsigner,
            "the software is signed by whom it has to be signed",
            f"MRSIGNER {claims.signer}",
            f"Enclave signer does not match expectation: expected {expected.mrsigner}, found {claims.signer}",
        )
    if expected.isvprodid is not None:
        yield compared(
            claims.product_id == expected.isvprodid,
            "the product is the one expected",
            f"ISVPRODID {claims.product_id}",
            f"Product id does not match expectation: expected {expected.isvprodid}, found {claims.product_id}",
        )
    if expected.isvsvn is not None:
        yield compared(
            claims.svn >= expected.isvsvn,
            "the security version is late enough",
            f"ISVSVN {claims.svn}, expected {expected.isvsvn} or later",
            f"Security version does not match expectation: expected {expected.isvsvn} or later, found {claims.svn}",
        )


def _platform(claims: Claims, expected: EnclaveExpectations, what: str) -> Iterator[Finding]:
    if claims.debug and not expected.allow_debug:
        yield Finding(f"The {what} runs in debug mode, in which it cannot protect secrets", holds=False)
    if claims.platform == SIMULATED:
        if expected.allow_simulation:
            yield Finding(f"platform {claims.platform_name} is accepted, which protects nothing", None)
        else:
            yield Finding(
                f"The {what} runs in simulation, in which nothing protects it: platform {claims.platform_name}",
                holds=False,
            )
    else:
        yield Finding(f"the {what} is protected by {claims.platform}", None)


def _weaknesses(claims: Claims, expected: EnclaveExpectations, what: str) -> Iterator[Finding]:
    for weakness in sorted(claims.weaknesses):
        yield compared(
            weakness in expected.tolerated,
            f"the weakness {weakness} of the platform is accepted",
            "",
            f"The platform of the {what} has the weakness {weakness}, which is not accepted",
        )
    accepted = expected.advisories
    if accepted is None:
        # Whoever accepts what the vendor says of the platform accepts what the vendor says it for.
        accepted = claims.advisories if claims.weaknesses & _ADVISED & expected.tolerated else frozenset()
    for advisory in sorted(claims.advisories):
        yield compared(
            advisory in accepted,
            f"the advisory {advisory}, which applies to the platform, is accepted",
            "",
            f"The advisory {advisory} applies to the platform of the {what}, and is not accepted",
        )


def _machine(claims: Claims, expected: EnclaveExpectations, what: str) -> Iterator[Finding]:
    """Ask which machine it is, where the platform vouches for whatever was started in one."""
    if machine_platform(claims) is None:
        return
    values = ", ".join(f"{name} {value}" for name, value in sorted(claims.machine.items()))
    if (claims.attester or "none").lower() in {each.lower() for each in expected.attesters}:
        yield Finding("the attester is one that is expected", detail=str(claims.attester))
        return
    if not expected.machines and not expected.attesters:
        if claims.platform == SIMULATED and expected.allow_simulation:
            yield Finding("any machine is accepted, as nothing protects it", None, values)
            return
        rule = rule_for(claims)
        suggested = "" if rule is None else f"; if you know these values, the rule that accepts it is {rule}"
        yield Finding(
            f"The machine of the {what} does not match expectation: none is expected, found {values}{suggested}",
            holds=False,
        )
        return
    mismatches = [f"Unexpected attester (public key, {claims.attester}) - Expected another one"]
    if expected.machines:
        mismatches = machine_mismatches(expected.machines, claims)
    if not mismatches:
        yield Finding("the machine is one that is expected", detail=values)
    for mismatch in mismatches:
        yield Finding(f"The machine of the {what} does not match expectation: {mismatch}", holds=False)


def compared(holds: bool, what: str, detail: str, otherwise: str) -> Finding:  # noqa: FBT001 - what is compared
    """Give the finding of a comparison."""
    return Finding(what, holds=True, detail=detail) if holds else Finding(otherwise, holds=False)
