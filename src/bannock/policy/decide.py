"""Decisions: whether an enclave is the service it wants to be, and whether a client may do what it asks for.

Pure, and light to import. A decision returns nothing and raises; every reason is collected before it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from bannock.errors import DeniedError
from bannock.policy.claims import SIMULATED
from bannock.policy.rules import Keyword
from bannock.policy.session import AttestationMode, Toleration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.policy.claims import Claims
    from bannock.policy.rules import AccessRule
    from bannock.policy.session import AttestationVariant, Session, SignerRule
    from bannock.values import KeyHash

__all__ = ["Operation", "decide_access", "decide_enclave"]

Operation: TypeAlias = Literal["read", "update", "create_sessions"]

_ANY_FAILED = "Caused by: None of the required enclave properties are met by the enclave"
_ALL_FAILED = "Caused by: Not all of the required enclave properties are met by the enclave"


def decide_enclave(session: Session, service_name: str, claims: Claims) -> None:
    """Accept an enclave as a service of the session.

    Where the session disables attestation (``mode: none``), every enclave is accepted: the session language says that
    the attestation of its services has no effect then.

    Raises:
        NotFoundError: the session has no such service.
        DeniedError: the enclave is not trustworthy; its reasons name every property that was expected and found.
    """
    service = session.service(service_name)
    if session.security.mode is AttestationMode.NONE:
        return
    weaknesses = _weaknesses(session.security.tolerated, claims)
    mismatches = [_mismatches(variant, claims) for variant in service.attestation]
    # No variant at all means that nobody is trusted; the parser refuses such a session already.
    if not weaknesses and any(not reasons for reasons in mismatches):
        return
    raise DeniedError(
        "The program enclave is not trustworthy",
        reasons=_reasons(weaknesses, mismatches),
        hint=_hint(weaknesses),
    )


def _weaknesses(tolerated: frozenset[Toleration], claims: Claims) -> list[str]:
    """Name what makes the platform or its mode unfit, whichever program runs on it."""
    found: list[str] = []
    if claims.platform == SIMULATED and Toleration.SIMULATION not in tolerated:
        found.append("Unexpected platform (platform, sim) - Expected hardware that protects the enclave")
    if claims.debug and Toleration.DEBUG_MODE not in tolerated:
        found.append("Unexpected enclave mode (DEBUG, true) - Expected false")
    return found


def _mismatches(variant: AttestationVariant, claims: Claims) -> list[str]:
    """Name what keeps an enclave from fulfilling a variant; nothing where it does."""
    found: list[str] = []
    if variant.measurements and claims.measurement not in variant.measurements:
        found += [
            f"Unexpected enclave measurement (MRENCLAVE, {claims.measurement}) - Expected {expected}"
            for expected in variant.measurements
        ]
    if variant.signer is not None:
        found += _signer_mismatches(variant.signer, claims)
    if not variant.measurements and variant.signer is None:
        found.append("Unexpected enclave - Expected none, the variant asks for nothing")
    return found


def _signer_mismatches(rule: SignerRule, claims: Claims) -> list[str]:
    found: list[str] = []
    if claims.signer != rule.signer:
        found.append(f"Unexpected enclave signer (MRSIGNER, {claims.signer}) - Expected {rule.signer}")
    if claims.product_id != rule.product_id:
        found.append(f"Unexpected product ID (ISVPRODID, {claims.product_id}) - Expected {rule.product_id}")
    low, high = rule.svn_min, rule.svn_max
    if (low is not None and claims.svn < low) or (high is not None and claims.svn > high):
        bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
        expected = str(low) if low == high else " and ".join(bounds)
        found.append(f"Unexpected security version (ISVSVN, {claims.svn}) - Expected {expected}")
    return found


def _reasons(weaknesses: Sequence[str], variants: Sequence[Sequence[str]]) -> list[str]:
    """Lay the tree of properties out as SCONE's runtime does: any variant, all of its factors, any of the values."""
    leaves = list(weaknesses)
    for number, mismatches in enumerate(variants, start=1):
        place = f" (variant {number} of {len(variants)})" if len(variants) > 1 else ""
        leaves += [mismatch + place for mismatch in mismatches]
    if not variants:
        leaves.append("The session trusts no enclave for this service")
    causes = [_ALL_FAILED] if weaknesses else [_ANY_FAILED, _ALL_FAILED, _ANY_FAILED]
    return causes + [f"Error {number} of {len(leaves)}: {leaf}" for number, leaf in enumerate(leaves, start=1)]


def _hint(weaknesses: Sequence[str]) -> str | None:
    if not weaknesses:
        return None
    return "only a session for tests may list simulation or debug-mode in security.attestation.tolerate"


def decide_access(session: Session, operation: Operation, client: KeyHash, creator: KeyHash) -> None:
    """Accept that a client does something with the session.

    Args:
        session: whose access policy decides.
        operation: what the client wants to do.
        client: whose possession of the key the TLS handshake has proven.
        creator: the client that created the session.

    Raises:
        DeniedError: the access policy does not allow it.
    """
    if any(_admits(entry, client, creator) for entry in _entries(session, operation)):
        return
    raise DeniedError(
        f"client {client} may not {operation} session {session.name}",
        hint=f"its access_policy has to list the client's key hash under {operation}",
    )


def _entries(session: Session, operation: Operation) -> tuple[AccessRule, ...]:
    policy = session.access_policy
    match operation:
        case "read":
            return policy.read
        case "update":
            return policy.update
        case "create_sessions":
            return policy.update if policy.create_sessions is None else policy.create_sessions
        case _:
            assert_never(operation)


def _admits(entry: AccessRule, client: KeyHash, creator: KeyHash) -> bool:
    match entry:
        case Keyword.CREATOR:
            return client == creator
        case Keyword.ANY:
            return True
        case Keyword.NONE:
            return False
        case _:
            return client == entry
