"""The verification of a log file with the help of the CAS that wrote it, and may be writing it now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from bannock.cas.audit.entry import ChainHead
from bannock.cas.audit.findings import Finding, History, Outcome, Verdict
from bannock.cas.audit.verification import link_of, numbers, split_lines, verify_log
from bannock.errors import EnvironmentFault, PeerError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bannock.cas.audit.verification import Appraise
    from bannock.remote.cas_api import CasApi
    from bannock.values import KeyHash

__all__ = ["AuditSource", "CasHistory", "LogCheck"]

#: A line that is being written is whole after this.
_WRITE_SECONDS: Final = 0.2
_ATTEMPTS: Final = 3


class AuditSource(Protocol):
    """Knows what the audit log of a CAS has to hold."""

    def __call__(self, first: int, last: int, /) -> History:
        """Give it, for a range of entries."""


class CasHistory:
    """Asks the CAS; its owner alone gets an answer."""

    def __init__(self, api: CasApi) -> None:
        self._api = api

    def __call__(self, first: int, last: int, /) -> History:
        """Ask.

        Raises:
            DeniedError: the client is not the owner.
            EnvironmentFault: the CAS cannot be reached.
            PeerError: another one answers, or none of ours.
        """
        answer = self._api.request_json("GET", f"/v1/owner/audit?from={first}&to={last}")
        try:
            return History(
                head=_place(answer["head"]),
                checkpoints=tuple(_place(each) for each in answer["checkpoints"]),
                certificate_chain=tuple(str(each) for each in answer["certificate_chain"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PeerError(f"the CAS at {self._api.address} answers with no history of its audit log") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCheck:
    """How a log is verified.

    Attributes:
        read: gives the content of the file as it is now.
        ask: gives what the CAS knows.
        expected: keys of the CAS that were attested.
        predecessor: the signature of the last entry of the log before this one; empty if this is the first.
        last: the predecessor signature of the first entry of the log after this one; None if this is the newest.
        appraise: decides on the attestation reports in the log; None leaves them alone.
    """

    read: Callable[[], bytes]
    ask: AuditSource
    expected: Collection[KeyHash]
    predecessor: bytes = b""
    last: bytes | None = None
    appraise: Appraise | None = None

    def verdict(self) -> Verdict:
        """Verify the file.

        The CAS may go on while it is read. So what it says is held against the file as it was before it was asked,
        and against what came to the file since, up to the entry that it said is its newest.

        Raises:
            DeniedError: the client is not the owner of the CAS.
            InputError: the file cannot be read.
        """
        for left in range(_ATTEMPTS, 0, -1):
            verdict = self._verdict()
            if verdict.outcome not in {Outcome.FAILED_TRANSACTION, Outcome.NEWEST_MISSING} or left == 1:
                break
            time.sleep(_WRITE_SECONDS)  # a transaction that was under way is over then
        return verdict

    def _verdict(self) -> Verdict:
        before = self._settled()
        lines = split_lines(before)
        unreachable: Finding | None = None
        history: History | None = None
        try:
            history = self.ask(*numbers(lines))
        except (EnvironmentFault, PeerError) as error:
            unreachable = Finding(outcome=Outcome.ROLLBACK_POSSIBLE, message=f"the CAS cannot be asked: {error}")
        if history is not None and self.last is None:
            lines += self._since(before, history.head.link)
        verdict = verify_log(
            lines,
            expected=self.expected,
            history=history,
            predecessor=self.predecessor,
            last=self.last,
            appraise=self.appraise,
        )
        if unreachable is None:
            return verdict
        return Verdict(findings=(*verdict.findings, unreachable), entries=verdict.entries)

    def _settled(self) -> bytes:
        content = self.read()
        if content and not content.endswith(b"\n"):
            time.sleep(_WRITE_SECONDS)
            return self.read()
        return content

    def _since(self, before: bytes, newest: bytes) -> list[bytes]:
        """Give the lines that came to the file, up to an entry; none if it is there already or did not come."""
        if any(link_of(line) == newest for line in split_lines(before)):
            return []
        now = self._settled()
        found: list[bytes] = []
        if now.startswith(before):
            for line in split_lines(now[len(before) :]):
                found.append(line)
                if link_of(line) == newest:
                    return found
        return []


def _place(document: Any) -> ChainHead:
    return ChainHead(sequence=int(document["sequence"]), link=bytes.fromhex(document["signature"]))
