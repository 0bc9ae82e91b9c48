"""Evidence that was recorded, appraised again: what it proves of a platform, at a time of one's choice. Pure.

It was bound to a nonce that nobody has any more, so that it is fresh is not asked; all else is. Besides envelopes of
ours, the quotes that other tools write are taken as they are. Of a machine, such a quote tells no enclave.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Final

from bannock.errors import EvidenceError
from bannock.evidence.attester import key_binding
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.envelope import ENVELOPE_BYTES_MAX, Envelope
from bannock.evidence.quotes import SgxQuote, SnpQuote, TdxQuote, quote_from_json, quote_to_json
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify, verify_quote
from bannock.policy.canonical import canonical_json
from bannock.policy.claims import SIMULATED, Claims
from bannock.values import Measurement

if TYPE_CHECKING:
    from datetime import datetime

    from bannock.evidence.appraisal import PlatformAppraisal
    from bannock.evidence.quotes import Quote

__all__ = ["RECORDED_FORMS", "appraise_quote", "appraise_recorded", "platform_record"]

RECORDED_FORMS: Final = (
    "an envelope or a platform in JSON, a quote of SGX (version 3) or TDX (version 4 or 5), or an attestation report "
    "of SEV-SNP"
)
#: ATTESTATION_REPORT (AMD 56860, table 23); its first four bytes are its version.
_SNP_BYTES: Final = 1184
_SNP_VERSIONS: Final = range(2, 8)
#: Version and kind of the TEE in the header of an ECDSA quote (Intel TDX DCAP Quoting Library API, A.3.1).
_DCAP_HEADER_BYTES: Final = 48
_DCAP_VERSIONS: Final = range(3, 6)
_SGX, _TDX = 0x00, 0x81
_FORMAT: Final = "bannock-platform-1"
_KEY_BYTES: Final = 32
_NOTHING: Final = Measurement(bytes(32))


def platform_record(quote: Quote, endorsements: bytes) -> bytes:
    """Write what attests a machine, to be recorded: its quote, and what came along from the vendor."""
    kept = base64.b64encode(endorsements).decode("ascii")
    return canonical_json({"format": _FORMAT, "quote": quote_to_json(quote), "endorsements": kept})


def appraise_recorded(data: bytes, *, at: datetime, endorsements: Endorsements) -> Claims:
    """Verify recorded evidence.

    Args:
        data: one of :data:`RECORDED_FORMS`.
        at: the time of the verdict.
        endorsements: what vendors vouch for.

    Raises:
        EvidenceError: it is none of these, not authentic, or nothing vouches for it at that time.
    """
    if not (data[:1].isspace() or data.startswith(b"{")):
        return appraise_quote(_quote(data), at=at, endorsements=endorsements)[1]
    text = data.strip()
    record = _platform_record(text)
    if record is not None:
        quote, along = record
        known = endorsements.merged(Endorsements.from_json(along)) if along else endorsements
        return appraise_quote(quote, at=at, endorsements=known)[1]
    report = Report.from_json(Envelope.from_json(text).report)
    return verify(text, expected_report_data=report.data, at=at, endorsements=endorsements).claims


def appraise_quote(quote: Quote, *, at: datetime, endorsements: Endorsements) -> tuple[PlatformAppraisal, Claims]:
    """Verify a quote by itself; of a machine, the claims name no enclave.

    Raises:
        EvidenceError: it is not authentic, nothing vouches for it at that time, or not for the key that is said.
    """
    platform = verify_quote(quote, at=at, endorsements=endorsements)
    key = getattr(quote, "key", b"")
    binding = key_binding(key)[: len(platform.report_data)]
    if key and not hmac.compare_digest(platform.report_data, binding):
        raise EvidenceError(f"the {quote.platform} quote vouches for another key than the one that is said")
    enclave = platform.enclave
    claims = Claims(
        platform=platform.platform if platform.genuine else SIMULATED,
        rehearses=None if platform.genuine else platform.platform,
        measurement=_NOTHING if enclave is None else enclave.measurement,
        signer=_NOTHING if enclave is None else enclave.signer,
        product_id=0 if enclave is None else enclave.product_id,
        svn=0 if enclave is None else enclave.svn,
        debug=platform.debug,
        # An Ed25519 SubjectPublicKeyInfo ends with the key itself (RFC 8410, section 4).
        attester=key[-_KEY_BYTES:].hex() if key else None,
        weaknesses=platform.weaknesses,
        advisories=platform.advisories,
        machine=platform.machine,
        machine_id=platform.machine_id,
    )
    return platform, claims


def _platform_record(text: bytes) -> tuple[Quote, bytes] | None:
    """Read what :func:`platform_record` gives; None for an object of another format."""
    if len(text) > ENVELOPE_BYTES_MAX:
        raise EvidenceError(f"evidence has at most {ENVELOPE_BYTES_MAX} bytes, found {len(text)}")
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict) or fields.get("format") != _FORMAT:
            return None
        quote, endorsements = quote_from_json(fields["quote"]), base64.b64decode(fields["endorsements"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise EvidenceError("the recorded evidence is malformed") from error
    if platform_record(quote, endorsements) != text:
        raise EvidenceError("the recorded evidence is not in its canonical form")
    return quote, endorsements


def _quote(data: bytes) -> Quote:
    if len(data) == _SNP_BYTES and int.from_bytes(data[:4], "little") in _SNP_VERSIONS:
        return SnpQuote(key=b"", report=data)
    if len(data) >= _DCAP_HEADER_BYTES and int.from_bytes(data[:2], "little") in _DCAP_VERSIONS:
        kind = int.from_bytes(data[4:8], "little")
        if kind == _SGX:
            return SgxQuote(quote=data)
        if kind == _TDX:
            return TdxQuote(key=b"", quote=data)
    raise EvidenceError(f"recorded evidence is {RECORDED_FORMS}")
