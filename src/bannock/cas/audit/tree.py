"""The tree of a log's entries, and what it says of rollbacks and of entries that are missing.

Pure; entries have been authenticated. Entries hang together by links: a log in good order is a line. A rollback makes
a fork, and entries that are taken away leave a second root. What the CAS knows of its log (its newest entry, and
checkpoints) tells which of the branches are those that happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.cas.audit.entry import EMPTY
from bannock.cas.audit.findings import Finding, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bannock.cas.audit.entry import ChainHead, Transaction
    from bannock.cas.audit.findings import History

__all__ = ["Tree"]


class Tree:
    """The entries of a log, each with its status."""

    def __init__(self, entries: Iterable[Transaction], history: History | None, *, last: bytes | None = None) -> None:
        """Put entries in their places.

        Args:
            entries: authentic ones; one that comes twice is taken once.
            history: what the CAS knows; None if it cannot be asked.
            last: the link of an entry that another log is known to begin after.
        """
        self._by_link = {entry.link: entry for entry in entries}
        self._entries = sorted(self._by_link.values(), key=lambda entry: entry.sequence)
        self._history = history
        self._last = last
        self._children: dict[bytes, list[Transaction]] = {}
        for entry in self._entries:
            self._children.setdefault(entry.predecessor, []).append(entry)
        self._known: dict[int, ChainHead] = {}
        if history is not None:
            self._known = {place.sequence: place for place in (*history.checkpoints, history.head)}
        self._kept: dict[int, Transaction] = {}
        self._keep_ancestors()
        self._statuses = self._judged()

    @property
    def entries(self) -> tuple[tuple[Transaction, Status], ...]:
        """The entries by number, with their statuses."""
        return tuple((entry, self._statuses[entry.link]) for entry in self._entries)

    def findings(self, *, predecessor: bytes = b"") -> list[Finding]:
        """Give what is wrong with the log as a whole.

        Args:
            predecessor: the link of the entry before the first one; empty if that is the first of all.
        """
        return [
            *self._rollbacks(),
            *self._missing(),
            *self._unknown(),
            *self._oldest(predecessor),
            *self._newest(),
        ]

    def _keep_ancestors(self) -> None:
        """Find the entries that happened: those which the CAS knows, and all that lead to them."""
        anchors = [place.link for place in self._known.values()]
        if self._history is not None and self._last is not None:
            anchors.append(self._last)
        for link in anchors:
            entry = self._by_link.get(link)
            while entry is not None and self._kept.get(entry.sequence) is not entry:
                self._kept[entry.sequence] = entry
                entry = self._by_link.get(entry.predecessor)

    def _judged(self) -> dict[bytes, Status]:
        matched = max((place.sequence for place in self._known.values() if place.link in self._by_link), default=None)
        statuses: dict[bytes, Status] = {}
        for entry in self._entries:  # those before an entry have been judged
            if self._kept.get(entry.sequence) is entry:
                status = Status.KEPT
            elif statuses.get(entry.predecessor) is Status.ROLLED_BACK or self._is_beside(entry):
                status = Status.ROLLED_BACK
            elif matched is not None and entry.sequence < matched:
                status = Status.ROLLED_BACK_OR_MISSING
            else:
                status = Status.UNKNOWN
            statuses[entry.link] = status
        return statuses

    def _is_beside(self, entry: Transaction) -> bool:
        """Whether the CAS went, or goes, another way than by this entry."""
        number = entry.sequence
        if self._history is not None and number > self._history.head.sequence:
            return True
        if number in self._kept or number in self._known:
            return True
        before = self._kept.get(number - 1) or self._known.get(number - 1)
        after = self._kept.get(number + 1)
        return (before is not None and before.link != entry.predecessor) or (
            after is not None and after.predecessor != entry.link
        )

    def _is_failed_transaction(self, entry: Transaction) -> bool:
        """Whether an entry that was rolled back is one that a single failed transaction leaves.

        It stands alone, and beside it is what the CAS did instead, if it did anything since.
        """
        if entry.link in self._children:
            return False
        beside = any(self._statuses[other.link] is Status.KEPT for other in self._children[entry.predecessor])
        return beside or (self._history is not None and self._history.head.link == entry.predecessor)

    def _rollbacks(self) -> Iterator[Finding]:
        for entry in self._with(Status.ROLLED_BACK):
            if self._is_failed_transaction(entry):
                yield Finding(
                    outcome=Outcome.FAILED_TRANSACTION,
                    message=f"entry {entry.sequence} ({_shown(entry)}) is of a transaction that failed",
                )
            else:
                yield Finding(
                    outcome=Outcome.ROLLBACK,
                    message=f"entry {entry.sequence} ({_shown(entry)}) was rolled back",
                )
        for first, second in self._parallel():
            yield Finding(
                outcome=Outcome.ROLLBACK,
                message=f"two branches have an entry {second.sequence}: {_shown(first)} and {_shown(second)}",
            )

    def _parallel(self) -> Iterator[tuple[Transaction, Transaction]]:
        """Find branches of more than one entry each that have entries of the same number."""
        ends: dict[bytes, int] = {}
        for entry in reversed(self._entries):
            ends[entry.link] = max(
                (ends[child.link] for child in self._children.get(entry.link, ())), default=entry.sequence
            )
        groups = [list(group) for group in self._children.values() if group[0].predecessor in self._by_link]
        groups.append(self._roots())
        for group in groups:
            reached: Transaction | None = None
            for entry in group:  # by their numbers
                if ends[entry.link] == entry.sequence:
                    continue
                if reached is not None and entry.sequence <= ends[reached.link]:
                    yield reached, entry
                if reached is None or ends[entry.link] > ends[reached.link]:
                    reached = entry

    def _missing(self) -> Iterator[Finding]:
        for entry in self._with(Status.ROLLED_BACK_OR_MISSING):
            yield Finding(
                outcome=Outcome.ROLLBACK_OR_MISSING,
                message=f"entry {entry.sequence} ({_shown(entry)}) does not lead to what the CAS has now",
            )
        roots = [root for root in self._roots() if self._statuses[root.link] is Status.KEPT]
        for root in roots[1:]:
            yield Finding(
                outcome=Outcome.ROLLBACK_OR_MISSING,
                message=f"the entry before entry {root.sequence} ({_shown(root)}) is missing",
            )

    def _unknown(self) -> Iterator[Finding]:
        unknown = list(self._with(Status.UNKNOWN))
        if unknown:
            yield Finding(
                outcome=Outcome.ROLLBACK_POSSIBLE,
                message=f"the CAS does not confirm entries {unknown[0].sequence} to {unknown[-1].sequence}",
            )
        elif self._history is None:
            yield Finding(outcome=Outcome.ROLLBACK_POSSIBLE, message="the CAS does not say what its log has to hold")

    def _oldest(self, predecessor: bytes) -> Iterator[Finding]:
        oldest = min(self._kept.values(), key=lambda entry: entry.sequence, default=None) or next(
            iter(self._entries), None
        )
        if oldest is not None and oldest.predecessor != predecessor:
            expected = f"the one after {_signature(predecessor)}" if predecessor else "entry 1"
            yield Finding(
                outcome=Outcome.OLDEST_MISSING,
                message=f"the log begins with entry {oldest.sequence}, after {_signature(oldest.predecessor)}; "
                f"expected {expected}",
            )

    def _newest(self) -> Iterator[Finding]:
        wanted = self._last
        if wanted is None and self._history is not None and self._history.head != EMPTY:
            wanted = self._history.head.link
        if wanted is None or wanted in self._by_link:
            return
        number = f"entry {self._history.head.sequence}" if self._history and self._last is None else "the entry"
        last = f"entry {self._entries[-1].sequence}" if self._entries else "nothing"
        yield Finding(
            outcome=Outcome.NEWEST_MISSING,
            message=f"the log does not have {number} with the signature {_signature(wanted)}; it ends with {last}",
        )

    def _roots(self) -> list[Transaction]:
        return [entry for entry in self._entries if entry.predecessor not in self._by_link]

    def _with(self, status: Status) -> Iterator[Transaction]:
        return (entry for entry in self._entries if self._statuses[entry.link] is status)


def _shown(entry: Transaction) -> str:
    return f"{entry.events[0].event}, {_signature(entry.link)}"


def _signature(link: bytes) -> str:
    return f"{link.hex()[:16]}…" if link else "nothing"
