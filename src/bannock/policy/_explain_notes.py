"""What a person should look at in a session before relying on it.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.policy.access import operation_rules
from bannock.policy.rules import Keyword
from bannock.policy.session import AttestationMode, Toleration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.policy.explain import SecretView, ServiceView
    from bannock.policy.session import Session

__all__ = ["notes_of"]


def notes_of(session: Session, services: Sequence[ServiceView], secrets: Sequence[SecretView]) -> Iterator[str]:
    """Give them, the gravest first."""
    yield from _attestation_notes(session, services)
    yield from _access_notes(session, secrets)
    for service in session.services:
        if service.imported is not None:
            yield f"service {service.name} is imported: what it sees is said by session {service.imported.name}"
    for section in sorted(session.unbound):
        yield f"{section} stands in secrets: what it says then is not explained here"
    for secret in secrets:
        if not (secret.services or secret.sessions or secret.uses or secret.public):
            yield f"secret {secret.name} goes nowhere"


def _attestation_notes(session: Session, services: Sequence[ServiceView]) -> Iterator[str]:
    security = session.security
    if security.mode is AttestationMode.NONE:
        second = [need for service in services for need in service.needs if "password" in need or "token" in need]
        but = f", if it has {second[0]}" if second else ""
        yield f"attestation is disabled: every program that reaches the CAS may be any service{but}"
        return
    if Toleration.SIMULATION in security.tolerated:
        yield "simulation is tolerated: the administrator of a host can read what its services see"
    if Toleration.DEBUG_MODE in security.tolerated:
        yield "debug-mode is tolerated: whoever starts an enclave in it can read what it sees"
    if any(rule.platform == "tpm" for rule in security.machines):
        yield "machines with a TPM are trusted: it vouches for what they boot, and keeps no memory from their host"
    if security.ignored_advisories is None:
        yield "all advisories are ignored in debug mode and in simulation, those of the future too"
    weak = sorted(security.tolerated - {Toleration.SIMULATION, Toleration.DEBUG_MODE, Toleration.MAA_MANAGED_TCB})
    if weak:
        yield f"weaknesses of platforms are tolerated: {', '.join(weak)}"


def _access_notes(session: Session, secrets: Sequence[SecretView]) -> Iterator[str]:
    if Keyword.ANY in operation_rules(session, "update"):
        yield "everybody may replace this session, and get every secret that is kept then"
    elif operation_rules(session, "update") == (Keyword.NONE,):
        yield "nobody may ever change this session"
    written = [secret.name for secret in secrets if secret.written]
    if written:
        who = "everybody" if Keyword.ANY in operation_rules(session, "read") else "whoever may read the session"
        yield f"{who} reads the values that the document holds: {', '.join(written)}"
    kept = [secret.name for secret in secrets if not secret.written and not secret.public]
    if kept:
        yield f"whoever may update can have new services see: {', '.join(kept)}"
