"""Evidence that leads to a make-believe Intel, complete, as an attester sends it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.evidence.appraisal import EnclaveIdentity
from bannock.evidence.attester import KeyAttester, key_binding
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import SgxQuote, TdxQuote
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.rehearsal.knobs import ALL_WELL, Rehearsal
from bannock.evidence.report import Report
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

AT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATA: Final = bytes(range(64))
ENCLAVE: Final = EnclaveIdentity(
    measurement=Measurement(b"\xaa" * 32), signer=Measurement(b"\xbb" * 32), product_id=6, svn=4
)
REPORT: Final = Report(
    measurement=ENCLAVE.measurement,
    signer=ENCLAVE.signer,
    product_id=ENCLAVE.product_id,
    svn=ENCLAVE.svn,
    debug=False,
    data=DATA,
)
KEY: Final = Ed25519PrivateKey.from_private_bytes(b"\x11" * 32)


def vendor(knobs: Rehearsal = ALL_WELL, *, at: datetime = AT, seed: bytes = b"\x07") -> IntelVendor:
    """Give a vendor that is always the same."""
    return IntelVendor(lambda count: seed * count, at, knobs)


def sgx_envelope(intel: IntelVendor, report: Report = REPORT) -> bytes:
    """Give evidence of an SGX enclave."""
    enclave = EnclaveIdentity(
        measurement=report.measurement, signer=report.signer, product_id=report.product_id, svn=report.svn
    )
    quote = intel.sgx_quote(report.data, enclave, debug=report.debug)
    return Envelope(
        report=report.to_json(),
        quote=SgxQuote(quote=quote),
        signature=b"",
        endorsements=intel.endorsements().to_json(),
    ).to_json()


def tdx_envelope(
    intel: IntelVendor, report: Report = REPORT, machine: Mapping[str, str] | None = None, *, version: int = 4
) -> bytes:
    """Give evidence of an enclave in a trust domain."""

    def quote(public: bytes) -> tuple[TdxQuote, bytes]:
        data = intel.tdx_quote(key_binding(public), machine, version=version)
        return TdxQuote(key=public, quote=data), intel.endorsements().to_json()

    return KeyAttester(KEY, quote).attest(report).to_json()
