"""What an SEV-SNP attestation report proves. Pure; time is an argument.

The measurement of the guest, its ID block, its VMPL and the least TCB version are the session's to decide on
(``machines`` rules): AMD publishes no list of TCB versions that are out of date.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from bannock.errors import EvidenceError
from bannock.evidence.appraisal import Bound, Finding, PlatformAppraisal, TcbState
from bannock.evidence.quotes import SnpQuote
from bannock.evidence.snp.chain import find_chain
from bannock.evidence.snp.report import HYPERVISOR, AttestationReport
from bannock.evidence.snp.revocation import find_revocation
from bannock.evidence.snp.tcb import Tcb

if TYPE_CHECKING:
    from datetime import datetime

    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.quotes import Quote
    from bannock.evidence.snp.chain import Chain
    from bannock.evidence.snp.revocation import Revocation

__all__ = ["REVOCATION_UNKNOWN", "verify_snp"]

#: The weakness of a chain of which no list of revoked certificates is at hand. Nothing tolerates it: get the list.
REVOCATION_UNKNOWN: Final = "revocation-unknown"

_PLATFORM: Final = "sev-snp"
#: Flags of PLATFORM_INFO (AMD 56860).
_SMT_ENABLED: Final = 1 << 0
_ALIAS_CHECKED: Final = 1 << 5
#: Versions of reports from which firmware tells whether it looked for aliases in memory.
_TELLS_ALIASES: Final = 3


def verify_snp(quote: Quote, endorsements: Endorsements, at: datetime) -> PlatformAppraisal:
    """Verify an attestation report and the chain that vouches for it.

    Raises:
        EvidenceError: it is malformed, not signed by a chip, or nothing vouches for that chip at that time.
    """
    if not isinstance(quote, SnpQuote):
        raise EvidenceError(f"an SEV-SNP quote is expected, found one of {quote.platform}")
    report = AttestationReport.from_bytes(quote.report)
    if report.vmpl == HYPERVISOR:
        raise EvidenceError("the hypervisor asked for the SEV-SNP attestation report, and no guest: it binds nothing")
    chain = find_chain(report, endorsements, at)
    revocation = find_revocation(chain, endorsements.crls, at)
    tcb = _tcb(report, chain.chip.line)
    warnings = _warnings(report, tcb, chain.chip.line)
    weaknesses = frozenset[str]()
    if revocation.until is None:
        weaknesses = frozenset({REVOCATION_UNKNOWN})
        warnings.append(
            f"no list of revoked certificates of {chain.root.name} is at hand: whether AMD revoked "
            f"{chain.intermediate.name} is not known"
        )
    return PlatformAppraisal(
        platform=_PLATFORM,
        genuine=chain.genuine,
        report_data=report.report_data,
        debug=report.policy.debug,
        machine=_machine(report, chain, tcb),
        machine_id=None if report.masked else hashlib.sha256(f"{_PLATFORM}\0".encode() + report.chip_id).hexdigest(),
        weaknesses=weaknesses,
        tcb=TcbState(level=str(tcb)),
        warnings=tuple(warnings),
        findings=(_finding(report, chain, revocation, tcb),),
        bounds=(*chain.bounds(), *_bounds(chain, revocation)),
    )


def _tcb(report: AttestationReport, line: str) -> Tcb:
    """Give the reported TCB version, which the signing key is derived from, if it can be what the firmware reports."""
    reported, committed, current = (
        Tcb.from_bytes(raw, line) for raw in (report.reported_tcb, report.committed_tcb, report.current_tcb)
    )
    for what, other in (("reported", reported), ("committed", committed)):
        if not current.reaches(other):
            raise EvidenceError(
                f"the {what} TCB version of the SEV-SNP platform is not above the current one",
                reasons=[f"{what}: {other}", f"current: {current}"],
            )
    return reported


def _warnings(report: AttestationReport, tcb: Tcb, line: str) -> list[str]:
    found = []
    if report.policy.debug:
        found.append("the guest policy allows debugging: whoever rules the host reads the guest's memory")
    if report.policy.migration_agent:
        found.append("the guest policy allows a migration agent, which may take the guest's memory out")
    if report.report_id_ma is not None:
        found.append(f"a migration agent is bound to the guest: {report.report_id_ma.hex()}")
    if report.policy.smt and report.platform_info & _SMT_ENABLED:
        found.append("another guest may run on the other thread of the same core: SMT is on, and the policy allows it")
    if report.version >= _TELLS_ALIASES and not report.platform_info & _ALIAS_CHECKED:
        found.append("the firmware did not look for aliases in memory (AMD-SB-3015): memory modules may be forged")
    launched = Tcb.from_bytes(report.launch_tcb, line)
    if not launched.reaches(tcb):
        found.append(f"the guest was launched and measured by older firmware than it reports: {launched}")
    if report.committed_tcb != report.current_tcb or report.committed_firmware != report.current_firmware:
        found.append(
            f"the platform's firmware is provisional: TCB version {report.current_tcb.hex()} runs, and the host may "
            f"go back to {report.committed_tcb.hex()}; what counts is the reported one, {tcb}"
        )
    return found


def _machine(report: AttestationReport, chain: Chain, tcb: Tcb) -> dict[str, str]:
    return {
        "measurement": report.measurement.hex(),
        "host_data": report.host_data.hex(),
        "family_id": report.family_id.hex(),
        "image_id": report.image_id.hex(),
        "id_key_digest": report.id_key_digest.hex(),
        "author_key_digest": report.author_key_digest.hex(),
        "guest_svn": str(report.guest_svn),
        "vmpl": str(report.vmpl),
        "policy": f"{report.policy.raw:016x}",
        "product": chain.chip.line,
        **{f"tcb_{name}": str(number) for name, number in tcb.parts().items()},
    }


def _finding(report: AttestationReport, chain: Chain, revocation: Revocation, tcb: Tcb) -> Finding:
    listed = (
        Finding("whether AMD revoked the chain is not known", None, "no list of revoked certificates is at hand")
        if revocation.until is None
        else Finding("the chain is not revoked", detail=f"next list due {revocation.until:%Y-%m-%d}")
    )
    root = f"{chain.root.name}, AMD's own" if chain.genuine else f"{chain.root.name}, which is make-believe"
    up_to_root = Finding(
        f"{chain.key.name} is vouched for by {chain.intermediate.name}, that by the root",
        chain.genuine or None,
        root,
        because=(
            *(
                Finding(
                    f"certificate {each.name} is good",
                    detail=f"{each.not_before:%Y-%m-%d} to {each.not_after:%Y-%m-%d}",
                )
                for each in chain.certificates
            ),
            listed,
        ),
    )
    whose = f"provider {chain.chip.provider}" if chain.chip.provider else f"chip {report.chip_id.hex()[:16]}…"
    return Finding(
        f"the attestation report (version {report.version}) is signed by {chain.key.name}",
        detail=f"{chain.chip.product}, {whose}",
        because=(
            Finding("the certificate is for the reported TCB version", detail=str(tcb)),
            up_to_root,
            Finding(
                "the guest",
                None,
                f"VMPL {report.vmpl}, policy 0x{report.policy.raw:x}, measurement {report.measurement.hex()}",
            ),
        ),
    )


def _bounds(chain: Chain, revocation: Revocation) -> list[Bound]:
    if revocation.until is None:
        return []
    what = f"list of revoked certificates of {chain.root.name} (nextUpdate)"
    return [Bound(revocation.until, what, "fetch the next list from AMD")]
