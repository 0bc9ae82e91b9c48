"""Intel's collateral as it is at hand, and what of it counts for one processor at one time. Pure.

Sets of collateral come from several places: a directory, a cache, Intel's service, and along with the evidence, from
whoever is to be judged. So no set is taken as a whole. Of each of its four parts (TCB info, enclave identity, and the
revocation lists of the root and of the processors' authority) the newest one counts that is authentic and that had
been issued at the time of the verdict: nobody can bring an older one to hide what a newer one says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import EvidenceError
from bannock.evidence.dcap.certificates import (
    CACHED,
    Role,
    load_certificate,
    load_crl,
    p256_key,
    require_issued,
    require_signed_crl,
    require_valid,
    verify_raw_signature,
)
from bannock.evidence.dcap.quote import pem_of
from bannock.evidence.dcap.statements import QeIdentity, TcbInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

__all__ = [
    "REMEDY",
    "Authority",
    "CollateralSet",
    "Signed",
    "newest_crl",
    "newest_qe_identity",
    "newest_tcb_info",
    "to_dcap_qvl",
]

#: What helps where collateral is missing or has expired.
REMEDY: Final = "get newer collateral from Intel's service or from a cache of it (PCCS)"
_TEXT_KEYS: Final = (
    "pck_crl_issuer_chain",
    "root_ca_crl",
    "pck_crl",
    "tcb_info_issuer_chain",
    "tcb_info",
    "tcb_info_signature",
    "qe_identity_issuer_chain",
    "qe_identity",
    "qe_identity_signature",
)
_SET_CHARACTERS_MAX: Final = 1 << 20
_SIGNER_CHAIN: Final = 2
#: Of many parts that do not hold, so many are told.
_REASONS_MAX: Final = 5
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement with its signature: the text, 64 bytes, and the DER of its signer and of the root."""

    text: str
    signature: bytes
    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralSet:
    """One set of collateral, in its parts; nothing of it is verified."""

    root_crl: bytes
    pck_crl: bytes
    tcb_info: Signed
    qe_identity: Signed

    @classmethod
    @lru_cache(maxsize=CACHED)
    def from_json(cls, text: str) -> CollateralSet:
        """Parse the JSON form of ``QuoteCollateralV3`` of dcap-qvl.

        Other names are not looked at: among them is a chain for the PCK, which is the quote's business.

        Raises:
            EvidenceError: it is anything else.
        """
        if len(text) > _SET_CHARACTERS_MAX:
            raise EvidenceError(f"a set of collateral has at most {_SET_CHARACTERS_MAX} characters, found {len(text)}")
        try:
            document = json.loads(text)
            fields: dict[str, Any] = {name: document[name] for name in _TEXT_KEYS}
            if not all(isinstance(each, str) for each in fields.values()):
                raise TypeError(fields)
            return cls(
                root_crl=bytes.fromhex(fields["root_ca_crl"]),
                pck_crl=bytes.fromhex(fields["pck_crl"]),
                tcb_info=_signed(fields, "tcb_info"),
                qe_identity=_signed(fields, "qe_identity"),
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise EvidenceError("a set of collateral is malformed") from error


@dataclass(frozen=True, slots=True)
class Authority:
    """The root that a quote leads to, with its revocation list, at the time of the verdict."""

    root: x509.Certificate
    crl: x509.CertificateRevocationList
    at: datetime

    def require_not_revoked(self, certificate: x509.Certificate, what: str) -> None:
        """Require that the root has not revoked a certificate.

        Raises:
            EvidenceError: it has.
        """
        if self.crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise EvidenceError(f"{what} was revoked (serial number {certificate.serial_number:x})")

    def signer(self, signed: Signed, what: str) -> x509.Certificate:
        """Verify a statement, and give the certificate of who signed it.

        Raises:
            EvidenceError: it was not signed by whom this root appointed for that.
        """
        certificate = _signer(signed, self.root, what)
        require_valid(certificate, self.at, Role.SIGNER)
        self.require_not_revoked(certificate, f"the certificate of the signer of {what}")
        return certificate


@lru_cache(maxsize=CACHED)
def _signer(signed: Signed, root: x509.Certificate, what: str) -> x509.Certificate:
    """Verify the signature of a statement and that of its signer's certificate, at no time in particular."""
    if len(signed.chain) != _SIGNER_CHAIN or signed.chain[1] != root.public_bytes(Encoding.DER):
        raise EvidenceError(f"{what} was not signed below the root of the quote")
    certificate = load_certificate(signed.chain[0], Role.SIGNER)
    require_issued(certificate, root, Role.SIGNER)
    verify_raw_signature(p256_key(certificate), signed.signature, signed.text.encode(), what)
    return certificate


def newest_crl(
    found: Iterable[bytes], issuer: x509.Certificate, at: datetime, what: str
) -> x509.CertificateRevocationList:
    """Give the newest authentic revocation list of an authority; whether it has expired is not judged here.

    Raises:
        EvidenceError: there is none.
    """

    def parse(der: bytes) -> x509.CertificateRevocationList | None:
        crl = load_crl(der, what)
        if crl.issuer != issuer.subject:
            return None
        require_signed_crl(der, issuer, what)
        _require_issued_by(crl.last_update_utc, at, what)
        return crl

    return _newest(found, parse, lambda each: each.last_update_utc, what)


def newest_tcb_info(
    found: Iterable[Signed], authority: Authority, *, tee: str, fmspc: bytes, pce_id: bytes
) -> tuple[TcbInfo, Signed, x509.Certificate]:
    """Give the newest authentic TCB info of a processor, with its signature and its signer, expired or not.

    Raises:
        EvidenceError: there is none.
    """
    what = f"the {tee} TCB info of FMSPC {fmspc.hex().upper()}"

    def parse(signed: Signed) -> tuple[TcbInfo, Signed, x509.Certificate] | None:
        info = TcbInfo.parse(signed.text)
        if (info.tee, info.fmspc, info.pce_id) != (tee, fmspc, pce_id):
            return None
        signer = authority.signer(signed, what)
        _require_issued_by(info.issued, authority.at, what)
        return info, signed, signer

    return _newest(found, parse, lambda each: (each[0].number, each[0].issued), what)


def newest_qe_identity(
    found: Iterable[Signed], authority: Authority, *, kind: str
) -> tuple[QeIdentity, Signed, x509.Certificate]:
    """Give the newest authentic identity of a kind of quoting enclave, likewise.

    Raises:
        EvidenceError: there is none.
    """
    what = f"the identity of the quoting enclave ({kind})"

    def parse(signed: Signed) -> tuple[QeIdentity, Signed, x509.Certificate] | None:
        identity = QeIdentity.parse(signed.text)
        if identity.kind != kind:
            return None
        signer = authority.signer(signed, what)
        _require_issued_by(identity.issued, authority.at, what)
        return identity, signed, signer

    return _newest(found, parse, lambda each: (each[0].number, each[0].issued), what)


def _newest(
    found: Iterable[Any], parse: Callable[[Any], _Part | None], order: Callable[[_Part], Any], what: str
) -> _Part:
    good: list[_Part] = []
    reasons: list[str] = []
    for each in dict.fromkeys(found):
        try:
            part = parse(each)
        except EvidenceError as error:
            reasons.append(error.message)
            continue
        if part is not None:
            good.append(part)
    if not good:
        known = "; ".join(dict.fromkeys(reasons[:_REASONS_MAX]))
        raise EvidenceError(f"nothing at hand counts as {what}{f': {known}' if known else ''}", hint=REMEDY)
    return max(good, key=order)


def _require_issued_by(issued: datetime, at: datetime, what: str) -> None:
    if issued > at:
        raise EvidenceError(f"{what} was issued after the time of the verdict, at {issued:%Y-%m-%d %H:%M:%S} UTC")


def _signed(fields: dict[str, str], name: str) -> Signed:
    chain = x509.load_pem_x509_certificates(fields[f"{name}_issuer_chain"].encode())
    return Signed(
        text=fields[name],
        signature=bytes.fromhex(fields[f"{name}_signature"]),
        chain=tuple(each.public_bytes(Encoding.DER) for each in chain),
    )


def to_dcap_qvl(
    authority: Authority,
    pck_ca: x509.Certificate,
    pck_crl: x509.CertificateRevocationList,
    tcb_info: Signed,
    qe_identity: Signed,
) -> str:
    """Put the parts that count together to one set, as dcap-qvl takes it."""
    root = authority.root.public_bytes(Encoding.DER)
    return json.dumps(
        {
            "pck_crl_issuer_chain": pem_of([pck_ca.public_bytes(Encoding.DER), root]),
            "root_ca_crl": authority.crl.public_bytes(Encoding.DER).hex(),
            "pck_crl": pck_crl.public_bytes(Encoding.DER).hex(),
            "tcb_info_issuer_chain": pem_of(tcb_info.chain),
            "tcb_info": tcb_info.text,
            "tcb_info_signature": tcb_info.signature.hex(),
            "qe_identity_issuer_chain": pem_of(qe_identity.chain),
            "qe_identity": qe_identity.text,
            "qe_identity_signature": qe_identity.signature.hex(),
        }
    )
