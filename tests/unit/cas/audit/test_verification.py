"""The verification of logs: what each kind of damage leads to, and which word is said about each entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.cas.audit.certificates import audit_report_data, certify_audit_key
from bannock.cas.audit.entry import EMPTY, Event, sign_entry
from bannock.cas.audit.findings import History, Outcome, Status, Verdict
from bannock.cas.audit.verification import split_lines, verify_log
from bannock.errors import EvidenceError
from bannock.net.tls import Identity
from tests.unit.cas.audit.logs import AT, CAS, KEY, history, line_of, start

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from bannock.cas.audit.entry import Transaction

_OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


def _verify(
    entries: Sequence[Transaction], known: History | None, *, predecessor: bytes = b"", last: bytes | None = None
) -> Verdict:
    lines = [entry.to_line() for entry in entries]
    return verify_log(lines, expected=[CAS.key_hash], history=known, predecessor=predecessor, last=last)


def _words(verdict: Verdict) -> list[tuple[int, Status | None]]:
    return [(entry.sequence, status) for entry, status in verdict.entries]


def test_a_whole_log() -> None:
    """Every entry leads to what the CAS has now."""
    log = line_of(6)
    verdict = _verify(log, history(log))
    assert (verdict.outcome, verdict.findings) == (Outcome.CORRECT, ())
    assert _words(verdict) == [(number, Status.KEPT) for number in range(1, 7)]


def test_the_order_of_lines_does_not_matter() -> None:
    """What a log server gives back in another order, or twice, is the same log."""
    log = line_of(6)
    assert _verify([*log[::-1], log[2]], history(log)).outcome is Outcome.CORRECT


def test_an_empty_log_of_a_cas_that_logged_nothing() -> None:
    """There is nothing to miss."""
    assert _verify([], History(head=EMPTY)).outcome is Outcome.CORRECT


def test_a_cas_that_cannot_be_asked() -> None:
    """Signatures and places hold, and that is all that can be said."""
    verdict = _verify(line_of(3), None)
    assert verdict.outcome is Outcome.ROLLBACK_POSSIBLE
    assert {status for _, status in verdict.entries} == {Status.UNKNOWN}
    assert _verify([], None).outcome is Outcome.ROLLBACK_POSSIBLE


def test_a_rolled_back_cas() -> None:
    """The CAS is in a state from before entries that are in the log: more than one failed transaction explains."""
    log = line_of(6)
    verdict = _verify(log, history(log[:4]))
    assert verdict.outcome is Outcome.ROLLBACK
    assert _words(verdict)[3:] == [(4, Status.KEPT), (5, Status.ROLLED_BACK), (6, Status.ROLLED_BACK)]


def test_a_rolled_back_cas_that_went_on() -> None:
    """What it did since is another branch, and what it had done before is found beside it."""
    log = line_of(6)
    since = line_of(5, log[3].head, name="b")
    verdict = _verify([*log, *since], history(since))
    assert verdict.outcome is Outcome.ROLLBACK
    assert [status for entry, status in verdict.entries if entry in log[4:]] == [Status.ROLLED_BACK] * 2
    # Without a word of the CAS, two branches of several entries say so already.
    assert _verify([*log, *since], None).outcome is Outcome.ROLLBACK


def test_parallel_logs_without_a_common_entry() -> None:
    """A rollback to the state before the first entry is one too."""
    log = line_of(4)
    other = line_of(3, sign_entry(KEY, EMPTY, at=AT, cas=CAS.key_hash, events=[start(), start()]).head)
    assert _verify([*log, *other], None).outcome is Outcome.ROLLBACK


def test_a_failed_transaction() -> None:
    """One entry stands alone beside what the CAS did instead: this happens in good order, and is told."""
    log = line_of(6)
    failed = line_of(1, log[2].head, name="failed")
    verdict = _verify([*log, *failed], history(log))
    assert verdict.outcome is Outcome.FAILED_TRANSACTION
    assert [status for entry, status in verdict.entries if entry in failed] == [Status.ROLLED_BACK]


def test_several_failed_attempts_at_one_place() -> None:
    """Each of them stands alone."""
    log = line_of(3)
    failed = [entry for name in "xyz" for entry in line_of(1, log[1].head, name=name)]
    assert _verify([*log, *failed], history(log)).outcome is Outcome.FAILED_TRANSACTION


def test_a_transaction_that_failed_just_now() -> None:
    """Nothing has followed yet, and it is no more than one."""
    log = line_of(3)
    assert _verify(log, history(log[:2])).outcome is Outcome.FAILED_TRANSACTION


def test_the_first_transaction_failed() -> None:
    """There is no entry before it that it could share with what happened."""
    log = line_of(3)
    failed = sign_entry(KEY, EMPTY, at=AT, cas=CAS.key_hash, events=[start(), start()])
    assert _verify([failed, *log], history(log)).outcome is Outcome.FAILED_TRANSACTION


def test_missing_entries() -> None:
    """Entries that nothing leads from to what the CAS has: it was rolled back, or some were deleted."""
    log = line_of(9)
    verdict = _verify([*log[:3], *log[6:]], history(log))
    assert verdict.outcome is Outcome.ROLLBACK_OR_MISSING
    assert _words(verdict)[2:4] == [(3, Status.ROLLED_BACK_OR_MISSING), (7, Status.KEPT)]


def test_missing_entries_between_checkpoints() -> None:
    """Both parts are known to have happened, and there is a hole between them."""
    log = line_of(9)
    verdict = _verify([*log[:3], *log[6:]], history(log, log[1], log[2]))
    assert verdict.outcome is Outcome.ROLLBACK_OR_MISSING
    assert {status for _, status in verdict.entries} == {Status.KEPT}


def test_one_missing_entry() -> None:
    """One is enough."""
    log = line_of(5)
    assert _verify([*log[:2], *log[3:]], history(log)).outcome is Outcome.ROLLBACK_OR_MISSING


def test_entries_that_no_checkpoint_confirms() -> None:
    """The newest entries are missing, so what leads nowhere may have been rolled back."""
    log = line_of(9)
    verdict = _verify(log[:7], history(log, log[3]))
    assert verdict.outcome is Outcome.ROLLBACK_POSSIBLE
    assert _words(verdict)[3:5] == [(4, Status.KEPT), (5, Status.UNKNOWN)]


def test_the_newest_entries_are_missing() -> None:
    """What is there happened, by a checkpoint, and more happened since."""
    log = line_of(9)
    verdict = _verify(log[:4], history(log, log[3]))
    assert verdict.outcome is Outcome.NEWEST_MISSING
    assert "does not have entry 9" in verdict.findings[0].message
    assert "ends with entry 4" in verdict.findings[0].message


def test_the_oldest_entries_are_missing() -> None:
    """The log does not begin at its beginning."""
    log = line_of(9)
    known = History(head=log[-1].head, certificate_chain=tuple(certify_audit_key(KEY.public_key(), CAS)))
    verdict = _verify(log[2:], known)
    assert verdict.outcome is Outcome.OLDEST_MISSING
    assert _verify(log[2:], known, predecessor=log[1].link).outcome is Outcome.CORRECT
    assert _verify(log[2:], known, predecessor=log[0].link).outcome is Outcome.OLDEST_MISSING
    assert _verify([], known).outcome is Outcome.NEWEST_MISSING


def test_a_part_of_a_log_that_was_split() -> None:
    """It is whole if it lies between the log before and the log after it."""
    log = line_of(9)
    known = History(head=log[-1].head, certificate_chain=tuple(certify_audit_key(KEY.public_key(), CAS)))
    part = log[3:6]
    assert _verify(part, known, predecessor=log[2].link, last=log[5].link).outcome is Outcome.CORRECT
    assert _verify(part[:-1], known, predecessor=log[2].link, last=log[5].link).outcome is Outcome.ROLLBACK_POSSIBLE
    checked = History(head=known.head, checkpoints=(log[4].head,), certificate_chain=known.certificate_chain)
    assert _verify(part[:-1], checked, predecessor=log[2].link, last=log[5].link).outcome is Outcome.NEWEST_MISSING


def test_every_changed_line_is_found() -> None:
    """A changed byte is a violation, whatever else there is."""
    log = line_of(3)
    lines = [entry.to_line() for entry in log]
    for at in range(0, len(lines[1]), 7):
        changed = bytearray(lines[1])
        changed[at] ^= 1
        verdict = verify_log([lines[0], bytes(changed), lines[2]], expected=[CAS.key_hash], history=history(log))
        assert verdict.outcome is Outcome.NOT_AUTHENTIC
        assert verdict.findings[0].message.startswith("line 2: ")


@pytest.mark.parametrize("line", [b"", b"no entry", b"{}", b"\xff\xfe"])
def test_lines_that_are_no_entries(line: bytes) -> None:
    """Whatever stands between entries was put there by somebody else."""
    log = [entry.to_line() for entry in line_of(2)]
    verdict = verify_log([*log, line], expected=[CAS.key_hash], history=None)
    assert verdict.outcome is Outcome.NOT_AUTHENTIC
    assert verdict.findings[0].message.startswith("line 3: ")


def test_an_unsigned_log() -> None:
    """It can never be verified."""
    log = line_of(2, signed=False)
    assert _verify(log, history(log)).outcome is Outcome.NOT_AUTHENTIC


def test_an_entry_with_the_wrong_number() -> None:
    """A CAS signs no such thing, whoever has its key does."""
    log = line_of(2)
    wrong = line_of(1, log[1].head.__class__(sequence=7, link=log[1].link))
    assert _verify([*log, *wrong], history(log)).outcome is Outcome.NOT_AUTHENTIC


def test_the_log_of_another_cas() -> None:
    """It is authentic, and not the one that was asked for."""
    other = Identity.generate("CAS")
    first = sign_entry(_OTHER, EMPTY, at=AT, cas=other.key_hash, events=[start(_OTHER, other)])
    verdict = _verify([first], History(head=first.head))
    assert verdict.outcome is Outcome.OTHER_CAS
    assert str(other.key_hash) in verdict.findings[0].message
    assert str(CAS.key_hash) in verdict.findings[0].message


def test_a_key_that_nobody_certifies() -> None:
    """Entries are signed by whom they say, and nothing says that this is the CAS."""
    entry = sign_entry(_OTHER, EMPTY, at=AT, cas=CAS.key_hash, events=[Event(event="x", facts={})])
    verdict = _verify([entry], History(head=entry.head))
    assert verdict.outcome is Outcome.OTHER_CAS
    assert "has no certificate chain for it" in verdict.findings[0].message


def test_chains_that_are_none() -> None:
    """A chain that somebody put together does not certify."""
    forger = Identity.generate("CAS")
    forged = [certify_audit_key(_OTHER.public_key(), forger)[0], CAS.certificate_pem.decode()]
    for chain in (forged, forged[:1], ["x", "y"], []):
        events = [Event(event="cas_started", facts={"certificate_chain": chain})]
        entry = sign_entry(_OTHER, EMPTY, at=AT, cas=CAS.key_hash, events=events)
        assert _verify([entry], History(head=entry.head)).outcome is Outcome.OTHER_CAS


def test_attestation_reports() -> None:
    """Each key needs a report that is accepted, if that is asked for."""
    facts = {"signing_key": KEY.public_key().public_bytes_raw().hex(), "report": "good"}
    log = line_of(2)
    log.append(
        sign_entry(
            KEY,
            log[-1].head,
            at=AT,
            cas=CAS.key_hash,
            events=[Event(event="audit_log_attestation_report", facts=facts)],
        )
    )
    asked: list[bytes] = []

    def accepts(evidence: bytes, *, report_data: bytes, at: dt.datetime) -> None:
        assert (report_data, at) == (audit_report_data(KEY.public_key().public_bytes_raw()), AT)
        asked.append(evidence)

    def refuses(evidence: bytes, *, report_data: bytes, at: dt.datetime) -> None:
        raise EvidenceError(f"{evidence!r} does not hold for {report_data!r} at {at}")

    lines = [entry.to_line() for entry in log]
    known = history(log)
    assert verify_log(lines, expected=[CAS.key_hash], history=known, appraise=accepts).outcome is Outcome.CORRECT
    assert asked == [b"good"]
    refused = verify_log(lines, expected=[CAS.key_hash], history=known, appraise=refuses)
    assert (refused.outcome, "b'good' does not hold" in refused.findings[0].message) == (Outcome.OTHER_CAS, True)
    without = verify_log(lines[:2], expected=[CAS.key_hash], history=history(log[:2]), appraise=accepts)
    assert (without.outcome, "no attestation report" in without.findings[0].message) == (Outcome.OTHER_CAS, True)


def test_the_report_data_of_a_key() -> None:
    """They are those of the public reference (SHA-512 over this very text)."""
    assert audit_report_data(bytes(32)).hex() == (
        "7c59ab17c9a09f5277ca2f33d1baa0ba95b88416a1001f8484603d179d118be6"
        "fb14c549447a9a0217dbf4cb3f5dd4968aad05309e7d6b67605d5c671c082a35"
    )


def test_what_is_found_often_is_told_a_few_times() -> None:
    """A verdict of a long log can be read."""
    log = line_of(60)
    findings = _verify(log, history(log[:10])).findings
    assert len(findings) == 21
    assert findings[-1].message == "30 more of this kind"


def test_lines_of_a_file() -> None:
    """A last line needs no end, an empty file has no lines."""
    assert split_lines(b"") == []
    assert split_lines(b"a\nb\n") == split_lines(b"a\nb") == [b"a", b"b"]
    assert split_lines(b"a\n\nb\n") == [b"a", b"", b"b"]
