"""The verifier of SGX and TDX quotes. Pure.

Two verifiers look at each quote: this one, and dcap-qvl. Both have to be content, and to say the same of the state of
the platform. Ours collects every reason, and alone says what dcap-qvl has no words for: debuggers, bounds, and which
of several sets of collateral counts.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import Bug, EvidenceError
from bannock.evidence.appraisal import EnclaveIdentity, PlatformAppraisal, TcbState
from bannock.evidence.dcap.chain import (
    PckChain,
    require_binding,
    require_sound_td,
    verify_qe_report,
    verify_quote_signature,
)
from bannock.evidence.dcap.checks import Checks
from bannock.evidence.dcap.collateral import CollateralSet
from bannock.evidence.dcap.endorsed import endorsed
from bannock.evidence.dcap.quote import DcapQuote, SgxReport, TdReport, sgx_report
from bannock.evidence.dcap.second_opinion import ask
from bannock.evidence.dcap.tcb import Verdict, merged, module_verdict, platform_verdict, qe_verdict
from bannock.evidence.quotes import SgxQuote, TdxQuote
from bannock.values import Measurement

if TYPE_CHECKING:
    from datetime import datetime

    from bannock.evidence.dcap.endorsed import Endorsed
    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.quotes import Quote

__all__ = ["verify_sgx", "verify_tdx"]

_REMEDY_PCK: Final = "get a new PCK certificate for the machine"
_REMEDY_ROOT: Final = "get a version of this program that knows Intel's next root"


def verify_sgx(quote: Quote, endorsements: Endorsements, at: datetime) -> PlatformAppraisal:
    """Return what the quote of an SGX enclave proves.

    Raises:
        EvidenceError: it is malformed, not authentic, or nothing vouches for it at that time; its reasons say why.
    """
    if not isinstance(quote, SgxQuote):
        raise Bug(f"a quote of {quote.platform} was given to the verifier of SGX")
    return _verify("sgx", quote.quote, endorsements, at)


def verify_tdx(quote: Quote, endorsements: Endorsements, at: datetime) -> PlatformAppraisal:
    """Return what the quote of a trust domain proves.

    Raises:
        EvidenceError: it is malformed, not authentic, or nothing vouches for it at that time; its reasons say why.
    """
    if not isinstance(quote, TdxQuote):
        raise Bug(f"a quote of {quote.platform} was given to the verifier of TDX")
    return _verify("tdx", quote.quote, endorsements, at)


def _verify(platform: str, data: bytes, endorsements: Endorsements, at: datetime) -> PlatformAppraisal:
    quote = DcapQuote.parse(data)
    if quote.tee != platform:
        raise EvidenceError(f"the quote is one of {platform}, found one of {quote.tee}")
    chain = PckChain.of(quote.certificates)
    checks = Checks()
    _check_signatures(quote, chain, at, checks)
    known = endorsed(platform, chain, [CollateralSet.from_json(each) for each in endorsements.dcap], at, checks)
    verdict = None if known is None else _verdict(quote, chain, known, checks)
    debug = _check_debug(quote.report, checks)
    note = None if chain.genuine else "its chain leads to a make-believe root, so it would be of platform sim anyway"
    checks.require(f"the {platform} quote does not hold", note=note)
    if known is None or verdict is None:
        raise Bug("a quote was verified without collateral")
    _require_second_opinion(data, chain, known, verdict, at, checks, debug=debug)
    return PlatformAppraisal(
        platform=platform,
        genuine=chain.genuine,
        report_data=quote.report.report_data,
        enclave=_enclave(quote.report),
        debug=debug,
        machine=_machine(quote.report),
        machine_id=_machine_id(platform, chain.processor.ppid),
        weaknesses=verdict.weaknesses,
        advisories=frozenset(verdict.advisories),
        tcb=TcbState(status=verdict.status, level=verdict.what, as_of=verdict.date),
        findings=tuple(checks.findings),
        bounds=tuple(sorted(checks.bounds)),
    )


def _check_signatures(quote: DcapQuote, chain: PckChain, at: datetime, checks: Checks) -> None:
    root = "Intel's root" if chain.genuine else "a make-believe root"
    checks.attempt(f"the PCK certificate leads to {root}", chain.require_signatures)
    checks.attempt("the certificates of the PCK are valid", lambda: chain.require_valid(at))
    checks.attempt("the processor vouches for the quoting enclave", lambda: verify_qe_report(quote, chain.pck))
    checks.attempt("the quoting enclave vouches for the attestation key", lambda: require_binding(quote))
    checks.attempt("the attestation key signed the quote", lambda: verify_quote_signature(quote))
    checks.bound(chain.pck.not_valid_after_utc, "PCK certificate (notAfter)", _REMEDY_PCK)
    checks.bound(chain.authority.not_valid_after_utc, "certificate of the PCK authority (notAfter)", _REMEDY_PCK)
    checks.bound(chain.root.not_valid_after_utc, "root certificate (notAfter)", _REMEDY_ROOT)
    processor = chain.processor
    for what, flag in (("multithreading", processor.smt), ("a change of processors", processor.dynamic_platform)):
        if flag is not None:
            checks.tell(f"Intel says whether the machine allows {what}", "yes" if flag else "no")


def _verdict(quote: DcapQuote, chain: PckChain, known: Endorsed, checks: Checks) -> Verdict | None:
    """Find the state of all parts that Intel says something of."""
    td = quote.report if isinstance(quote.report, TdReport) else None
    found = [
        checks.attempt(
            "the processor is at a level that Intel knows",
            lambda: platform_verdict(known.tcb_info, chain.processor, td),
        ),
        checks.attempt(
            "the quoting enclave is Intel's", lambda: qe_verdict(known.qe_identity, sgx_report(quote.qe_report))
        ),
    ]
    if td is not None:
        domain = td
        found.append(checks.attempt("the TDX module is Intel's", lambda: module_verdict(known.tcb_info, domain)))
    verdicts = [each for each in found if each is not None]
    for each in verdicts:
        checks.tell(f"Intel says of {each.what}: {each.status}", ", ".join(each.advisories))
    if not verdicts:
        return None
    return checks.attempt("nothing of it is revoked", lambda: merged(verdicts))


def _check_debug(report: SgxReport | TdReport, checks: Checks) -> bool:
    if isinstance(report, SgxReport):
        debug = report.debug
    else:
        domain = report
        debug = bool(checks.attempt("the trust domain is protected", lambda: require_sound_td(domain)))
    if debug:
        checks.tell("a debugger may look in")
    return debug


def _require_second_opinion(
    data: bytes, chain: PckChain, known: Endorsed, verdict: Verdict, at: datetime, checks: Checks, *, debug: bool
) -> None:
    """Ask dcap-qvl, and require that it says the same.

    Raises:
        EvidenceError: it refuses the quote, or finds another state or other advisories.
    """
    root = None if chain.genuine else chain.root.public_bytes(Encoding.DER)
    opinion = ask(data, known.collateral, root, at)
    if opinion.only_debug and debug:
        checks.tell("dcap-qvl, the second verifier, has no objection but that a debugger may look in")
        return
    if opinion.refused is not None or opinion.status is None:
        raise EvidenceError(
            "dcap-qvl, the second verifier, refuses the quote", reasons=[opinion.refused or "it gives no state"]
        )
    if (opinion.status, opinion.advisories) != (verdict.status, frozenset(verdict.advisories)):
        raise EvidenceError(
            "the two verifiers of quotes disagree",
            reasons=[
                f"ours: {verdict.status} ({', '.join(verdict.advisories) or 'no advisory'})",
                f"dcap-qvl: {opinion.status} ({', '.join(sorted(opinion.advisories)) or 'no advisory'})",
            ],
            hint="please report it, with the evidence",
        )
    checks.tell("dcap-qvl, the second verifier, says the same", opinion.status)


def _enclave(report: SgxReport | TdReport) -> EnclaveIdentity | None:
    if not isinstance(report, SgxReport):
        return None
    return EnclaveIdentity(
        measurement=Measurement(report.measurement),
        signer=Measurement(report.signer),
        product_id=report.product_id,
        svn=report.svn,
    )


def _machine(report: SgxReport | TdReport) -> dict[str, str]:
    if not isinstance(report, TdReport):
        return {}
    parts = {
        "mrtd": report.mrtd,
        **{f"rtmr{index}": each for index, each in enumerate(report.rtmrs)},
        "mrseam": report.mrseam,
        "mrsignerseam": report.mrsignerseam,
        "mrconfigid": report.mrconfigid,
        "mrowner": report.mrowner,
        "mrownerconfig": report.mrownerconfig,
        "td_attributes": report.td_attributes,
        "xfam": report.xfam,
        "tee_tcb_svn": report.tee_tcb_svn,
    }
    if report.mr_service_td is not None:
        parts["mr_service_td"] = report.mr_service_td
    return {name: each.hex() for name, each in parts.items()}


def _machine_id(platform: str, ppid: bytes) -> str | None:
    return hashlib.sha256(platform.encode("ascii") + b"\0" + ppid).hexdigest() if any(ppid) else None
