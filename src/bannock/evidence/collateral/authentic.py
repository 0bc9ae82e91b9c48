"""Whether collateral is what a vendor published, whoever brought it: before it is kept, beside other or instead. Pure.

A verifier finds that out for itself each time. This is so that nothing false or stale takes the place of what holds.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import EvidenceError
from bannock.evidence.collateral.intel import IntelCollateral
from bannock.evidence.collateral.x509_parts import MALFORMED, Certificate, Crl
from bannock.evidence.dcap.certificates import Role, load_certificate, require_issued, require_valid
from bannock.evidence.dcap.chain import intel_root
from bannock.evidence.dcap.collateral import (
    Authority,
    CollateralSet,
    newest_crl,
    newest_qe_identity,
    newest_tcb_info,
)
from bannock.evidence.dcap.statements import TcbInfo
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.snp.certificates import (
    VendorCertificate,
    built_in_intermediates,
    built_in_roots,
    is_signed_by,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

__all__ = ["authentic"]

_QE_KINDS: Final = {"sgx": "QE", "tdx": "TD_QE"}
#: Names that AMD's certificates have; others are of manufacturers of TPMs.
_AMD: Final = ("ARK-", "SEV-")
#: A chain of a manufacturer is no longer than this.
_DEPTH_MAX: Final = 4
_Part = TypeVar("_Part")


def authentic(found: Endorsements, at: datetime, *, roots: Sequence[bytes] = ()) -> tuple[Endorsements, list[str]]:
    """Give what of it vendors vouch for at a time, and why the rest does not count, a line each.

    Args:
        found: what somebody brought.
        at: the time.
        roots: DER: authorities of TPM manufacturers that are trusted.
    """
    reasons: list[str] = []
    certificates = _certificates(found.certificates, at, roots, reasons)
    return Endorsements(
        dcap=_kept(found.dcap, lambda each: _require_intel(each, at), reasons),
        certificates=certificates,
        crls=_kept(found.crls, lambda each: _require_list(each, at, (*roots, *certificates)), reasons),
    ), reasons


def _kept(found: Iterable[_Part], require: Callable[[_Part], None], reasons: list[str]) -> tuple[_Part, ...]:
    kept = []
    for each in found:
        try:
            require(each)
        except EvidenceError as error:
            reasons.append(error.message)
        else:
            kept.append(each)
    return tuple(kept)


def _require_intel(text: str, at: datetime) -> None:
    """Require that every part is signed below Intel's root, current, and of authorities that are not revoked."""
    told = IntelCollateral.parse(text)
    first = min(told.bounds)
    if at >= first.until:
        raise EvidenceError(f"{first.what.partition(' (')[0]} expired at {first.until:%Y-%m-%d %H:%M:%S} UTC")
    parts = CollateralSet.from_json(text)
    root, authority = load_certificate(intel_root(), Role.ROOT), _pck_authority(text)
    require_issued(authority, root, Role.PCK_CA)
    require_valid(authority, at, Role.PCK_CA)
    of_root = newest_crl([parts.root_crl], root, at, "the revocation list of Intel's root")
    judge = Authority(root, of_root, at)
    judge.require_not_revoked(authority, "the certificate of the PCK authority")
    newest_crl([parts.pck_crl], authority, at, "the revocation list of the PCK authority")
    need = told.need
    newest_tcb_info(
        [parts.tcb_info],
        judge,
        tee=need.tee.upper(),
        fmspc=bytes.fromhex(need.fmspc),
        pce_id=TcbInfo.parse(parts.tcb_info.text).pce_id,
    )
    newest_qe_identity([parts.qe_identity], judge, kind=_QE_KINDS[need.tee])


def _pck_authority(text: str) -> x509.Certificate:
    try:
        chain = x509.load_pem_x509_certificates(json.loads(text)["pck_crl_issuer_chain"].encode("ascii"))
    except (*MALFORMED, KeyError) as error:
        raise EvidenceError("the issuers of the PCK CRL are malformed") from error
    return load_certificate(chain[0].public_bytes(Encoding.DER), Role.PCK_CA)


def _certificates(
    found: Sequence[bytes], at: datetime, roots: Sequence[bytes], reasons: list[str]
) -> tuple[bytes, ...]:
    """Take certificates one after the other whose issuer was taken, or is trusted."""
    left = list(dict.fromkeys(found))
    taken: list[bytes] = []
    why: dict[bytes, str] = {}
    for _ in range(_DEPTH_MAX):
        for der in list(left):
            try:
                _require_certificate(der, at, (*roots, *taken))
            except EvidenceError as error:
                why[der] = error.message
            else:
                taken.append(der)
                left.remove(der)
    reasons.extend(why[der] for der in left)
    return tuple(taken)


def _require_certificate(der: bytes, at: datetime, issuers: Sequence[bytes]) -> None:
    told = Certificate.parse(der)
    if at > told.until:
        raise EvidenceError(f"certificate {told.subject} expired at {told.until:%Y-%m-%d %H:%M:%S} UTC")
    if told.subject.startswith(_AMD):
        _require_amd(VendorCertificate.from_der(der), issuers)
    elif der not in issuers and not any(_issued(each, der) for each in issuers):
        raise EvidenceError(f"certificate {told.subject} was issued by no vendor that is known here")


def _require_amd(found: VendorCertificate, issuers: Sequence[bytes]) -> None:
    roots, own = built_in_roots().values(), built_in_intermediates()
    if any(found.encoded == each.encoded for each in (*roots, *own)):
        return
    brought = []
    for der in issuers:
        try:
            brought.append(VendorCertificate.from_der(der))
        except EvidenceError:
            continue
    by_root = any(each.issued(found) for each in roots)
    if by_root:
        found.require_authority()
    elif not any(each.issued(found) for each in (*own, *brought) if each.name.startswith("SEV-")):
        raise EvidenceError(f"certificate {found.name} was not issued by AMD")


def _require_list(der: bytes, at: datetime, issuers: Sequence[bytes]) -> None:
    told = Crl.parse(der)
    if told.until is None or at >= told.until or told.issued > at:
        until = "never" if told.until is None else f"{told.until:%Y-%m-%d %H:%M:%S} UTC"
        raise EvidenceError(f"the CRL of {told.issuer} is not in force at this time (next update {until})")
    crl = x509.load_der_x509_crl(der)
    name = crl.issuer.public_bytes()
    for root in built_in_roots().values():
        if root.subject == name and is_signed_by(crl.tbs_certlist_bytes, crl.signature, root.key):
            return
    for issuer in issuers:
        try:
            certificate = x509.load_der_x509_certificate(issuer)
            key = certificate.public_key()
            # The kinds of keys that certificates have and cannot sign lists with raise TypeError.
            if certificate.subject == crl.issuer and crl.is_signature_valid(key):  # type: ignore[arg-type]
                return
        except MALFORMED:
            continue
    raise EvidenceError(f"the CRL of {told.issuer} was signed by no vendor that is known here")


def _issued(issuer: bytes, der: bytes) -> bool:
    try:
        authority = x509.load_der_x509_certificate(issuer)
        basic = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        x509.load_der_x509_certificate(der).verify_directly_issued_by(authority)
    except (*MALFORMED, InvalidSignature, x509.ExtensionNotFound):
        return False
    return basic.ca
