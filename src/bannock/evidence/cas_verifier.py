"""Whether a CAS is the one that it has to be: the client's side of ``GET /v1/attest``. Pure; time is an argument.

First the evidence has to hold: it is authentic, and bound to the statement, the nonce and the connection. Then what it
proves is compared with what the user expects (:mod:`bannock.evidence.cas_expectations`), and everything that differs
is told at once.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError, EvidenceError
from bannock.evidence.appraisal import Finding, TcbState
from bannock.evidence.cas_expectations import CasExpectations, software_findings, state_findings
from bannock.evidence.cas_statement import CAS_FORMAT, CasStatement, channel_of
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.evidence.envelope import ENVELOPE_BYTES_MAX
from bannock.evidence.verifier import verify, verify_quote
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from bannock.evidence.appraisal import Bound
    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.verifier import QuoteVerifier
    from bannock.policy.claims import Claims
    from bannock.values import KeyHash

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
class AttestedCas:
    """A CAS whose evidence holds and which is the one expected.

    Attributes:
        statement: what it says of itself, with its certificates and keys.
        claims: what the platform says of it.
        attester: the key that signed the report.
        warnings: what a person should know before relying on it.
        tcb: the state of the platform's trusted computing base.
        findings: why all of this is believed.
        bounds: until when the evidence holds, and what ends it.
    """

    statement: CasStatement
    claims: Claims
    attester: KeyHash
    warnings: tuple[str, ...]
    tcb: TcbState = field(default_factory=TcbState)
    findings: tuple[Finding, ...] = ()
    bounds: tuple[Bound, ...] = ()

    @property
    def key_hash(self) -> KeyHash:
        """Who the CAS is: what every later connection has to prove."""
        return self.statement.key_hash


def verify_cas(  # noqa: D417 - the rest is as in verify_cas_report
    attestation: bytes,
    expected: CasExpectations,
    *,
    nonce: str,
    exporter: bytes,
    peer: KeyHash,
    at: datetime,
    endorsements: Endorsements = NO_ENDORSEMENTS,
    appraise: QuoteVerifier = verify_quote,
    observer: Callable[[Finding], None] | None = None,
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
    if observer is not None:
        observer(Finding("the attestation was made for this connection, by the key that the CAS has proven on it"))
    return verify_cas_report(
        attestation,
        expected,
        nonce=nonce,
        at=at,
        endorsements=endorsements,
        appraise=appraise,
        observer=observer,
    )


def verify_cas_report(
    attestation: bytes,
    expected: CasExpectations,
    *,
    nonce: str | None,
    at: datetime,
    endorsements: Endorsements = NO_ENDORSEMENTS,
    appraise: QuoteVerifier = verify_quote,
    observer: Callable[[Finding], None] | None = None,
) -> AttestedCas:
    """Verify an attestation that was kept in a file.

    Args:
        attestation: the body of the answer.
        expected: what the CAS has to be.
        nonce: what it was asked with; None does not look at it, so the attestation may be an old one.
        at: the time of the verdict.
        endorsements: what vendors vouch for; what came along with the evidence is added to it.
        appraise: verifies quotes (:func:`~bannock.evidence.verifier.verify`).
        observer: learns everything that was looked at, also where the CAS is refused.

    Raises:
        EvidenceError: it is malformed, not authentic, or for another nonce.
        DeniedError: it holds, and the CAS is not what is expected; its message is the first thing that differs, its
            reasons are the others.
    """
    statement, evidence = _parsed(attestation)
    appraisal = verify(
        evidence, expected_report_data=statement.report_data(), at=at, endorsements=endorsements, appraise=appraise
    )
    if nonce is not None and not hmac.compare_digest(statement.nonce or "", nonce):
        raise EvidenceError("the attestation is for another nonce: it may be an old one")
    bound = "the nonce that was sent" if nonce is not None else "a nonce that was not looked at"
    findings = (
        Finding("the evidence holds", because=appraisal.findings),
        Finding(f"the evidence vouches for the keys of the CAS, its state, its connection and {bound}"),
        *state_findings(statement, appraisal.claims, expected),
    )
    _decide(findings, observer)
    return AttestedCas(
        statement=statement,
        claims=appraisal.claims,
        attester=appraisal.attester,
        warnings=appraisal.warnings,
        tcb=appraisal.tcb,
        findings=findings,
        bounds=appraisal.bounds,
    )


def verify_cas_evidence(
    evidence: bytes,
    expected: CasExpectations,
    *,
    report_data: bytes,
    at: datetime,
    endorsements: Endorsements = NO_ENDORSEMENTS,
) -> None:
    """Verify evidence of a CAS that is bound to something else than a statement: to the key of its audit log.

    Args:
        evidence: in its envelope.
        expected: what the software of the CAS has to be; what a statement alone tells is not looked at.
        report_data: what it has to be bound to.
        at: the time of the verdict.
        endorsements: what vendors vouch for; what came along with the evidence is added to it.

    Raises:
        EvidenceError: it is malformed, not authentic, or bound to something else.
        DeniedError: it holds, and the CAS is not what is expected.
    """
    claims = verify(evidence, expected_report_data=report_data, at=at, endorsements=endorsements).claims
    _decide(software_findings(claims, expected), None)


def _decide(findings: Iterable[Finding], observer: Callable[[Finding], None] | None) -> None:
    differing: list[str] = []
    for finding in findings:
        if observer is not None:
            observer(finding)
        if finding.holds is False:
            differing.append(finding.what)
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
