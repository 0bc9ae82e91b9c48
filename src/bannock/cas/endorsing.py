"""What vendors vouch for, for the verifier of a CAS: kept, asked for, and each quote verified once while that holds.

Thread-safe. Nothing here is within a transaction of the store.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from bannock.errors import ActivationError, BannockError, EvidenceError
from bannock.evidence.collateral.authentic import authentic
from bannock.evidence.collateral.kds import Kds
from bannock.evidence.collateral.library import Library, Vendors
from bannock.evidence.collateral.needs import needs_of
from bannock.evidence.collateral.pcs import Pcs
from bannock.evidence.collateral.store import CollateralStore
from bannock.evidence.collateral.web import VendorWeb
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.evidence.verifier import verify_quote

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from pathlib import Path

    from bannock.cas.collateral_config import CollateralConfig
    from bannock.evidence.appraisal import PlatformAppraisal
    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.quotes import Quote
    from bannock.values import Secret

__all__ = ["Endorsing"]

_log = logging.getLogger(__name__)

#: Appraisals that are remembered: one for each machine, and each of them has some 50 KiB with what it rests on.
_APPRAISALS_MAX: Final = 256
_NEEDS_MAX: Final = 256
_Key: TypeAlias = "tuple[Quote, Endorsements]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a quote came to, when, and whether what came along with it was kept."""

    at: dt.datetime
    appraisal: PlatformAppraisal
    learned: bool = False


class Endorsing:
    """The endorsements of one CAS.

    Args:
        config: where they come from.
        directory: where they are kept, unless the configuration says.
        clock: tells the time.
        subscription_key: gives what the owner subscribed to Intel's service with, or None.
        roots: gives what is trusted at a time beside the vendors' built-in roots: evidence is verified with it.
    """

    def __init__(
        self,
        config: CollateralConfig,
        directory: Path,
        *,
        clock: Callable[[], dt.datetime],
        subscription_key: Callable[[], Secret | None],
        roots: Callable[[dt.datetime], Endorsements] = lambda _: NO_ENDORSEMENTS,
    ) -> None:
        vendors = Vendors()
        if not config.offline:
            web = VendorWeb(ca_file=config.ca_file)
            pcs = Pcs(web, config.pcs, subscription_key=subscription_key)
            vendors = Vendors(intel=pcs, amd=Kds(web, config.kds))
        self.library: Final = Library(
            CollateralStore(config.directory or directory), vendors, clock=clock, refresh=config.refresh
        )
        self.roots: Final = roots
        self._clock = clock
        self._needs = functools.lru_cache(_NEEDS_MAX)(needs_of)
        self._lock = threading.Lock()
        self._appraised: OrderedDict[_Key, _Found] = OrderedDict()

    def appraise(self, quote: Quote, besides: Endorsements, at: dt.datetime) -> PlatformAppraisal:
        """Verify a quote with what is known, what came along, and what vendors are asked for because of it.

        Raises:
            EvidenceError: it does not hold; if that may be for want of endorsements, the reasons tell.
        """
        known, problems = self.library.provide(self._needs(quote, besides), besides=besides)
        try:
            return self._judge(quote, known, besides, at, learn=True)
        except EvidenceError as error:
            if not problems or isinstance(error, ActivationError):
                raise
            raise EvidenceError(
                error.message,
                reasons=error.reasons,
                hint=error.hint or "the CAS lacks collateral: its log and its audit log say which, and why",
                withheld=(*error.withheld, *problems),
            ) from error

    def appraise_known(self, quote: Quote, besides: Endorsements, at: dt.datetime) -> PlatformAppraisal:
        """Verify a quote with what is known and what came along; ask nobody, and keep nothing of it.

        Raises:
            EvidenceError: it does not hold.
        """
        known = self.library.store.held().endorsements(self._needs(quote, besides))
        return self._judge(quote, known, besides, at, learn=False)

    def bring(self, brought: Endorsements) -> tuple[list[str], list[str]]:
        """Keep what somebody brought, as far as vendors vouch for it and it is newer than what there is.

        Returns:
            The names of what is kept, and why the rest does not count.
        """
        at = self._clock()
        good, refused = authentic(replace(brought, roots=()), at, roots=self.roots(at).roots)
        return self.library.store.put(good), refused

    def tend(self) -> None:
        """Have what is kept asked for before it ends; it does not wait for that."""
        try:
            self.library.refresh()
        except BannockError as error:
            _log.warning("collateral cannot be refreshed now: %s", error)

    def close(self) -> None:
        """Wait for no vendor any more."""
        self.library.close()

    def _judge(
        self, quote: Quote, known: Endorsements, besides: Endorsements, at: dt.datetime, *, learn: bool
    ) -> PlatformAppraisal:
        """Verify, or give what was found before: as long as it rests on the same, and none of that has ended."""
        resting = replace(known, roots=besides.roots).merged(besides)
        key = quote, resting
        with self._lock:
            found = self._appraised.get(key)
            if found is not None:
                self._appraised.move_to_end(key)
        if found is None or not (found.at <= at and all(at < bound.until for bound in found.appraisal.bounds)):
            found = _Found(at=at, appraisal=verify_quote(quote, resting, at))
        if learn and not found.learned:
            if found.appraisal.genuine:
                self._learn(besides, at)
            found = replace(found, learned=True)
        with self._lock:
            self._appraised[key] = found
            while len(self._appraised) > _APPRAISALS_MAX:
                self._appraised.popitem(last=False)
        return found.appraisal

    def _learn(self, besides: Endorsements, at: dt.datetime) -> None:
        """Keep what came along with evidence that holds, if a vendor vouches for it: the next may come without."""
        good, _ = authentic(replace(besides, roots=()), at, roots=besides.roots)
        try:
            self.library.store.put(good)
        except BannockError as error:
            _log.warning("collateral that came along with evidence cannot be kept: %s", error)
