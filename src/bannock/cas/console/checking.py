"""The verification of the audit log for a page: entry by entry from the first one, some of them for each request.

What was verified stays verified for a while, so a page that is looked at again and again goes on where it was. It is
the CAS's own check of what it has itself: who does not trust the CAS keeps ends of the log and verifies it outside.
Thread-safe.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bannock.cas.audit.entry import EMPTY, ChainHead
from bannock.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.cas.audit.entry import Transaction
    from bannock.cas.store import Store

__all__ = ["Checked", "LogCheck"]

#: How long one request verifies.
_SECONDS: Final = 0.5
#: When it begins anew with the first entry.
_AGAIN: Final = dt.timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How far the log is verified.

    Attributes:
        upto: the last entry that is.
        head: the newest one.
        unsigned: how many entries have no signature, because the owner wished for none then.
        since: when the verification began.
        problem: why it cannot go on, or None.
    """

    upto: ChainHead = EMPTY
    head: int = 0
    unsigned: int = 0
    since: dt.datetime
    problem: str | None = None

    @property
    def whole(self) -> bool:
        """Whether every entry is verified."""
        return self.problem is None and self.upto.sequence == self.head


class LogCheck:
    """The verification of one CAS's log.

    Args:
        store: that has it.
        clock: tells the time.
        seconds: how long one request verifies.
    """

    def __init__(self, store: Store, *, clock: Callable[[], dt.datetime], seconds: float = _SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._checked: Checked | None = None

    def go_on(self) -> Checked:
        """Verify some more, and tell how far that is."""
        now = self._clock()
        with self._lock:
            found = self._checked
            if found is None or found.problem is not None or now - found.since > _AGAIN:
                found = Checked(since=now)
            found = self._checked = self._further(found)
            return found

    def _further(self, checked: Checked) -> Checked:
        deadline = time.monotonic() + self._seconds
        with self._store.reading() as view:
            head = view.audit_head()
            upto, unsigned = checked.upto, checked.unsigned
            try:
                for entry in view.audit_entries(upto.sequence + 1, head.sequence):
                    self._verify(entry, upto)
                    upto, unsigned = entry.head, unsigned + (entry.signature is None)
                    if time.monotonic() > deadline:
                        break
                else:
                    _require_end(upto, head)
            except IntegrityError as error:
                return replace(checked, upto=upto, head=head.sequence, unsigned=unsigned, problem=str(error))
        return replace(checked, upto=upto, head=head.sequence, unsigned=unsigned)

    def _verify(self, entry: Transaction, before: ChainHead) -> None:
        expected = before.sequence + 1
        if entry.sequence != expected:
            raise IntegrityError(f"audit entry {expected} is not in the database: after it comes {entry.sequence}")
        if entry.signature is not None:
            entry.verify(self._store.audit_key)
        if entry.predecessor != before.link:
            raise IntegrityError(f"audit entry {expected} does not follow the entry before it")


def _require_end(upto: ChainHead, head: ChainHead) -> None:
    if upto != head:
        raise IntegrityError(
            f"the audit log in the database ends with entry {upto.sequence}, and its newest one is {head.sequence}"
        )
