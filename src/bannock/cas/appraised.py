"""What the audit log is told of evidence that a service was let in by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from bannock.evidence.appraisal import Appraisal

__all__ = ["appraised_facts"]


def appraised_facts(appraisal: Appraisal) -> dict[str, str | list[str] | None]:
    """Give the facts: platform and program always, the others where there is something to tell."""
    claims, tcb = appraisal.claims, appraisal.tcb
    facts: dict[str, str | list[str] | None] = {
        "platform": claims.platform_name,
        "mrenclave": str(claims.measurement),
        "attester": str(appraisal.attester),
    }
    # What is said of simulation, the platform's name says.
    warnings = () if claims.platform == SIMULATED and claims.rehearses is None else appraisal.warnings
    more: dict[str, str | list[str] | None] = {
        "machine": claims.machine_id,
        "debug": "true" if claims.debug else None,
        "tcb": tcb.status,
        "weaknesses": sorted(claims.weaknesses),
        "advisories": sorted(claims.advisories),
        "warnings": list(warnings),
    }
    return facts | {name: value for name, value in more.items() if value}
