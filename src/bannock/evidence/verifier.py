"""Verifiers: what evidence proves, if it proves anything. Pure; time is an argument.

A verifier says what is true of an enclave. Whether that suffices is decided by the session (``policy/decide.py``).
"""

from __future__ import annotations

import hashlib
import hmac
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from bannock.errors import Bug, EvidenceError
from bannock.evidence.appraisal import Appraisal, Finding, PlatformAppraisal
from bannock.evidence.attester import SIGNATURE_CONTEXT, key_binding
from bannock.evidence.endorsements import NO_ENDORSEMENTS, Endorsements
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import SgxQuote, SimQuote
from bannock.evidence.report import Report
from bannock.policy.claims import SIMULATED, Claims
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bannock.evidence.quotes import Quote, SnpQuote, TdxQuote, TpmQuote

__all__ = ["Appraisal", "QuoteVerifier", "verify", "verify_quote"]


class QuoteVerifier(Protocol):
    """Verifies the quotes of one platform."""

    def __call__(self, quote: Quote, endorsements: Endorsements, at: datetime, /) -> PlatformAppraisal:
        """Return what a quote proves.

        Raises:
            EvidenceError: it is malformed, not authentic, or nothing vouches for it at that time; its reasons say why.
        """


#: Platform → module and function, loaded when evidence of that platform comes.
_VERIFIERS: Final[Mapping[str, tuple[str, str]]] = {
    "sgx": ("bannock.evidence.dcap.verifier", "verify_sgx"),
    "tdx": ("bannock.evidence.dcap.verifier", "verify_tdx"),
    "sev-snp": ("bannock.evidence.snp.verifier", "verify_snp"),
    "tpm": ("bannock.evidence.tpm.verifier", "verify_tpm"),
}


def verify_quote(quote: Quote, endorsements: Endorsements, at: datetime) -> PlatformAppraisal:
    """Verify a quote of hardware, whatever it is bound to.

    Raises:
        EvidenceError: it is malformed, not authentic, or nothing vouches for it at that time; its reasons say why.
    """
    if quote.platform not in _VERIFIERS:
        raise EvidenceError(f"quotes of platform {quote.platform} vouch for themselves alone")
    module, name = _VERIFIERS[quote.platform]
    verifier: QuoteVerifier = getattr(import_module(module), name)
    return verifier(quote, endorsements, at)


def verify(
    envelope: bytes,
    *,
    expected_report_data: bytes,
    at: datetime,
    endorsements: Endorsements = NO_ENDORSEMENTS,
    appraise: QuoteVerifier = verify_quote,
) -> Appraisal:
    """Verify evidence for one attestation.

    Args:
        envelope: as received.
        expected_report_data: what the report has to be bound to (:func:`bannock.evidence.report.report_data`).
        at: the time of the verdict.
        endorsements: what vendors vouch for; what came along with the evidence is added to it.
        appraise: verifies quotes; for whoever remembers what was found, or adds endorsements by what a quote needs.

    Raises:
        EvidenceError: it is malformed, not authentic, or bound to something else.
    """
    parsed = Envelope.from_json(envelope)
    report = Report.from_json(parsed.report)
    if isinstance(parsed.quote, SimQuote):
        appraisal = _self_vouched(parsed, parsed.quote, report)
    else:
        known = endorsements
        if parsed.endorsements:
            known = endorsements.merged(Endorsements.from_json(parsed.endorsements))
        platform = appraise(parsed.quote, known, at)
        if isinstance(parsed.quote, SgxQuote):
            appraisal = _of_enclave(parsed, report, platform)
        else:
            appraisal = _of_machine(parsed, parsed.quote, report, platform)
    if not hmac.compare_digest(report.data, expected_report_data):
        raise EvidenceError(
            "the evidence was made for another attestation: its report data are not those of this nonce, "
            "this connection and this key"
        )
    return appraisal


def _self_vouched(envelope: Envelope, quote: SimQuote, report: Report) -> Appraisal:
    key = _load(quote.key)
    _require_signature(envelope, key)
    warning = "platform sim: nothing but the attester's own word stands behind this evidence"
    return Appraisal(
        # Singleton is made up, as all that this platform says is: a session that accepts simulation accepts it too.
        claims=_claims(report, platform=SIMULATED, attester=key, singleton=True),
        attester=KeyHash(hashlib.sha256(quote.key).digest()),
        warnings=(warning,),
        findings=(Finding("the report is signed by a key that vouches for itself", None, warning),),
    )


def _of_enclave(envelope: Envelope, report: Report, platform: PlatformAppraisal) -> Appraisal:
    """Combine for SGX, where the quote says what the report says."""
    enclave = platform.enclave
    if enclave is None:
        raise Bug("an SGX quote was verified without its enclave")
    same = Report(
        measurement=enclave.measurement,
        signer=enclave.signer,
        product_id=enclave.product_id,
        svn=enclave.svn,
        debug=platform.debug,
        data=platform.report_data,
    )
    if envelope.signature or same != report:
        raise EvidenceError("the report is not the one in the SGX quote that came with it")
    machine = platform.machine_id or ""
    return _combined(
        _claims(report, platform=platform, attester=None),
        KeyHash(hashlib.sha256(machine.encode("ascii")).digest()),
        platform,
    )


def _of_machine(
    envelope: Envelope, quote: TdxQuote | SnpQuote | TpmQuote, report: Report, platform: PlatformAppraisal
) -> Appraisal:
    """Combine where a quote vouches for the key of a LAS, and the LAS signs the report."""
    key = _load(quote.key)
    binding = key_binding(quote.key)[: len(platform.report_data)]
    if len(binding) not in (32, 64) or not hmac.compare_digest(platform.report_data, binding):
        raise EvidenceError(
            f"the {quote.platform} quote vouches for another key than the one that signed the report",
            reasons=[f"expected report data {binding.hex()}, found {platform.report_data.hex()}"],
        )
    _require_signature(envelope, key)
    return _combined(
        _claims(report, platform=platform, attester=key), KeyHash(hashlib.sha256(quote.key).digest()), platform
    )


def _combined(claims: Claims, attester: KeyHash, platform: PlatformAppraisal) -> Appraisal:
    warnings = platform.warnings
    if not platform.genuine:
        warnings = (
            f"platform sim: a make-believe vendor stands behind this {platform.platform} quote, nothing protects it",
            *warnings,
        )
    return Appraisal(
        claims=claims,
        attester=attester,
        warnings=warnings,
        tcb=platform.tcb,
        findings=platform.findings,
        bounds=platform.bounds,
    )


def _claims(
    report: Report,
    *,
    platform: PlatformAppraisal | str,
    attester: Ed25519PublicKey | None,
    singleton: bool = False,
) -> Claims:
    key = None if attester is None else attester.public_bytes_raw().hex()
    instance = None if report.instance is None else report.instance.hex()
    if isinstance(platform, str):
        return Claims(
            platform=platform,
            measurement=report.measurement,
            signer=report.signer,
            product_id=report.product_id,
            svn=report.svn,
            debug=report.debug,
            attester=key,
            singleton=singleton,
            instance=instance,
        )
    return Claims(
        platform=platform.platform if platform.genuine else SIMULATED,
        rehearses=None if platform.genuine else platform.platform,
        measurement=report.measurement,
        signer=report.signer,
        product_id=report.product_id,
        svn=report.svn,
        debug=report.debug or platform.debug,
        attester=key,
        weaknesses=platform.weaknesses,
        advisories=platform.advisories,
        machine=platform.machine,
        machine_id=platform.machine_id,
        instance=instance,
    )


def _require_signature(envelope: Envelope, key: Ed25519PublicKey) -> None:
    try:
        key.verify(envelope.signature, SIGNATURE_CONTEXT + envelope.report)
    except InvalidSignature:
        raise EvidenceError("the signature of the report does not verify under the attester's key") from None


def _load(encoded: bytes) -> Ed25519PublicKey:
    try:
        key = load_der_public_key(encoded)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EvidenceError("the attester's key is malformed") from error
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceError(f"the attester's key is an Ed25519 key, found {type(key).__name__}")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != encoded:
        raise EvidenceError("the attester's key is not in its canonical form")
    return key
