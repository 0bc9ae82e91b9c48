"""The chain from an attestation report up to AMD: which key signed it, who vouches for that key, until when. Pure.

A chain is put together from what is at hand, in any order, and from AMD's own roots and intermediates, which are built
in. Where it ends in another root, all else about it has to hold as well; it is make-believe then (``genuine``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384

from bannock.errors import EvidenceError
from bannock.evidence.appraisal import Bound
from bannock.evidence.snp.certificates import (
    ChipKey,
    VendorCertificate,
    built_in_intermediates,
    built_in_roots,
    signing_key,
)
from bannock.evidence.snp.report import VLEK
from bannock.evidence.snp.tcb import LINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.snp.report import AttestationReport

__all__ = ["Chain", "find_chain", "key_name"]

#: Certificates that come into question for one place of a chain; each costs a verification, a tenth of a millisecond.
_CANDIDATES_MAX: Final = 64
_REASONS_MAX: Final = 8
_HINT_KDS: Final = "AMD's service (kdsintf.amd.com) gives it; or give it with the collateral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain whose signatures and dates hold.

    Attributes:
        key: VCEK or VLEK; chip: what it says.
        intermediate: ASK or ASVK.
        root: ARK.
        genuine: whether the root is AMD's.
    """

    key: VendorCertificate
    chip: ChipKey
    intermediate: VendorCertificate
    root: VendorCertificate
    genuine: bool

    @property
    def certificates(self) -> tuple[VendorCertificate, ...]:
        """All of it, the key first."""
        return self.key, self.intermediate, self.root

    def bounds(self) -> list[Bound]:
        """Tell until when each certificate is good."""
        remedies = ("fetch a new one from AMD", "update Bannock", "update Bannock")
        return [
            Bound(each.not_after, f"certificate {each.name} (notAfter)", remedy)
            for each, remedy in zip(self.certificates, remedies, strict=True)
        ]


def key_name(signing: int) -> str:
    """Give the common name of what signs a report."""
    return "SEV-VLEK" if signing == VLEK else "SEV-VCEK"


def find_chain(report: AttestationReport, endorsements: Endorsements, at: datetime) -> Chain:
    """Find the chain that vouches for a report.

    Raises:
        EvidenceError: there is none that holds.
    """
    certificates = _parsed(endorsements.certificates)
    keys = _keys_for(report, certificates)
    signers = [(key, chip) for key, chip in keys if _signed(report, key)]
    if not signers:
        raise EvidenceError(
            f"the signature of the SEV-SNP attestation report does not verify under the key of {keys[0][0].name}"
        )
    # Certificates of one key differ in their dates alone: one that is good now is the one that counts.
    signers.sort(key=lambda signer: (signer[0].is_good_at(at), signer[0].not_after), reverse=True)
    broken: EvidenceError | None = None
    for key, chip in signers[:_CANDIDATES_MAX]:
        try:
            chain = _completed(key, chip, certificates)
        except EvidenceError as error:
            broken = broken or error
            continue
        _require_dates(chain, at)
        return chain
    raise broken or EvidenceError("no certificate of the key that signed the SEV-SNP attestation report is at hand")


def _parsed(encoded: Iterable[bytes]) -> list[VendorCertificate]:
    """Read the certificates that are AMD's; what else there is (of TPMs, say) is left out."""
    found = []
    for each in encoded:
        try:
            found.append(VendorCertificate.from_der(each))
        except EvidenceError:
            continue
    return found


def _keys_for(
    report: AttestationReport, certificates: Sequence[VendorCertificate]
) -> list[tuple[VendorCertificate, ChipKey]]:
    """Give the certificates for the chip and the TCB version of a report."""
    name = key_name(report.signing_key)
    near: list[str] = []
    found: list[tuple[VendorCertificate, ChipKey]] = []
    for certificate in certificates:
        if certificate.name != name:
            continue
        try:
            chip = ChipKey.of(certificate)
        except EvidenceError as error:
            near.append(str(error))
            continue
        reason = _mismatch(report, chip)
        if reason is None:
            found.append((certificate, chip))
        else:
            near.append(reason)
    if found:
        return found[:_CANDIDATES_MAX]
    whose = "of a masked chip" if report.masked else f"of chip {report.chip_id.hex()[:16]}…"
    raise EvidenceError(
        f"no certificate {name} {whose} at TCB version {report.reported_tcb.hex()} is at hand, "
        "which the SEV-SNP attestation report has to be signed with",
        reasons=near[:_REASONS_MAX],
        hint=_HINT_KDS,
    )


def _mismatch(report: AttestationReport, chip: ChipKey) -> str | None:
    """Say why a certificate is not the one for a report; None where it is."""
    if chip.tcb.to_bytes() != report.reported_tcb:
        return f"a certificate at hand is for TCB version {chip.tcb.to_bytes().hex()} ({chip.tcb})"
    if report.cpuid is not None and report.line != chip.line:
        processor = f"family 0x{report.cpuid[0]:x}, model 0x{report.cpuid[1]:x}"
        return f"a certificate at hand is for line {chip.line}, the report is from a processor of {processor}"
    if report.signing_key == VLEK:
        return None if chip.hardware is None else "a certificate at hand is for a chip, and calls itself a VLEK"
    if report.masked or chip.hardware != report.chip_id:
        whose = "no chip" if chip.hardware is None else f"chip {chip.hardware.hex()[:16]}…"
        return f"a certificate at hand is for {whose}"
    return None


def _signed(report: AttestationReport, key: VendorCertificate) -> bool:
    try:
        signing_key(key).verify(report.signature, report.signed, ec.ECDSA(SHA384()))
    except (InvalidSignature, EvidenceError):
        return False
    return True


def _completed(key: VendorCertificate, chip: ChipKey, certificates: Sequence[VendorCertificate]) -> Chain:
    """Find who issued a key, and who issued that one; AMD's own are tried first."""
    genuine = built_in_roots()
    wanted = "SEV-VLEK-" if key.name == key_name(VLEK) else "SEV-"
    intermediate = _issuer(key, (*built_in_intermediates(), *certificates))
    if intermediate is None:
        raise EvidenceError(
            f"the signature of certificate {key.name} does not verify under that of any {wanted}{chip.line} at hand"
        )
    root = _issuer(intermediate, (*genuine.values(), *certificates))
    if root is None or not root.issued(root):
        raise EvidenceError(f"the signature of certificate {intermediate.name} does not verify under any root at hand")
    for certificate, name in ((intermediate, f"{wanted}{chip.line}"), (root, f"ARK-{chip.line}")):
        certificate.require_authority()
        if certificate.name != name:
            raise EvidenceError(
                f"a key of a processor of line {chip.line} is vouched for by {name}, found {certificate.name[:40]!r}"
            )
    return Chain(
        key=key,
        chip=chip,
        intermediate=intermediate,
        root=root,
        genuine=any(root.encoded == each.encoded for each in (genuine[line] for line in LINES)),
    )


def _issuer(of: VendorCertificate, among: Iterable[VendorCertificate]) -> VendorCertificate | None:
    named = [each for each in among if each.subject == of.issuer]
    return next((each for each in named[:_CANDIDATES_MAX] if each.issued(of)), None)


def _require_dates(chain: Chain, at: datetime) -> None:
    for each in chain.certificates:
        if not each.is_good_at(at):
            raise EvidenceError(
                f"certificate {each.name} of the SEV-SNP chain is good from {each.not_before:%Y-%m-%d} "
                f"to {each.not_after:%Y-%m-%d}, and it is {at:%Y-%m-%d}"
            )
