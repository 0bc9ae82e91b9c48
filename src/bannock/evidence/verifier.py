"""Verifiers: what evidence proves, if it proves anything. Pure; time is an argument.

A verifier says what is true of an enclave. Whether that suffices is decided by the session (``policy/decide.py``).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from bannock.errors import EvidenceError
from bannock.evidence.attester import SIGNATURE_CONTEXT
from bannock.evidence.envelope import Envelope, SimQuote
from bannock.evidence.report import Report
from bannock.policy.claims import SIMULATED, Claims
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["Appraisal", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """What verified evidence says.

    Attributes:
        claims: of the enclave.
        attester: the key that signed the report.
        warnings: what a person should know before relying on it.
    """

    claims: Claims
    attester: KeyHash
    warnings: tuple[str, ...]


class _QuoteVerifier(Protocol):
    """Decides whether a quote vouches for the key that signed the report."""

    def __call__(self, envelope: Envelope, at: datetime, /) -> tuple[Ed25519PublicKey, tuple[str, ...]]:
        """Return that key, and warnings; raise EvidenceError if it does not."""


def verify(envelope: bytes, *, expected_report_data: bytes, at: datetime) -> Appraisal:
    """Verify evidence for one attestation.

    Args:
        envelope: as received.
        expected_report_data: what the report has to be bound to (:func:`bannock.evidence.report.report_data`).
        at: the time of the verdict.

    Raises:
        EvidenceError: it is malformed, not authentic, or bound to something else.
    """
    parsed = Envelope.from_json(envelope)
    report = Report.from_json(parsed.report)
    platform = parsed.quote.platform
    key, warnings = _VERIFIERS[platform](parsed, at)
    try:
        key.verify(parsed.signature, SIGNATURE_CONTEXT + parsed.report)
    except InvalidSignature:
        raise EvidenceError("the signature of the report does not verify under the attester's key") from None
    if not hmac.compare_digest(report.data, expected_report_data):
        raise EvidenceError(
            "the evidence was made for another attestation: its report data are not those of this nonce, "
            "this connection and this key"
        )
    claims = Claims(
        platform=platform,
        measurement=report.measurement,
        signer=report.signer,
        product_id=report.product_id,
        svn=report.svn,
        debug=report.debug,
        attester=key.public_bytes_raw().hex(),
        # Made up, as all that this platform says is: a session that accepts simulation accepts it with the rest.
        singleton=platform == SIMULATED,
    )
    return Appraisal(claims=claims, attester=KeyHash(hashlib.sha256(parsed.quote.key).digest()), warnings=warnings)


def _verify_simulated(envelope: Envelope, _at: datetime) -> tuple[Ed25519PublicKey, tuple[str, ...]]:
    return _load(envelope.quote), ("platform sim: nothing but the attester's own word stands behind this evidence",)


def _load(quote: SimQuote) -> Ed25519PublicKey:
    try:
        key = load_der_public_key(quote.key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EvidenceError("the attester's key is malformed") from error
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceError(f"the attester's key is an Ed25519 key, found {type(key).__name__}")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != quote.key:
        raise EvidenceError("the attester's key is not in its canonical form")
    return key


_VERIFIERS: Mapping[str, _QuoteVerifier] = {SIMULATED: _verify_simulated}
