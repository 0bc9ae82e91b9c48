"""Events that come at the same time, in one transaction: for those that change nothing else, like reading.

Thread-safe. The first of them writes for all; while it waits for the transaction before, others join it.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bannock.errors import BannockError, Bug

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bannock.cas.audit.entry import Event

__all__ = ["Gathering"]


@dataclass(slots=True)
class _Batch:
    events: list[Event] = field(default_factory=list)
    written: threading.Event = field(default_factory=threading.Event)
    failure: BannockError | None = None


class Gathering:
    """Writes events, as many as there are at a time.

    Args:
        write: adds events to the log, durably when it returns.
    """

    def __init__(self, write: Callable[[Sequence[Event]], None]) -> None:
        self._write = write
        self._open: _Batch | None = None
        self._joining = threading.Lock()
        self._turn = threading.Lock()

    def tell(self, event: Event) -> None:
        """Add an event to the log; it is there when this returns.

        Raises:
            BannockError: it could not be written, nor could those that came with it.
        """
        with self._joining:
            batch, leads = self._open, self._open is None
            if batch is None:
                batch = self._open = _Batch()
            batch.events.append(event)
        if leads:
            self._lead(batch)
            return
        batch.written.wait()
        if batch.failure is not None:
            raise copy.copy(batch.failure) from batch.failure

    def _lead(self, batch: _Batch) -> None:
        batch.failure = Bug("a batch of audit events was not written")
        try:
            with self._turn:
                with self._joining:
                    self._open = None
                self._write(batch.events)
                batch.failure = None
        except BannockError as error:
            batch.failure = error
            raise
        finally:
            batch.written.set()
