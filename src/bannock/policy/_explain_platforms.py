"""Platforms that a session accepts, in words.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.policy.session import AttestationMode, Section, Toleration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.policy.machines import MachineRule
    from bannock.policy.session import Session

__all__ = ["platforms_of"]


def platforms_of(session: Session) -> Iterator[str]:
    """Say where the services of a session may run, a line for each platform."""
    security = session.security
    if Section.SECURITY in session.unbound:
        yield "what the secrets say that stand in security"
        return
    if security.mode is AttestationMode.NONE:
        yield "anything: attestation is disabled"
        return
    if security.mode is AttestationMode.MAA:
        yield "sgx, as Microsoft Azure Attestation judges it"
    else:
        yield "sgx"
        yield from (_machine(rule) for rule in security.machines)
        if security.trusted_attesters:
            yield f"tdx, sev-snp or tpm, any machine with attester {' or '.join(security.trusted_attesters)}"
    if Toleration.SIMULATION in security.tolerated:
        yield "sim, which keeps nothing from its host"


def _machine(rule: MachineRule) -> str:
    parts = [f"{name} {' or '.join(values)}" for name, values in rule.values.items()]
    parts += [f"{name} at least {lowest}" for name, lowest in rule.at_least.items()]
    return f"{rule.platform} with {', '.join(parts)}"
