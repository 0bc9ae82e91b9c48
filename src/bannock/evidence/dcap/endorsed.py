"""What Intel says at one time of the processor that a quote is from, put together from all that is at hand. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import EvidenceError
from bannock.evidence.dcap.collateral import (
    REMEDY,
    Authority,
    CollateralSet,
    newest_crl,
    newest_qe_identity,
    newest_tcb_info,
    to_dcap_qvl,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509

    from bannock.evidence.dcap.chain import PckChain
    from bannock.evidence.dcap.checks import Checks
    from bannock.evidence.dcap.collateral import Signed
    from bannock.evidence.dcap.statements import QeIdentity, TcbInfo

__all__ = ["Endorsed", "endorsed"]

_QE_KINDS: Final = {"sgx": "QE", "tdx": "TD_QE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsed:
    """What Intel says.

    Attributes:
        tcb_info: of the family of the processor.
        qe_identity: of the quoting enclave.
        collateral: all of it as one set for dcap-qvl.
    """

    tcb_info: TcbInfo
    qe_identity: QeIdentity
    collateral: str


def endorsed(
    platform: str, chain: PckChain, sets: Sequence[CollateralSet], at: datetime, checks: Checks
) -> Endorsed | None:
    """Give what counts of the sets of collateral; None where a part is missing, which the checks remember."""
    root_crl = _crl([each.root_crl for each in sets], chain.root, "revocation list of the root", at, checks)
    pck_crl = _crl(
        [each.pck_crl for each in sets], chain.authority, "revocation list of the PCK authority", at, checks
    )
    if pck_crl is not None:
        pck_list = pck_crl
        checks.attempt("the PCK is not revoked", lambda: _require_not_in(pck_list, chain.pck, "the PCK certificate"))
    if root_crl is None:
        return None
    authority = Authority(chain.root, root_crl, at)
    checks.attempt(
        "the PCK authority is not revoked",
        lambda: authority.require_not_revoked(chain.authority, "the certificate of the PCK authority"),
    )
    checks.attempt(
        "the root is not revoked", lambda: authority.require_not_revoked(chain.root, "the root certificate")
    )
    info = _tcb_info(platform, chain, [each.tcb_info for each in sets], authority, checks)
    identity = _qe_identity(platform, [each.qe_identity for each in sets], authority, checks)
    if info is None or identity is None or pck_crl is None:
        return None
    for signer in dict.fromkeys((info[2], identity[2])):
        checks.bound(signer.not_valid_after_utc, "certificate of the signer of collateral (notAfter)", REMEDY)
    return Endorsed(
        tcb_info=info[0],
        qe_identity=identity[0],
        collateral=to_dcap_qvl(authority, chain.authority, pck_crl, info[1], identity[1]),
    )


def _tcb_info(
    platform: str, chain: PckChain, found: Sequence[Signed], authority: Authority, checks: Checks
) -> tuple[TcbInfo, Signed, x509.Certificate] | None:
    processor = chain.processor
    info = checks.attempt(
        "Intel's TCB info is authentic",
        lambda: newest_tcb_info(
            found, authority, tee=platform.upper(), fmspc=processor.fmspc, pce_id=processor.pce_id
        ),
    )
    if info is not None:
        what = f"TCB info of {platform.upper()}, FMSPC {processor.fmspc.hex().upper()}"
        checks.bound(info[0].until, f"{what} (nextUpdate)", REMEDY)
        _check_current(what, info[0].until, authority.at, checks)
    return info


def _qe_identity(
    platform: str, found: Sequence[Signed], authority: Authority, checks: Checks
) -> tuple[QeIdentity, Signed, x509.Certificate] | None:
    kind = _QE_KINDS[platform]
    identity = checks.attempt(
        "Intel's identity of the quoting enclave is authentic",
        lambda: newest_qe_identity(found, authority, kind=kind),
    )
    if identity is not None:
        what = f"identity of the quoting enclave {kind}"
        checks.bound(identity[0].until, f"{what} (nextUpdate)", REMEDY)
        _check_current(what, identity[0].until, authority.at, checks)
    return identity


def _crl(
    found: Sequence[bytes], issuer: x509.Certificate, what: str, at: datetime, checks: Checks
) -> x509.CertificateRevocationList | None:
    crl = checks.attempt(f"the {what} is authentic", lambda: newest_crl(found, issuer, at, f"the {what}"))
    if crl is not None and crl.next_update_utc is not None:
        checks.bound(crl.next_update_utc, f"{what} (nextUpdate)", REMEDY)
        _check_current(what, crl.next_update_utc, at, checks)
    return crl


def _check_current(what: str, until: datetime, at: datetime, checks: Checks) -> None:
    def require() -> None:
        if at >= until:
            raise EvidenceError(f"the {what} expired at {until:%Y-%m-%d %H:%M:%S} UTC", hint=REMEDY)

    checks.attempt(f"the {what} is current", require)


def _require_not_in(crl: x509.CertificateRevocationList, certificate: x509.Certificate, what: str) -> None:
    if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
        raise EvidenceError(f"{what} was revoked (serial number {certificate.serial_number:x})")
