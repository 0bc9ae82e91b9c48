"""The writer of the audit log: what a transaction did becomes one entry, in the sink before the transaction commits.

An entry whose transaction fails afterwards stays in the sink, and the next one has its number and its predecessor; so
the log may say too much by one transaction, and never too little. Used inside of transactions that change the audit
log, which the database lets happen one after the other; within one process, a lock does.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from bannock import __version__
from bannock.cas.audit.certificates import certify_audit_key
from bannock.cas.audit.config import AuditLogConfig, DatabaseOnly, Keep, Mode, OnFull, ToFile, ToServer
from bannock.cas.audit.entry import EMPTY, Event, sign_entry
from bannock.cas.audit.rows import CHECKPOINT_EVERY, Dropped
from bannock.cas.audit.sink import FileSink, HttpSink
from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from bannock.cas.audit.entry import ChainHead, Transaction
    from bannock.cas.audit.rows import AuditRows, AuditState
    from bannock.cas.audit.sink import Sink
    from bannock.net.tls import Identity

__all__ = ["Journal"]

_log = logging.getLogger(__name__)

#: After a failure the sink is left alone for this long where operations go on without it.
_PAUSE_SECONDS: Final = 2.0
#: Entries that a new sink gets of those before it; more of them, the owner can ask for.
_CATCH_UP_MAX: Final = 10_000
#: Events that carry the certificate chain.
CHAIN_FACT: Final = "certificate_chain"


class Journal:
    """Writes the audit log of one CAS."""

    def __init__(
        self, key: Ed25519PrivateKey, identity: Identity, path: Path, *, clock: Callable[[], dt.datetime]
    ) -> None:
        """Prepare to write into the database alone.

        Args:
            key: signs entries.
            identity: of the CAS, which certifies that key.
            path: of the file, if the log goes to one.
            clock: tells the time of entries.
        """
        self.chain: Final = certify_audit_key(key.public_key(), identity)
        self._key = key
        self._cas = identity.key_hash
        self._path = path
        self._clock = clock
        self._config = AuditLogConfig()
        self._told = False
        self._catch_up = False
        self._sink: Sink | None = None
        self._paused_until = 0.0
        self._lock = threading.Lock()

    @property
    def config(self) -> AuditLogConfig:
        """How it writes."""
        return self._config

    def configure(self, config: AuditLogConfig) -> None:
        """Write in another way from the next entry on; what says so in the log is :meth:`change_of`."""
        with self._lock:
            # Who configures the same once more does not overrule what another process was told since.
            if config != self._config:
                self._use(config)
                self._told = False

    def started(self) -> Event:
        """Give the event of a CAS that starts."""
        return Event(event="cas_started", facts={"version": __version__, **self._facts(self._config)})

    def change_of(self, config: AuditLogConfig) -> list[Event]:
        """Give the events of a configuration that is to be put in place of the present one."""
        if config == self._config:
            return []
        if config.mode is Mode.DISABLED:
            return [Event(event="audit_log_disabled", facts={})]
        return [Event(event="audit_log_enabled", facts=self._facts(config))]

    def append(self, rows: AuditRows, events: Sequence[Event]) -> None:
        """Add what a transaction did to the log; the transaction is to be committed at once after this.

        Raises:
            EnvironmentFault: the sink does not take it, and the owner wishes that nothing is done then.
        """
        if not events:
            return
        with self._lock:
            state = rows.state()
            self._agree(rows, state)
            if self._config.mode is Mode.DISABLED:
                return
            head, dropped = state.head, state.dropped
            try:
                fresh = self._sink is not None and self._begin(self._sink, rows, head)
            except EnvironmentFault as error:
                self._give_up_or_raise(error)
                fresh, taken = False, False
            else:
                taken = True
            told = list(events)
            if fresh and head != EMPTY:
                # Whoever rotates the file gets one that can be verified by itself, and has its last entry known here.
                told.insert(0, Event(event="audit_log_rotated", facts={CHAIN_FACT: self.chain}))
                rows.put_checkpoint(head)
            if taken and dropped.count:
                told.insert(0, Event(event="audit_log_entries_dropped", facts=_told_dropped(dropped)))
            entry = sign_entry(
                self._key, head, at=self._clock(), cas=self._cas, events=told, signed=self._config.mode is Mode.SIGNED
            )
            taken = taken and self._write(entry)
            self._keep(rows, entry)
            if not taken:
                rows.put_dropped(dropped.with_entry(entry.sequence))
            elif dropped.count:
                rows.put_dropped(Dropped())

    def close(self) -> None:
        """Close the sink."""
        with self._lock:
            if self._sink is not None:
                self._sink.close()

    def _use(self, config: AuditLogConfig) -> None:
        if config.sink != self._config.sink:
            if self._sink is not None:
                self._sink.close()
            self._sink = _sink(config, self._path)
        self._config = config
        self._paused_until = 0.0

    def _agree(self, rows: AuditRows, state: AuditState) -> None:
        """Write as all processes of this CAS do: as the one does that was configured last."""
        if self._told and state.config is not None and state.config != self._config:
            self._use(state.config)
        elif state.config != self._config:
            self._catch_up = state.config is not None and state.config.sink != self._config.sink
            rows.put_config(self._config)
        self._told = True

    def _begin(self, sink: Sink, rows: AuditRows, head: ChainHead) -> bool:
        """Get the sink ready, and tell whether it has nothing of this log; one that is new gets what there is."""
        if time.monotonic() < self._paused_until:
            raise EnvironmentFault("the audit log could not be written a moment ago")
        fresh = sink.begin()
        if self._catch_up and (fresh or not isinstance(sink, FileSink)) and head.sequence <= _CATCH_UP_MAX:
            before = [entry.to_line() for entry in rows.entries()]
            if len(before) == head.sequence:
                sink.write(*before)
                fresh = False
        self._catch_up = False
        return fresh

    def _write(self, entry: Transaction) -> bool:
        if self._sink is None:
            return True
        try:
            self._sink.write(entry.to_line())
        except EnvironmentFault as error:
            self._give_up_or_raise(error)
            return False
        return True

    def _give_up_or_raise(self, error: EnvironmentFault) -> None:
        if self._config.on_full is OnFull.STOP:
            raise EnvironmentFault(
                "nothing is done that cannot be logged, and the audit log takes no entry now"
            ) from error
        if time.monotonic() >= self._paused_until:
            _log.error("an entry is in the database alone: %s", error)
            self._paused_until = time.monotonic() + _PAUSE_SECONDS

    def _keep(self, rows: AuditRows, entry: Transaction) -> None:
        if self._config.keep is Keep.ALL:
            rows.put_entry(entry)
        elif entry.sequence % CHECKPOINT_EVERY == 0:
            rows.put_checkpoint(entry.head)
        rows.put_head(entry.head)

    def _facts(self, config: AuditLogConfig) -> dict[str, str | list[str] | None]:
        match config.sink:
            case ToFile():
                sink = "file"
            case ToServer():
                sink = "network"
            case DatabaseOnly():
                sink = "database"
        return {"mode": str(config.mode), "sink": sink, CHAIN_FACT: self.chain}


def _sink(config: AuditLogConfig, path: Path) -> Sink | None:
    match config.sink:
        case ToFile():
            return FileSink(path)
        case ToServer() as server:
            return HttpSink(server)
        case DatabaseOnly():
            return None


def _told_dropped(dropped: Dropped) -> dict[str, str | list[str] | None]:
    return {"count": str(dropped.count), "first": str(dropped.first), "last": str(dropped.last)}
