"""A library of collateral: what is kept, asked for anew before it ends, and added to where evidence needs more.

Thread-safe. Whoever verifies evidence is never held up for what it has already: vendors are asked on threads of the
library, and waited for only where something is missing altogether, and not long.
"""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

from bannock.errors import BannockError, EnvironmentFault
from bannock.evidence.collateral.authentic import authentic
from bannock.evidence.collateral.needs import AmdChainNeed, IntelNeed, VcekNeed
from bannock.evidence.collateral.store import Held
from bannock.evidence.endorsements import NO_ENDORSEMENTS, Endorsements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bannock.evidence.collateral.kds import Kds
    from bannock.evidence.collateral.needs import Need
    from bannock.evidence.collateral.pcs import Pcs
    from bannock.evidence.collateral.store import CollateralStore

__all__ = ["Library", "Vendors"]

_log = logging.getLogger(__name__)

#: Collateral is good for 30 days; it is asked for this long before it ends, whatever else is said.
_BEFORE_END: Final = dt.timedelta(days=7)
#: What a vendor did not give is not asked for again at once.
_PAUSE: Final = dt.timedelta(minutes=2)
#: Needs that are remembered; whoever makes them up pushes out nothing but what was made up too.
_REMEMBERED_MAX: Final = 1024
_WAITING_MAX: Final = 64
_THREADS: Final = 4
_Vendor = TypeVar("_Vendor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """Whom to ask; None for nobody."""

    intel: Pcs | None = None
    amd: Kds | None = None


class Library:
    """The collateral of one program.

    Args:
        store: where it is kept.
        vendors: whom to ask for more.
        clock: tells the time.
        refresh: how often what is kept is asked for anew, so that a recovery of the vendor is noticed.
        patience: seconds that evidence waits for what is missing.
    """

    def __init__(
        self,
        store: CollateralStore,
        vendors: Vendors,
        *,
        clock: Callable[[], dt.datetime],
        refresh: dt.timedelta = dt.timedelta(hours=24),
        patience: float = 8.0,
    ) -> None:
        self.store: Final = store
        self._vendors = vendors
        self._clock = clock
        self._refresh = refresh
        self._patience = patience
        self._lock = threading.Lock()
        self._threads: concurrent.futures.ThreadPoolExecutor | None = None
        self._asked: dict[Need, concurrent.futures.Future[None]] = {}
        self._answered: OrderedDict[Need, dt.datetime] = OrderedDict()
        self._failed: OrderedDict[Need, tuple[dt.datetime, str]] = OrderedDict()

    def provide(
        self, needs: Sequence[Need], *, besides: Endorsements = NO_ENDORSEMENTS
    ) -> tuple[Endorsements, list[str]]:
        """Give what is kept for needs, after waiting for what is neither there nor came along.

        Args:
            needs: of the evidence.
            besides: what came along with it.

        Returns:
            What there is, and why there is no more: lines for people.
        """
        at = self._clock()
        held = self.store.held()
        absent = [need for need in needs if not _has(held, need, at)]
        if absent and besides:
            came = Held.of(besides)
            absent = [need for need in absent if not _has(came, need, at)]
        self._ask(need for need in needs if need not in absent and self._is_due(held, need, at))
        waiting = self._ask(absent)
        concurrent.futures.wait(waiting, timeout=self._patience)
        if absent:
            held = self.store.held()
        problems = [self._problem(need) for need in absent if not _has(held, need, at)]
        return held.endorsements(needs), problems

    def refresh(self) -> int:
        """Ask for what is kept and will end, or was not asked for in a while; give how many questions there are now.

        It does not wait for the answers.
        """
        held, at = self.store.held(), self._clock()
        kept: list[Need] = list(dict.fromkeys(each.need for each in held.intel))
        kept += [AmdChainNeed(product=name, signer="vcek") for name in _lines(held)]
        return len(self._ask(need for need in kept if self._is_due(held, need, at)))

    def missing(self, needs: Iterable[Need], found: Endorsements) -> list[Need]:
        """Tell which needs are not answered by something that has not ended."""
        at, held = self._clock(), Held.of(found)
        return [need for need in needs if not _has(held, need, at)]

    def fetch(self, needs: Iterable[Need]) -> list[str]:
        """Ask for needs now, wait for all answers, and give what went wrong, a line each."""
        wanted = list(needs)
        concurrent.futures.wait(self._ask(wanted, again=True))
        with self._lock:
            return [f"{need}: {self._failed[need][1]}" for need in wanted if need in self._failed]

    @property
    def waits(self) -> bool:
        """Whether an answer is waited for."""
        with self._lock:
            return bool(self._asked)

    def close(self) -> None:
        """Wait for nobody any more."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)

    def _is_due(self, held: Held, need: Need, at: dt.datetime) -> bool:
        if isinstance(need, VcekNeed):
            return False
        with self._lock:
            answered = self._answered.get(need)
        until = _until(held, need)
        if until is not None and until - at < _BEFORE_END:
            return answered is None or at - answered > min(self._refresh, _BEFORE_END / 24)
        return answered is None or at - answered > self._refresh

    def _ask(self, needs: Iterable[Need], *, again: bool = False) -> list[concurrent.futures.Future[None]]:
        wanted, at = list(needs), self._clock()
        waiting = []
        with self._lock:
            for need in wanted:
                failed = self._failed.get(need)
                if not again and failed is not None and at - failed[0] < _PAUSE:
                    continue
                if need not in self._asked:
                    if not self._may_ask(need) or len(self._asked) >= _WAITING_MAX:
                        continue
                    if self._threads is None:
                        self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS, "bannock-collateral")
                    self._asked[need] = self._threads.submit(self._answer, need)
                waiting.append(self._asked[need])
        return waiting

    def _may_ask(self, need: Need) -> bool:
        return (self._vendors.intel if isinstance(need, IntelNeed) else self._vendors.amd) is not None

    def _answer(self, need: Need) -> None:
        """Ask a vendor, and keep what holds."""
        problem: str | None = None
        try:
            at = self._clock()
            answer = self._get(need)
            good, reasons = authentic(answer, at)
            self.store.put(good)
            if reasons:
                problem = "; ".join(reasons)
        except BannockError as error:
            problem = str(error)
        except Exception as error:
            problem = f"{type(error).__name__}"
            raise
        finally:
            with self._lock:
                self._remember(need, problem)
                self._asked.pop(need, None)
        if problem is not None:
            _log.warning("collateral for %s was not refreshed: %s", need, problem)

    def _remember(self, need: Need, problem: str | None) -> None:
        at = self._clock()
        if problem is None:
            self._failed.pop(need, None)
            self._answered[need] = at
        else:
            self._failed[need] = at, problem
        for each in (self._answered, self._failed):
            if len(each) > _REMEMBERED_MAX:
                each.popitem(last=False)

    def _get(self, need: Need) -> Endorsements:
        match need:
            case IntelNeed():
                return Endorsements(dcap=(self._required(self._vendors.intel).collateral(need).text,))
            case AmdChainNeed():
                kds = self._required(self._vendors.amd)
                return Endorsements(
                    certificates=tuple(each.der for each in kds.chain(need)), crls=(kds.revoked(need).der,)
                )
            case VcekNeed():
                return Endorsements(certificates=(self._required(self._vendors.amd).chip(need).der,))
            case _:
                assert_never(need)

    @staticmethod
    def _required(vendor: _Vendor | None) -> _Vendor:
        if vendor is None:
            raise EnvironmentFault("nobody is asked for collateral here: it is offline")
        return vendor

    def _problem(self, need: Need) -> str:
        with self._lock:
            failed = self._failed.get(need)
            waits = need in self._asked
        if failed is not None:
            return f"{need} is not at hand: {failed[1]}"
        if waits:
            return f"{need} is not at hand: the vendor has not answered in {self._patience:.0f} s, and is waited for"
        return f"{need} is not at hand, and nobody is asked for it here: import it (scone cas collateral import)"


def _has(held: Held, need: Need, at: dt.datetime) -> bool:
    """Whether there is an answer to a need that has not ended."""
    match need:
        case IntelNeed():
            found = held.collateral(need)
            return found is not None and at < found.until
        case AmdChainNeed():
            crl = held.revoked(need)
            return crl is not None and (crl.until is None or at < crl.until) and held.has_chain(need)
        case VcekNeed():
            chip = held.chip(need)
            return chip is not None and at <= chip.until
        case _:
            assert_never(need)


def _until(held: Held, need: Need) -> dt.datetime | None:
    match need:
        case IntelNeed():
            found = held.collateral(need)
            return None if found is None else found.until
        case AmdChainNeed():
            crl = held.revoked(need)
            return None if crl is None else crl.until
        case _:
            return None


def _lines(held: Held) -> list[str]:
    """Give the lines of AMD's products of which a revocation list is kept."""
    return sorted(
        {crl.name.removeprefix("ARK-") for crl in held.newest_crls().values() if crl.name.startswith("ARK-")}
    )
