"""The verification of an audit log: is it authentic, of the CAS that is expected, whole, and of its newest state?

Pure: lines of the log and what the CAS says of it are arguments, the verdict has everything that was found.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bannock.cas.audit.certificates import audit_report_data, certified_audit_key
from bannock.cas.audit.entry import Transaction
from bannock.cas.audit.findings import Finding, Outcome, Verdict
from bannock.cas.audit.tree import Tree
from bannock.errors import BannockError, IntegrityError, causes

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Iterator

    from bannock.cas.audit.findings import History
    from bannock.values import KeyHash

__all__ = ["Appraise", "link_of", "numbers", "split_lines", "verify_log"]

CHAIN_FACT: Final = "certificate_chain"
REPORT_EVENT: Final = "audit_log_attestation_report"
#: The end of every entry, in canonical JSON.
_END: Final = re.compile(
    rb'"(?:predecessor|(?P<old>previous))":(?:null|"[0-9a-f]*"),'
    rb'"sequence":(?P<number>[1-9][0-9]{0,15}),"signature":(?:null|"(?P<signature>[0-9a-f]{128})")}$'
)
#: Findings of one kind that are told.
_TOLD: Final = 20


class Appraise(Protocol):
    """Decides on evidence for a signing key."""

    def __call__(self, evidence: bytes, *, report_data: bytes, at: dt.datetime) -> None:
        """Raise EvidenceError or DeniedError unless it is evidence of a CAS that is trusted."""


def split_lines(content: bytes) -> list[bytes]:
    """Give the lines of a log."""
    lines = content.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def numbers(lines: Iterable[bytes]) -> tuple[int, int]:
    """Give the smallest and the largest number of entries; what to ask the CAS about."""
    found = [int(match["number"]) for line in lines if (match := _END.search(line))]
    return min(found, default=1), max(found, default=1)


def link_of(line: bytes) -> bytes | None:
    """Give what the entry after a line names as its predecessor; None if the line is no entry."""
    match = _END.search(line)
    if match is None:
        return None
    if match["signature"] is not None and match["old"] is None:
        return bytes.fromhex(match["signature"].decode("ascii"))
    try:
        return Transaction.from_line(line).link
    except IntegrityError:
        return None


def verify_log(
    lines: Iterable[bytes],
    *,
    expected: Collection[KeyHash],
    history: History | None,
    predecessor: bytes = b"",
    last: bytes | None = None,
    appraise: Appraise | None = None,
) -> Verdict:
    """Verify a log.

    Args:
        lines: of the log, without their ends.
        expected: keys of the CAS that were attested.
        history: what that CAS says of its log now; None if it cannot be asked.
        predecessor: the signature of the last entry of the log before this one; empty if this is the first.
        last: what the first entry of the log after this one names as its predecessor; None if this is the newest.
        appraise: decides on the attestation reports in the log, of which each key needs one then.
    """
    findings: list[Finding] = []
    parsed: list[tuple[int, Transaction]] = []
    for number, line in enumerate(lines, 1):
        try:
            parsed.append((number, Transaction.from_line(line)))
        except IntegrityError as error:
            findings.append(_not_authentic(number, error))
    entries = [entry for _, entry in parsed]
    keys, refused = _certified(entries, expected, history)
    for number, entry in parsed:
        try:
            _verify_signature(entry, keys)
        except IntegrityError as error:
            findings.append(_not_authentic(number, error))
    findings += _misplaced(entries)
    if findings:
        return Verdict(findings=_few(findings), entries=tuple((entry, None) for entry in entries))
    tree = Tree(entries, history, last=last)
    findings += _foreign(entries, keys, refused)
    if appraise is not None:
        findings += _unattested(entries, appraise)
    if not findings:
        findings += tree.findings(predecessor=predecessor)
    return Verdict(findings=_few(findings), entries=tree.entries)


def _certified(
    entries: Iterable[Transaction], expected: Collection[KeyHash], history: History | None
) -> tuple[set[bytes], list[str]]:
    """Give the keys that chains in the log certify, and why other chains do not."""
    facts = [event.facts.get(CHAIN_FACT) for entry in entries for event in entry.events]
    chains = {tuple(chain) for chain in facts if isinstance(chain, list)}
    if history is not None and history.certificate_chain:
        chains.add(history.certificate_chain)
    keys: set[bytes] = set()
    refused: list[str] = []
    for chain in chains:
        try:
            keys.add(certified_audit_key(chain, expected))
        except IntegrityError as error:
            refused.append(str(error))
    return keys, sorted(refused)


def _verify_signature(entry: Transaction, keys: Collection[bytes]) -> None:
    if entry.key is not None:
        entry.verify()
        return
    for key in keys:  # the old format does not say which
        try:
            entry.verify(Ed25519PublicKey.from_public_bytes(key))
        except IntegrityError:
            continue
        return
    raise IntegrityError(
        f"audit entry {entry.sequence} is of an old format, and not signed by a key that is certified"
    )


def _misplaced(entries: Iterable[Transaction]) -> Iterator[Finding]:
    """Find entries that a CAS would not have signed."""
    by_link = {entry.link: entry for entry in entries}
    for entry in by_link.values():
        before = by_link.get(entry.predecessor)
        known = before.sequence if before is not None else None if entry.predecessor else 0
        if (known is not None and entry.sequence != known + 1) or (entry.sequence == 1 and entry.predecessor):
            yield Finding(
                outcome=Outcome.NOT_AUTHENTIC,
                message=f"audit entry {entry.sequence} does not have the number that follows its predecessor's",
            )


def _foreign(entries: Iterable[Transaction], keys: Collection[bytes], refused: list[str]) -> Iterator[Finding]:
    for key in sorted({entry.key for entry in entries if entry.key is not None} - set(keys)):
        why = "; ".join(refused) or "the log has no certificate chain for it"
        yield Finding(
            outcome=Outcome.OTHER_CAS,
            message=f"the key {key.hex()} is not certified by the CAS that is expected: {why}",
        )


def _unattested(entries: Collection[Transaction], appraise: Appraise) -> Iterator[Finding]:
    for key in sorted({entry.key for entry in entries if entry.key is not None}):
        reasons = ["the log has no attestation report for it"]
        for report, at in _reports(entries, key):
            try:
                appraise(report, report_data=audit_report_data(key), at=at)
            except BannockError as error:
                reasons.append("; ".join(line for cause in causes(error) for line in _lines(cause)))
            else:
                break
        else:
            message = f"the key {key.hex()} is not attested: {reasons[-1]}"
            yield Finding(outcome=Outcome.OTHER_CAS, message=message)


def _reports(entries: Iterable[Transaction], key: bytes) -> Iterator[tuple[bytes, dt.datetime]]:
    for entry in entries:
        for event in entry.events:
            report = event.facts.get("report")
            if event.event == REPORT_EVENT and event.facts.get("signing_key") == key.hex() and isinstance(report, str):
                yield report.encode("utf-8"), entry.at


def _lines(error: BaseException) -> list[str]:
    return [str(error), *getattr(error, "reasons", ())]


def _not_authentic(number: int, error: IntegrityError) -> Finding:
    return Finding(outcome=Outcome.NOT_AUTHENTIC, message=f"line {number}: {error}")


def _few(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put what is worst first, and leave out what is told often enough."""
    told: list[Finding] = []
    counts: dict[Outcome, int] = {}
    for finding in sorted(findings, key=lambda each: -each.outcome):
        counts[finding.outcome] = counts.get(finding.outcome, 0) + 1
        if counts[finding.outcome] <= _TOLD:
            told.append(finding)
    more = [
        Finding(outcome=outcome, message=f"{count - _TOLD} more of this kind")
        for outcome, count in counts.items()
        if count > _TOLD
    ]
    return (*told, *more)
