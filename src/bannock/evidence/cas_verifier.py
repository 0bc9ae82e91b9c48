"""Whether a CAS is the one that it has to be: the client's side of ``GET /v1/attest``. Pure; time is an argument.

First the evidence has to hold: it is authentic, and bound to the statement, the nonce and the connection. Then what it
proves is compared with what the user expects, and everything that differs is told at once.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError, EvidenceError
from bannock.evidence.cas_statement import CAS_FORMAT, CasStatement, channel_of
from bannock.evidence.envelope import ENVELOPE_BYTES_MAX
from bannock.evidence.verifier import verify
from bannock.policy.canonical import canonical_json
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from bannock.policy.claims import Claims
    from bannock.values import KeyHash, Measurement

__all__ = [
    "ATTESTATION_BYTES_MAX",
    "AttestedCas",
    "CasExpectations",
    "verify_cas",
    "verify_cas_evidence",
    "verify_cas_report",
]

ATTESTATION_BYTES_MAX: Final = 2 * ENVELOPE_BYTES_MAX
_KEYS: Final = frozenset({"format", "statement", "evidence"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CasExpectations:
    """What a CAS has to be. What is None or empty is not asked for, but for the software.

    Attributes:
        mrenclaves: any of these measurements; empty leaves it to ``mrsigner``.
        mrsigner: who signed the software; then ``isvprodid`` and ``isvsvn`` count too.
        isvprodid: the product id, exactly.
        isvsvn: the security version, or a later one.
        any_software: whether every software will do (only for tests: it may be anybody's).
        key_hash: the key of the CAS.
        software_key_hash: the key of its software.
        allow_debug: whether a debugger may look into it (only for tests).
        allow_simulation: whether a platform without protection will do (only for tests and development).
        allow_unprovisioned: whether it may be without an owner, where it serves nobody without one.
        allow_owner_secret_access: whether its owner may have chosen the key of its database.
    """

    mrenclaves: frozenset[Measurement] = field(default_factory=frozenset)
    mrsigner: Measurement | None = None
    isvprodid: int | None = None
    isvsvn: int | None = None
    any_software: bool = False
    key_hash: KeyHash | None = None
    software_key_hash: KeyHash | None = None
    allow_debug: bool = False
    allow_simulation: bool = False
    allow_unprovisioned: bool = False
    allow_owner_secret_access: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestedCas:
    """A CAS whose evidence holds and which is the one expected.

    Attributes:
        statement: what it says of itself, with its certificates and keys.
        claims: what the platform says of it.
        attester: the key that signed the report.
        warnings: what a person should know before relying on it.
    """

    statement: CasStatement
    claims: Claims
    attester: KeyHash
    warnings: tuple[str, ...]

    @property
    def key_hash(self) -> KeyHash:
        """Who the CAS is: what every later connection has to prove."""
        return self.statement.key_hash


def verify_cas(  # noqa: D417 - the rest is as in verify_cas_report
    attestation: bytes, expected: CasExpectations, *, nonce: str, exporter: bytes, peer: KeyHash, at: datetime
) -> AttestedCas:
    """Verify the answer of ``GET /v1/attest?nonce=NONCE`` that came over a connection.

    Args:
        attestation: the body of the answer.
        nonce: what was sent.
        exporter: of the connection that it came over (:meth:`bannock.net.client.Connection.exporter`).
        peer: the key that the other side of the connection has proven.

    Raises:
        EvidenceError: as :func:`verify_cas_report`; or it is the attestation of another CAS or connection.
        DeniedError: as :func:`verify_cas_report`.
    """
    statement, _ = _parsed(attestation)
    if statement.key_hash != peer:
        raise EvidenceError(
            f"the attestation is that of another CAS: it is for the key {statement.key_hash}, "
            f"and the one that answers has {peer}"
        )
    if not hmac.compare_digest(statement.channel, channel_of(exporter)):
        raise EvidenceError("the attestation was made for another connection: somebody has passed it on")
    return verify_cas_report(attestation, expected, nonce=nonce, at=at)


def verify_cas_report(
    attestation: bytes, expected: CasExpectations, *, nonce: str | None, at: datetime
) -> AttestedCas:
    """Verify an attestation that was kept in a file.

    Args:
        attestation: the body of the answer.
        expected: what the CAS has to be.
        nonce: what it was asked with; None does not look at it, so the attestation may be an old one.
        at: the time of the verdict.

    Raises:
        EvidenceError: it is malformed, not authentic, or for another nonce.
        DeniedError: it holds, and the CAS is not what is expected; its message is the first thing that differs, its
            reasons are the others.
    """
    statement, evidence = _parsed(attestation)
    appraisal = verify(evidence, expected_report_data=statement.report_data(), at=at)
    if nonce is not None and not hmac.compare_digest(statement.nonce or "", nonce):
        raise EvidenceError("the attestation is for another nonce: it may be an old one")
    differing = [*_software(appraisal.claims, expected), *_state(statement, appraisal.claims, expected)]
    if differing:
        raise DeniedError(differing[0], reasons=differing[1:])
    return AttestedCas(
        statement=statement, claims=appraisal.claims, attester=appraisal.attester, warnings=appraisal.warnings
    )


def verify_cas_evidence(evidence: bytes, expected: CasExpectations, *, report_data: bytes, at: datetime) -> None:
    """Verify evidence of a CAS that is bound to something else than a statement: to the key of its audit log.

    Args:
        evidence: in its envelope.
        expected: what the software of the CAS has to be; what a statement alone tells is not looked at.
        report_data: what it has to be bound to.
        at: the time of the verdict.

    Raises:
        EvidenceError: it is malformed, not authentic, or bound to something else.
        DeniedError: it holds, and the CAS is not what is expected.
    """
    claims = verify(evidence, expected_report_data=report_data, at=at).claims
    differing = [*_software(claims, expected), *_platform(claims, expected)]
    if differing:
        raise DeniedError(differing[0], reasons=differing[1:])


def _parsed(attestation: bytes) -> tuple[CasStatement, bytes]:
    if len(attestation) > ATTESTATION_BYTES_MAX:
        raise EvidenceError(
            f"the attestation of a CAS has at most {ATTESTATION_BYTES_MAX} bytes, found {len(attestation)}"
        )
    try:
        document = json.loads(attestation)
    except (ValueError, RecursionError) as error:
        raise EvidenceError("the attestation of a CAS is not JSON") from error
    if not isinstance(document, dict) or document.keys() != _KEYS or document["format"] != CAS_FORMAT:
        raise EvidenceError(
            f"an attestation of a CAS has the keys {', '.join(sorted(_KEYS))}, its format {CAS_FORMAT}"
        )
    try:
        evidence = canonical_json(document["evidence"])
    except (ValueError, TypeError, RecursionError) as error:
        raise EvidenceError("the evidence of the CAS is malformed") from error
    return CasStatement.from_document(document["statement"]), evidence


def _software(claims: Claims, expected: CasExpectations) -> Iterator[str]:
    if expected.any_software:
        return
    if expected.mrenclaves:
        if claims.measurement not in expected.mrenclaves:
            wanted = " or ".join(sorted(str(each) for each in expected.mrenclaves))
            yield f"Enclave hash does not match expectation: expected {wanted}, found {claims.measurement}"
    elif expected.mrsigner is None:
        yield f"Enclave hash does not match expectation: none is expected, found {claims.measurement}"
    if expected.mrsigner is not None and claims.signer != expected.mrsigner:
        yield f"Enclave signer does not match expectation: expected {expected.mrsigner}, found {claims.signer}"
    if expected.isvprodid is not None and claims.product_id != expected.isvprodid:
        yield f"Product id does not match expectation: expected {expected.isvprodid}, found {claims.product_id}"
    if expected.isvsvn is not None and claims.svn < expected.isvsvn:
        yield f"Security version does not match expectation: expected {expected.isvsvn} or later, found {claims.svn}"


def _state(statement: CasStatement, claims: Claims, expected: CasExpectations) -> Iterator[str]:
    if expected.key_hash is not None and statement.key_hash != expected.key_hash:
        yield f"CAS key hash does not match expectation: expected {expected.key_hash}, found {statement.key_hash}"
    if expected.software_key_hash is not None and statement.software_key_hash != expected.software_key_hash:
        yield (
            f"CAS software key hash does not match expectation: expected {expected.software_key_hash}, "
            f"found {statement.software_key_hash}"
        )
    yield from _platform(claims, expected)
    if statement.provisioning_required and not statement.provisioned and not expected.allow_unprovisioned:
        yield "The CAS is not provisioned: it waits for its owner"
    if statement.owner_secret_access and not expected.allow_owner_secret_access:
        yield "The owner of the CAS chose the key of its database, and so can read the secrets of all sessions"


def _platform(claims: Claims, expected: CasExpectations) -> Iterator[str]:
    if claims.debug and not expected.allow_debug:
        yield "The CAS runs in debug mode, in which it cannot protect secrets"
    if claims.platform == SIMULATED and not expected.allow_simulation:
        yield "The CAS runs in simulation, in which nothing protects it: platform sim"
