"""What the verification of an audit log can find. Pure values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bannock.cas.audit.entry import ChainHead, Transaction

__all__ = ["Finding", "History", "Outcome", "Status", "Verdict"]


class Outcome(enum.IntEnum):
    """The result of a verification, which is its exit code; what is worse is greater."""

    CORRECT = 0
    FAILED_TRANSACTION = 10
    NEWEST_MISSING = 14
    OLDEST_MISSING = 15
    ROLLBACK_POSSIBLE = 16
    ROLLBACK_OR_MISSING = 17
    ROLLBACK = 18
    OTHER_CAS = 19
    NOT_AUTHENTIC = 20

    @property
    def meaning(self) -> str:
        """Say it to a person."""
        return _MEANINGS[self]


_MEANINGS = {
    Outcome.CORRECT: "the audit log is correct",
    Outcome.FAILED_TRANSACTION: "the audit log is correct; at least one transaction failed and was rolled back",
    Outcome.NEWEST_MISSING: "the audit log was truncated: the newest entries are missing",
    Outcome.OLDEST_MISSING: "the audit log was truncated: the oldest entries are missing",
    Outcome.ROLLBACK_POSSIBLE: "a rollback of the CAS cannot be ruled out",
    Outcome.ROLLBACK_OR_MISSING: "the CAS was rolled back, or entries are missing in the audit log",
    Outcome.ROLLBACK: "the CAS was rolled back",
    Outcome.OTHER_CAS: "the audit log is not of the CAS that was expected",
    Outcome.NOT_AUTHENTIC: "the audit log is not authentic",
}


class Status(enum.StrEnum):
    """What became of the transaction of an entry."""

    KEPT = "not rolled back"
    ROLLED_BACK = "rolled back"
    ROLLED_BACK_OR_MISSING = "rolled back or missing entries"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found, and where."""

    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the CAS says of its own log.

    Attributes:
        head: its newest entry.
        checkpoints: further places that it was at.
        certificate_chain: of the key that it signs with now.
    """

    head: ChainHead
    checkpoints: tuple[ChainHead, ...] = ()
    certificate_chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verification gives.

    Attributes:
        findings: everything that is not as it should be.
        entries: of the log, by their numbers, each once; None for the status of each if it was not looked for.
    """

    findings: tuple[Finding, ...]
    entries: tuple[tuple[Transaction, Status | None], ...]

    @property
    def outcome(self) -> Outcome:
        """The worst of the findings."""
        return max((finding.outcome for finding in self.findings), default=Outcome.CORRECT)
