"""Renews the key and the quote of a LAS from time to time, and when it is asked to, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import BannockError

if TYPE_CHECKING:
    from bannock.evidence.platforms import ReportAttester

__all__ = ["RENEW_HOURS", "Renewal"]

_log = logging.getLogger("bannock.las")

#: Often enough that a new microcode or certificate counts on the day after, seldom enough for slow hardware.
RENEW_HOURS: Final = 12.0
_HOUR_SECONDS: Final = 3600.0
#: What failed is tried again before long: the evidence that is in force may have expired.
_AGAIN_SECONDS: Final = 300.0
_STOP_SECONDS: Final = 5.0


class Renewal:
    """Renews until the context is left; :meth:`now` may be called from a signal handler.

    Args:
        attester: what is renewed.
        hours: between two renewals.
    """

    def __init__(self, attester: ReportAttester, hours: float = RENEW_HOURS) -> None:
        self._attester = attester
        self._seconds = hours * _HOUR_SECONDS
        self._asked = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="bannock-las-renewal", daemon=True)

    def now(self) -> None:
        """Renew as soon as possible."""
        self._asked.set()

    def _run(self) -> None:
        wait = self._seconds
        while True:
            self._asked.wait(wait)
            self._asked.clear()
            if self._ended:
                return
            try:
                self._attester.renew()
            except BannockError as error:
                _log.error("the quote could not be renewed, and the one that was there is in force: %s", error)
                wait = min(_AGAIN_SECONDS, self._seconds)
            else:
                _log.info("platform %s: key and quote are renewed", self._attester.platform)
                wait = self._seconds

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._asked.set()
        self._thread.join(_STOP_SECONDS)
