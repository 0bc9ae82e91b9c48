"""What a CAS expects of another one that it shares a database with: what it is itself, and what its owner says.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bannock.evidence.cas_verifier import CasExpectations
from bannock.policy.claims import SIMULATED
from bannock.policy.machine_file import parse_machines
from bannock.policy.machines import rule_for

if TYPE_CHECKING:
    from bannock.policy.claims import Claims
    from bannock.policy.machines import MachineRule
    from bannock.values import KeyHash, Measurement

__all__ = ["Accepted", "expected_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What the owner says of another CAS.

    Attributes:
        mrenclaves: what software it may be; empty for that of this CAS.
        any_software: whether it may be any.
        key_hash: who it has to be; None for any CAS of that software.
        machines: what its machine may be; empty for one that booted what the machine of this CAS did.
        tolerated: weaknesses of its platform that are accepted, beside those that this CAS has itself.
    """

    mrenclaves: frozenset[Measurement] = frozenset()
    any_software: bool = False
    key_hash: KeyHash | None = None
    machines: tuple[MachineRule, ...] = ()
    tolerated: frozenset[str] = frozenset()


def expected_of(
    own: Claims | None, measurement: Measurement, accepted: Accepted, *, owner_secret_access: bool
) -> CasExpectations:
    """Give what another CAS has to be.

    Args:
        own: what evidence of this CAS says; None where it does not hold here, and then nothing is known to be as weak.
        measurement: of this CAS.
        accepted: what the owner says.
        owner_secret_access: whether its owner may be able to read its database.
    """
    simulated = own is not None and own.platform == SIMULATED
    machines = accepted.machines
    if own is not None and not simulated and not machines:
        rule = rule_for(own)
        machines = () if rule is None else parse_machines(rule)
    mrenclaves = frozenset() if accepted.any_software else accepted.mrenclaves or frozenset({measurement})
    return CasExpectations(
        any_software=accepted.any_software,
        mrenclaves=mrenclaves,
        key_hash=accepted.key_hash,
        machines=machines,
        tolerated=accepted.tolerated | (frozenset() if own is None else own.weaknesses),
        allow_simulation=simulated,
        allow_unprovisioned=True,
        allow_owner_secret_access=owner_secret_access,
    )
