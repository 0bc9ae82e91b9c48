"""An explanation as text for people.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bannock.policy.explain import Explanation, Flow, SecretView, ServiceView

__all__ = ["explanation_text"]

_VERBS: Final = {"read": "read", "update": "update", "create_sessions": "create sessions in it"}


def explanation_text(explanation: Explanation) -> str:
    """Write an explanation."""
    lines = [
        f"session {explanation.name} (language version {explanation.version})",
        f"  hash {explanation.digest}",
        "",
        "WHO MAY DO WHAT",
        *_rules(explanation),
        *_identities(explanation),
        "",
        "WHO IS TRUSTED, AND SEES WHAT",
        *([line for service in explanation.services for line in _service(service)] or ["  there is no service"]),
        "",
        "WHERE SECRETS COME FROM, AND GO",
        *([line for secret in explanation.secrets for line in _secret(secret)] or ["  there is no secret"]),
        *(f"  {line}" for line in explanation.exports),
    ]
    if explanation.services and explanation.secrets:
        lines += ["", "WHICH SERVICE SEES WHICH SECRET", *_table(explanation)]
    if explanation.notes:
        lines += ["", "WHAT TO LOOK AT", *(f"  - {note}" for note in explanation.notes)]
    return "".join(f"{line}\n" for line in lines)


def _rules(explanation: Explanation) -> Iterator[str]:
    for operation, rules in explanation.rules.items():
        yield f"  {_VERBS[operation]}:"
        yield from (f"    {rule}" for rule in rules or ("nobody",))


def _identities(explanation: Explanation) -> Iterator[str]:
    if explanation.identities:
        yield ""
        rows = [["", "read", "update", "create sessions"]]
        rows += [[identity.label, *identity.may.values()] for identity in explanation.identities]
        yield from _aligned(rows)


def _service(service: ServiceView) -> Iterator[str]:
    yield f"  service {service.name}"
    if service.anybody:
        yield "    may be: every program, attestation is disabled"
    for number, trusted in enumerate(() if service.anybody else service.trusted):
        yield f"    {'or' if number else 'may be'}: {trusted}"
    yield from (f"    {'or on' if number else 'on'}: {line}" for number, line in enumerate(service.platforms))
    yield from (f"    needs: {need}" for need in service.needs)
    yield from (f"    sees: {_shown(flow)}, {flow.place}" for flow in service.sees)
    for mount in service.mounts:
        yield f"    sees: volume {mount.volume} at {mount.path}, {mount.update_policy}, its key {mount.key}"
    if not service.sees and not service.mounts:
        yield "    sees: no secret and no volume"
    yield from (f"    shows: {line}" for line in service.shows)


def _shown(flow: Flow) -> str:
    if flow.secret == "*":  # noqa: S105
        return "any secret"
    return f"secret {flow.secret}" + (f" ({flow.part})" if flow.part else "")


def _secret(secret: SecretView) -> Iterator[str]:
    yield f"  secret {secret.name} ({secret.kind}): {secret.origin}"
    goals = [f"service {name}" for name in secret.services]
    goals += [*secret.sessions, *(["everybody"] if secret.public else []), *secret.uses]
    yield from (f"    -> {goal}" for goal in goals)
    if not goals:
        yield "    -> nowhere"


def _table(explanation: Explanation) -> Iterator[str]:
    services = [service.name for service in explanation.services]
    rows = [["", *services]]
    rows += [
        [secret.name, *("sees" if service in secret.services else "-" for service in services)]
        for secret in explanation.secrets
    ]
    yield from _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
