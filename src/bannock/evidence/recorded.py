"""Evidence that was recorded, appraised again: what it proves of a platform, at a time of one's choice. Pure.

It was bound to a nonce that nobody has any more, so that it is fresh is not asked; all else is. Besides envelopes of
ours, the quotes that other tools write are taken as they are. Of a machine, such a quote tells no enclave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import EvidenceError
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import SgxQuote, SnpQuote, TdxQuote
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify, verify_quote
from bannock.policy.claims import SIMULATED, Claims
from bannock.values import Measurement

if TYPE_CHECKING:
    from datetime import datetime

    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.quotes import Quote

__all__ = ["RECORDED_FORMS", "appraise_recorded"]

RECORDED_FORMS: Final = (
    "an envelope in JSON, a quote of SGX (version 3) or TDX (version 4 or 5), or an attestation report of SEV-SNP"
)
#: ATTESTATION_REPORT (AMD 56860, table 23); its first four bytes are its version.
_SNP_BYTES: Final = 1184
_SNP_VERSIONS: Final = range(2, 8)
#: Version and kind of the TEE in the header of an ECDSA quote (Intel TDX DCAP Quoting Library API, A.3.1).
_DCAP_HEADER_BYTES: Final = 48
_DCAP_VERSIONS: Final = range(3, 6)
_SGX, _TDX = 0x00, 0x81
_NOTHING: Final = Measurement(bytes(32))


def appraise_recorded(data: bytes, *, at: datetime, endorsements: Endorsements) -> Claims:
    """Verify recorded evidence.

    Args:
        data: one of :data:`RECORDED_FORMS`.
        at: the time of the verdict.
        endorsements: what vendors vouch for.

    Raises:
        EvidenceError: it is none of these, not authentic, or nothing vouches for it at that time.
    """
    if data[:1].isspace() or data.startswith(b"{"):
        envelope = data.strip()
        report = Report.from_json(Envelope.from_json(envelope).report)
        return verify(envelope, expected_report_data=report.data, at=at, endorsements=endorsements).claims
    platform = verify_quote(_quote(data), endorsements, at)
    enclave = platform.enclave
    return Claims(
        platform=platform.platform if platform.genuine else SIMULATED,
        rehearses=None if platform.genuine else platform.platform,
        measurement=_NOTHING if enclave is None else enclave.measurement,
        signer=_NOTHING if enclave is None else enclave.signer,
        product_id=0 if enclave is None else enclave.product_id,
        svn=0 if enclave is None else enclave.svn,
        debug=platform.debug,
        weaknesses=platform.weaknesses,
        advisories=platform.advisories,
        machine=platform.machine,
        machine_id=platform.machine_id,
    )


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
