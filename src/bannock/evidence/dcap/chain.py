"""The chain of a quote: from a root to the processor's key, to the quoting enclave, to the key that signed. Pure."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import EvidenceError
from bannock.evidence.dcap.certificates import (
    CACHED,
    Role,
    load_certificate,
    p256_key,
    require_issued,
    require_valid,
    verify_raw_signature,
)
from bannock.evidence.dcap.pck import PckIdentity
from bannock.evidence.dcap.quote import SgxReport, TdReport, sgx_report

if TYPE_CHECKING:
    from datetime import datetime

    from bannock.evidence.dcap.quote import DcapQuote

__all__ = [
    "PckChain",
    "intel_root",
    "require_binding",
    "require_sound_td",
    "verify_qe_report",
    "verify_quote_signature",
]

_CHAIN: Final = 3
_HASH: Final = 32
#: TD attributes (Intel TDX module specification, "ATTRIBUTES"), bits of a little-endian number. What is known beside
#: these makes a machine untrusted or movable to others; what is not known may.
_TD_DEBUG: Final = 1 << 0
_TD_SEPT_VE_DISABLE: Final = 1 << 28
_TD_HARMLESS: Final = 1 << 30 | 1 << 31


@cache
def intel_root() -> bytes:
    """Give Intel's root, DER."""
    pem = (files("bannock.evidence") / "roots" / "intel-sgx-root-ca.pem").read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


@dataclass(frozen=True, slots=True, kw_only=True)
class PckChain:
    """The certificates of a quote.

    Attributes:
        pck: of the processor's key.
        authority: that issued it.
        root: that appointed the authority.
        genuine: whether the root is Intel's.
        processor: what the PCK certificate says of it.
    """

    pck: x509.Certificate
    authority: x509.Certificate
    root: x509.Certificate
    genuine: bool
    processor: PckIdentity

    @classmethod
    @lru_cache(maxsize=CACHED)
    def of(cls, certificates: tuple[bytes, ...]) -> PckChain:
        """Load the certificates; nothing is verified but what each of them is for.

        Raises:
            EvidenceError: they are not those of a PCK.
        """
        if len(certificates) != _CHAIN:
            raise EvidenceError(f"the chain of the PCK has {_CHAIN} certificates, found {len(certificates)}")
        pck = load_certificate(certificates[0], Role.PCK)
        return cls(
            pck=pck,
            authority=load_certificate(certificates[1], Role.PCK_CA),
            root=load_certificate(certificates[2], Role.ROOT),
            genuine=hmac.compare_digest(certificates[2], intel_root()),
            processor=PckIdentity.of(pck),
        )

    def require_signatures(self) -> None:
        """Require that each certificate was issued by the next one.

        Raises:
            EvidenceError: one was not.
        """
        require_issued(self.root, self.root, Role.ROOT)
        require_issued(self.authority, self.root, Role.PCK_CA)
        require_issued(self.pck, self.authority, Role.PCK)

    def require_valid(self, at: datetime) -> None:
        """Require that all of them are valid at a time.

        Raises:
            EvidenceError: one is not.
        """
        require_valid(self.root, at, Role.ROOT)
        require_valid(self.authority, at, Role.PCK_CA)
        require_valid(self.pck, at, Role.PCK)


def verify_qe_report(quote: DcapQuote, pck: x509.Certificate) -> SgxReport:
    """Verify that the processor vouches for the quoting enclave, and give the report of the latter.

    Raises:
        EvidenceError: it does not.
    """
    verify_raw_signature(
        p256_key(pck), quote.qe_report_signature, quote.qe_report, "the report of the quoting enclave"
    )
    return sgx_report(quote.qe_report)


def require_binding(quote: DcapQuote) -> None:
    """Require that the quoting enclave vouches for the attestation key.

    Raises:
        EvidenceError: its report is bound to something else.
    """
    bound = hashlib.sha256(quote.attestation_key + quote.qe_auth_data).digest()
    found = sgx_report(quote.qe_report).report_data
    if not hmac.compare_digest(found, bound + bytes(len(found) - _HASH)):
        raise EvidenceError(
            f"the quoting enclave vouches for another attestation key: expected report data {bound.hex()}, "
            f"found {found.hex()}"
        )


def verify_quote_signature(quote: DcapQuote) -> None:
    """Verify that the attestation key signed header and body.

    Raises:
        EvidenceError: it did not.
    """
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.attestation_key)
    except ValueError:
        raise EvidenceError("the attestation key of the quote is no point on P-256") from None
    verify_raw_signature(key, quote.signature, quote.signed, "the quote")


def require_sound_td(td: TdReport) -> bool:
    """Require that a trust domain is protected as we expect it, and tell whether a debugger may look into it.

    Raises:
        EvidenceError: memory that the host took away may come back unnoticed (SEPT_VE_DISABLE is off), a service
            trust domain may move it to other machines, or it has attributes that we do not know.
    """
    attributes = int.from_bytes(td.td_attributes, "little")
    problems: list[str] = []
    if not attributes & _TD_SEPT_VE_DISABLE:
        problems.append("SEPT_VE_DISABLE is off: the host can take memory away and give it back")
    unknown = attributes & ~(_TD_DEBUG | _TD_SEPT_VE_DISABLE | _TD_HARMLESS)
    if unknown:
        problems.append(f"bits {unknown:#x} are set, which are reserved, or make it untrusted or movable")
    if td.mr_service_td is not None and any(td.mr_service_td):
        problems.append(f"a service trust domain has a say in it (MR_SERVICE_TD {td.mr_service_td.hex()})")
    if problems:
        raise EvidenceError(f"the trust domain (TD_ATTRIBUTES {td.td_attributes.hex()}): {'; '.join(problems)}")
    return bool(attributes & _TD_DEBUG)
