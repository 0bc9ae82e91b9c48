"""The state of a processor, of its TDX module and of its quoting enclave, by what Intel says of each. Pure.

The comparison is the one in Intel's "SGX and TDX Provisioning Certification Service API", version 4, "Get TCB Info".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from bannock.evidence.dcap.pck import PckIdentity
    from bannock.evidence.dcap.quote import SgxReport, TdReport
    from bannock.evidence.dcap.statements import EnclaveLevel, ModuleIdentity, QeIdentity, TcbInfo

__all__ = ["Verdict", "merged", "module_verdict", "platform_verdict", "qe_verdict"]

_SOFTWARE: Final = "software-hardening-needed"
_CONFIGURATION: Final = "insecure-configuration"
_OUTDATED: Final = "outdated-tcb"
_WEAKNESSES: Final[Mapping[str, frozenset[str]]] = {
    "UpToDate": frozenset(),
    "SWHardeningNeeded": frozenset({_SOFTWARE}),
    "ConfigurationNeeded": frozenset({_CONFIGURATION}),
    "ConfigurationAndSWHardeningNeeded": frozenset({_CONFIGURATION, _SOFTWARE}),
    "OutOfDate": frozenset({_OUTDATED}),
    "OutOfDateConfigurationNeeded": frozenset({_OUTDATED, _CONFIGURATION}),
}
#: What a processor's state becomes with a module or an enclave that is out of date.
_OUT_OF_DATE: Final[Mapping[str, str]] = {
    "UpToDate": "OutOfDate",
    "SWHardeningNeeded": "OutOfDate",
    "ConfigurationNeeded": "OutOfDateConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded": "OutOfDateConfigurationNeeded",
}
#: Security version numbers of the first TDX module are among those of the platform; later modules have levels of
#: their own, and the first two numbers are theirs.
_MODULE_SVNS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What Intel says of the state of something.

    Attributes:
        status: in Intel's words.
        advisories: that apply.
        date: of the level that it is at.
        what: it is about, with its security version numbers.
        weaknesses: what sessions call the state in ``tolerate``.
    """

    status: str
    advisories: tuple[str, ...]
    date: datetime
    what: str
    weaknesses: frozenset[str] = frozenset()


def merged(verdicts: Sequence[Verdict]) -> Verdict:
    """Give the state of a processor with its module and its enclave, which are up to date or are not.

    The state is the one that Intel's own verifier gives; weaknesses and advisories are those of all, the date is the
    earliest.

    Args:
        verdicts: on the processor first.

    Raises:
        EvidenceError: one of them is revoked.
    """
    for each in verdicts:
        if each.status not in _WEAKNESSES:
            raise EvidenceError(
                f"Intel revoked {each.what} ({', '.join(each.advisories) or 'no advisory'}, {each.date:%Y-%m-%d})"
            )
    status = verdicts[0].status
    if any(each.status == "OutOfDate" for each in verdicts[1:]):
        status = _OUT_OF_DATE.get(status, status)
    return Verdict(
        status=status,
        advisories=tuple(dict.fromkeys(name for each in verdicts for name in each.advisories)),
        date=min(each.date for each in verdicts),
        what=", ".join(each.what for each in verdicts),
        weaknesses=frozenset().union(*(_WEAKNESSES[each.status] for each in verdicts)),
    )


def platform_verdict(info: TcbInfo, processor: PckIdentity, td: TdReport | None) -> Verdict:
    """Find the level of a processor.

    Raises:
        EvidenceError: it is below all levels.
    """
    what = f"the processor (CPUSVN {processor.cpu_svn.hex()}, PCESVN {processor.pce_svn}"
    what += ")" if td is None else f", TEE TCB SVN {td.tee_tcb_svn.hex()})"
    for level in info.levels:
        if processor.pce_svn < level.pce_svn or not _reaches(processor.cpu_svn, level.sgx):
            continue
        if td is not None:
            first = _MODULE_SVNS if td.tee_tcb_svn[1] > 0 else 0
            if not _reaches(td.tee_tcb_svn[first:], level.tdx[first:]):
                continue
        return Verdict(status=level.status, advisories=level.advisories, date=level.date, what=what)
    raise EvidenceError(f"{what} is below all levels that Intel knows of FMSPC {info.fmspc.hex().upper()}")


def module_verdict(info: TcbInfo, td: TdReport) -> Verdict | None:
    """Check which TDX module signed the report, and find its level; None for the first, which has none of its own.

    Raises:
        EvidenceError: it is not one of Intel's, or below all of its levels.
    """
    svn, version = td.tee_tcb_svn[0], td.tee_tcb_svn[1]
    identity: ModuleIdentity | None = info.module
    if version and info.modules:
        identity = info.modules.get(version)
    what = f"the TDX module (version {version}, SVN {svn})"
    if identity is None:
        raise EvidenceError(f"{what} is not one that Intel knows")
    if td.mrsignerseam != identity.signer:
        raise EvidenceError(f"the signer of {what} is {identity.signer.hex()}, found {td.mrsignerseam.hex()}")
    expected = _masked(identity.attributes, identity.mask)
    if _masked(td.seam_attributes, identity.mask) != expected or _masked(td.seam_attributes, _not(identity.mask)):
        raise EvidenceError(f"the attributes of {what} are {expected:016x}, found {td.seam_attributes.hex()}")
    if not version or not info.modules:
        return None
    return _enclave_verdict(identity.levels, svn, what)


def qe_verdict(identity: QeIdentity, report: SgxReport) -> Verdict:
    """Check that a quoting enclave is Intel's, and find its level.

    Raises:
        EvidenceError: it is another enclave, a debugger may look into it, or it is below all levels.
    """
    what = "the quoting enclave"
    if report.signer != identity.signer:
        raise EvidenceError(f"the signer of {what} is {identity.signer.hex()}, found {report.signer.hex()}")
    if report.product_id != identity.product_id:
        raise EvidenceError(f"the product id of {what} is {identity.product_id}, found {report.product_id}")
    mask = identity.misc_select_mask
    if report.misc_select & mask != identity.misc_select & mask:
        raise EvidenceError(f"MISCSELECT of {what} is {identity.misc_select:#x}, found {report.misc_select:#x}")
    attributes = _masked(report.attributes, identity.attributes_mask)
    if attributes != _masked(identity.attributes, identity.attributes_mask) or report.debug:
        raise EvidenceError(
            f"attributes of {what} are {identity.attributes.hex()}, found {report.attributes.hex()}"
            f"{' (a debugger may look into it)' if report.debug else ''}"
        )
    return _enclave_verdict(identity.levels, report.svn, f"{what} (SVN {report.svn})")


def _enclave_verdict(levels: Sequence[EnclaveLevel], svn: int, what: str) -> Verdict:
    for level in levels:
        if svn >= level.svn:
            return Verdict(status=level.status, advisories=level.advisories, date=level.date, what=what)
    raise EvidenceError(f"{what} is below all levels that Intel knows of it")


def _reaches(found: bytes, needed: bytes) -> bool:
    return len(found) == len(needed) and all(have >= want for have, want in zip(found, needed, strict=True))


def _masked(value: bytes, mask: bytes) -> int:
    return int.from_bytes(value, "big") & int.from_bytes(mask, "big")


def _not(mask: bytes) -> bytes:
    return bytes(0xFF ^ each for each in mask)
