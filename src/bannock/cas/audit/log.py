"""The audit log as a CAS has it: what it says of itself there, how it is configured, and what its owner is told of it.

Thread-safe.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from typing import TYPE_CHECKING, Final, Protocol

from bannock.cas.audit.certificates import audit_report_data
from bannock.cas.audit.chain import verify_chain
from bannock.cas.audit.config import Mode
from bannock.cas.audit.entry import Event
from bannock.cas.audit.findings import History
from bannock.cas.audit.verification import REPORT_EVENT
from bannock.errors import BannockError, causes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.cas.audit.config import AuditLogConfig
    from bannock.cas.audit.entry import AuditEntry, ChainHead, Facts
    from bannock.cas.store import Store

__all__ = ["Attester", "AuditLog"]

_log = logging.getLogger(__name__)

#: Entries and bytes that are given at once; who wishes for more asks again.
_ENTRIES_MAX: Final = 10_000
_BYTES_MAX: Final = 4 << 20
#: Events that nobody waits for are gathered for this long, …
_GATHER_SECONDS: Final = 0.1
#: … and not more of them while the log takes none.
_GATHERED_MAX: Final = 10_000
_ATTEST_AGAIN_SECONDS: Final = 60.0


class Attester(Protocol):
    """Gives evidence of this CAS."""

    def evidence(self, data: bytes, /) -> bytes:
        """Give evidence that is bound to 64 bytes."""


class AuditLog:
    """The audit log of one CAS."""

    def __init__(self, store: Store, attester: Attester) -> None:
        self._store = store
        self._attester = attester
        self._gathered: list[Event] = []
        self._lock = threading.Lock()
        self._flushing: threading.Timer | None = None
        self._attesting: threading.Timer | None = None
        self._closed = False

    def start(self, config: AuditLogConfig) -> None:
        """Say that the CAS starts, with what ties the signing key to it.

        Raises:
            EnvironmentFault: the sink takes no entry.
        """
        self._store.journal.configure(config)
        self._tell([self._store.journal.started(), *self._store.opening, *self._report()])

    def configure(self, config: AuditLogConfig) -> None:
        """Write the log in another way from now on; the log says so itself.

        Raises:
            EnvironmentFault: the new sink takes no entry, so all stays as it is.
        """
        journal, before = self._store.journal, self._store.journal.config
        if config == before:
            return
        events = journal.change_of(config)
        if config.mode is not Mode.DISABLED:
            journal.configure(config)
            events += self._report()
        try:
            self._tell(events)
        except BaseException:
            journal.configure(before)
            raise
        journal.configure(config)

    def gather(self, event: str, facts: Facts) -> None:
        """Tell of something that has happened already and that nobody waits for; soon it is in the log."""
        with self._lock:
            if len(self._gathered) >= _GATHERED_MAX:
                _log.error("the audit log takes no entry, and what nobody waits for is not told: %s", event)
                return
            self._gathered.append(Event(event=event, facts=facts))
            if self._flushing is None and not self._closed:
                self._flushing = threading.Timer(_GATHER_SECONDS, self._flush)
                self._flushing.daemon = True
                self._flushing.start()

    def places(self, first: int, last: int | None) -> History:
        """Give the newest entry's place and checkpoints.

        Args:
            first: number of the first entry that is of interest.
            last: of the last one, which is a checkpoint too if it is known; the newest without it.
        """
        with self._store.reading() as view:
            head = view.audit_head()
            end = head.sequence if last is None else min(last, head.sequence)
            checkpoints = view.audit_checkpoints(first, end)
        return History(
            head=head,
            checkpoints=tuple(place for place in checkpoints if place != head),
            certificate_chain=tuple(self._store.journal.chain),
        )

    def lines(self, first: int, last: int | None) -> bytes:
        """Give entries as lines, as many as fit into one answer; none where the database has none from there on."""
        lines: list[bytes] = []
        size = 0
        with self._store.reading() as view:
            for entry in itertools.islice(view.audit_entries(first, last), _ENTRIES_MAX):
                lines.append(entry.to_line() + b"\n")
                size += len(lines[-1])
                if size > _BYTES_MAX:
                    break
        return b"".join(lines)

    def verified(self, heads: Sequence[ChainHead] = ()) -> list[AuditEntry]:
        """Verify what the database has, from the first entry on, and give what it says.

        Raises:
            IntegrityError: an entry was changed, removed, put in or moved, or entries at the end are missing.
        """
        with self._store.reading() as view:
            return verify_chain(view.audit_entries(), self._store.audit_key, heads=[*heads, view.audit_head()])

    def close(self) -> None:
        """Say that the CAS exits; a log that takes no entry does not keep it from that."""
        with self._lock:
            self._closed = True
            for timer in (self._flushing, self._attesting):
                if timer is not None:
                    timer.cancel()
        self._flush()
        try:
            self._tell([Event(event="cas_exited", facts={})])
        except BannockError as error:
            _log.warning("the audit log does not say that this CAS exited: %s", _shown(error))

    def _tell(self, events: Sequence[Event]) -> None:
        with self._store.changing() as change:
            for each in events:
                change.audit(each.event, each.facts)

    def _flush(self) -> None:
        with self._lock:
            events, self._gathered = self._gathered, []
            self._flushing = None
        if not events:
            return
        try:
            self._tell(events)
        except BannockError as error:
            _log.warning("the audit log does not say yet what nobody waits for: %s", _shown(error))
            with self._lock:
                self._gathered[:0] = events  # with the next one that comes, or at the end

    def _report(self) -> list[Event]:
        """Attest the signing key; if that is not to be had now, it is tried again later."""
        if self._store.journal.config.mode is not Mode.SIGNED:
            return []
        key = self._store.audit_key.public_bytes_raw()
        try:
            evidence = self._attester.evidence(audit_report_data(key))
        except BannockError as error:
            _log.warning("the key of the audit log is not attested yet: %s", _shown(error))
            with self._lock:
                if self._attesting is None and not self._closed:
                    self._attesting = threading.Timer(_ATTEST_AGAIN_SECONDS, self._report_late)
                    self._attesting.daemon = True
                    self._attesting.start()
            return []
        return [Event(event=REPORT_EVENT, facts={"signing_key": key.hex(), "report": evidence.decode("utf-8")})]

    def _report_late(self) -> None:
        with self._lock:
            self._attesting = None
        with contextlib.suppress(BannockError):
            self._tell(self._report())


def _shown(error: BannockError) -> str:
    return "; ".join(str(cause) for cause in causes(error))
