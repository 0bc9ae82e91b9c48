"""The forecast: when services would stop attesting, and why; and what new collateral would change.

Thread-safe; reads the store and asks nobody. Every evidence that is remembered is judged again: by what is known of
vendors, at a time, and by the session in force. So what is told is what would happen, not what was written down once.
"""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bannock.cas.remembered import forget_old, recall, recall_quote
from bannock.cas.service_parts import DECIDING, find_parts
from bannock.errors import BannockError, DeniedError, EvidenceError, NotFoundError, causes
from bannock.evidence.collateral.authentic import authentic
from bannock.evidence.collateral.needs import needs_of
from bannock.evidence.endorsements import NO_ENDORSEMENTS, Endorsements
from bannock.evidence.report import Report
from bannock.evidence.verifier import verify
from bannock.policy.inheritance import decide_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bannock.cas.endorsing import Endorsing
    from bannock.cas.remembered import Remembered
    from bannock.cas.sessions import Sessions
    from bannock.cas.store import Store
    from bannock.evidence.appraisal import Appraisal, PlatformAppraisal
    from bannock.evidence.collateral.needs import Need
    from bannock.evidence.envelope import Envelope
    from bannock.evidence.quotes import Quote
    from bannock.policy.claims import Claims
    from bannock.policy.session import Session

__all__ = ["Forecasting", "Outlook", "Replay"]

#: How long an answer for the metrics is good: they are asked for every few seconds.
_TOLD_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When one service on one machine would stop attesting.

    Attributes:
        session, service, machine, platform: whose evidence it is.
        seen: when it came.
        until: when it would stop; None for never, as far as can be told.
        why: what ends then; or, of one that would be refused already, why.
        remedy: what has to be done before.
        stopped: whether it would be refused already.
    """

    session: str
    service: str
    machine: str
    platform: str
    seen: dt.datetime
    until: dt.datetime | None
    why: tuple[str, ...]
    remedy: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What new collateral, or another version of a session, would change.

    Attributes:
        total: how many evidences were judged.
        stops: those that hold today, and would not then.
        recovers: those that do not hold today, and would.
        refused: why parts of the new collateral do not count.
    """

    total: int
    stops: tuple[Outlook, ...]
    recovers: tuple[Outlook, ...]
    refused: tuple[str, ...]


class Forecasting:
    """Judges what is remembered.

    Args:
        store: has it.
        sessions: by which it is decided on.
        endorsing: has what vendors vouch for.
        clock: tells the time.
    """

    def __init__(
        self, store: Store, sessions: Sessions, endorsing: Endorsing, *, clock: Callable[[], dt.datetime]
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._endorsing = endorsing
        self._clock = clock
        self._lock = threading.Lock()
        self._told: tuple[dt.datetime, Mapping[str, float]] | None = None

    @property
    def now(self) -> dt.datetime:
        """The time."""
        return self._clock()

    def forecast(self, *, days: int | None = None) -> list[Outlook]:
        """Tell of every service on every machine when it would stop, the first to stop first.

        Args:
            days: tell only of those that would within so many.
        """
        at = self._clock()
        found = self._judged(at, self._endorsing.appraise_known)
        if days is not None:
            end = at + dt.timedelta(days=days)
            found = [each for each in found if each.stopped or (each.until is not None and each.until <= end)]
        return sorted(found, key=_order)

    def replay(self, brought: Endorsements, *, at: dt.datetime | None = None) -> Replay:
        """Judge everything with new collateral, and tell what would change; nothing is kept of it.

        Args:
            brought: the collateral; what no vendor vouches for does not count.
            at: at which time; now unless it is said.
        """
        now = at or self._clock()
        good, refused = authentic(brought, now, roots=self._endorsing.roots(now).roots)

        def with_it(quote: Quote, besides: Endorsements, when: dt.datetime) -> PlatformAppraisal:
            return self._endorsing.appraise_known(quote, replace(good, roots=besides.roots).merged(besides), when)

        before = self._judged(now, self._endorsing.appraise_known)
        return _changed(before, self._judged(now, with_it), refused)

    def replay_session(self, session: Session) -> Replay:
        """Judge what is remembered of a session by another version of it, and tell what would change.

        Services that the other version does not have any more are not told of.
        """
        now = self._clock()
        before = [each for each in self._judged(now, self._endorsing.appraise_known) if each.session == session.name]
        return _changed(before, self._judged(now, self._endorsing.appraise_known, session), ())

    def needed(self, *, refresh: bool) -> tuple[Endorsements, list[str]]:
        """Give all collateral that remembered evidence needs, and what could not be had, a line each.

        Args:
            refresh: whether vendors are asked first.
        """
        needs: dict[Need, None] = {}
        besides = NO_ENDORSEMENTS
        with self._store.reading() as view:
            quotes = {each.quote for each in recall(view)}
            envelopes = [each for each in (recall_quote(view, quote) for quote in quotes) if each is not None]
        for envelope in envelopes:
            along = _along(envelope)
            needs |= dict.fromkeys(needs_of(envelope.quote, along))
            besides = besides.merged(along)
        library = self._endorsing.library
        problems = library.fetch(needs) if refresh else []
        at = self._clock()
        along, _ = authentic(besides, at, roots=self._endorsing.roots(at).roots)
        found = library.store.held().endorsements(needs).merged(along)
        missing = library.missing(list(needs), found)
        return replace(found, roots=()), problems or [f"{need} is not at hand" for need in missing]

    def expiry(self) -> Mapping[str, float]:
        """Give for each platform how many seconds are left until the first of its services would stop; 0 for now."""
        at = self._clock()
        with self._lock:
            told = self._told
        if told is None or not 0 <= (at - told[0]).total_seconds() < _TOLD_SECONDS:
            found: dict[str, float] = {}
            for each in self.forecast():
                left = 0.0 if each.stopped else _seconds(at, each.until)
                found[each.platform] = min(found.get(each.platform, left), left)
            told = at, found
            with self._lock:
                self._told = told
        passed = (at - told[0]).total_seconds()
        return {platform: max(0.0, left - passed) for platform, left in told[1].items()}

    def tend(self) -> None:
        """Forget machines that have gone."""
        with self._store.reading() as view:
            if next(iter(recall(view)), None) is None:
                return
        with self._store.changing() as change:
            forget_old(change, self._clock())

    def _judged(
        self,
        at: dt.datetime,
        appraise: Callable[[Quote, Endorsements, dt.datetime], PlatformAppraisal],
        instead: Session | None = None,
    ) -> list[Outlook]:
        found, roots = [], self._endorsing.roots(at)
        with self._store.reading() as view:
            remembered = list(recall(view))
            envelopes = {quote: recall_quote(view, quote) for quote in {each.quote for each in remembered}}
        for each in remembered:
            quote = envelopes[each.quote]
            if quote is None or (instead is not None and each.session != instead.name):
                continue
            try:
                appraisal = _appraised(each, quote, at, roots, appraise)
                self._decide(each, appraisal.claims, instead)
            except NotFoundError:
                # The session has no such service any more: nothing of it can stop.
                continue
            except (EvidenceError, DeniedError) as error:
                found.append(_stopped(each, at, error))
            else:
                found.append(_outlook(each, appraisal))
        return found

    def _decide(self, remembered: Remembered, claims: Claims, instead: Session | None) -> None:
        """Ask the session in force, or another version, as far as it can be asked without its secrets."""
        with self._store.reading() as view:
            parts = find_parts(self._sessions, view, remembered.session, remembered.service, instead=instead)
        if not any(session.unbound & DECIDING for session in parts.sessions):
            decide_parts(parts, replace(claims, singleton=True))


def _changed(before: Iterable[Outlook], after: Sequence[Outlook], refused: Iterable[str]) -> Replay:
    stopped = {_key(each): each.stopped for each in before}
    stops = [each for each in after if each.stopped and not stopped.get(_key(each), False)]
    recovers = [each for each in after if not each.stopped and stopped.get(_key(each), False)]
    return Replay(
        total=len(after),
        stops=tuple(sorted(stops, key=_order)),
        recovers=tuple(sorted(recovers, key=_order)),
        refused=tuple(refused),
    )


def _appraised(
    remembered: Remembered,
    quote: Envelope,
    at: dt.datetime,
    roots: Endorsements,
    appraise: Callable[[Quote, Endorsements, dt.datetime], PlatformAppraisal],
) -> Appraisal:
    envelope = remembered.envelope(quote)
    # It was bound to a connection that nobody has any more; that it is fresh is not asked here.
    data = Report.from_json(envelope.report).data
    return verify(envelope.to_json(), expected_report_data=data, at=at, endorsements=roots, appraise=appraise)


def _outlook(remembered: Remembered, appraisal: Appraisal) -> Outlook:
    first = min(appraisal.bounds, default=None)
    return Outlook(
        **_whose(remembered),
        until=None if first is None else first.until,
        why=() if first is None else (first.what,),
        remedy="" if first is None else first.remedy,
    )


def _stopped(remembered: Remembered, at: dt.datetime, error: BannockError) -> Outlook:
    lines = []
    for cause in causes(error):
        lines += [str(cause), *getattr(cause, "reasons", ())]
    return Outlook(
        **_whose(remembered), until=at, why=tuple(dict.fromkeys(lines)), remedy=error.hint or "", stopped=True
    )


def _whose(remembered: Remembered) -> dict[str, Any]:
    return {
        "session": remembered.session,
        "service": remembered.service,
        "machine": remembered.machine,
        "platform": remembered.platform,
        "seen": dt.datetime.fromtimestamp(remembered.at, dt.UTC),
    }


def _along(envelope: Envelope) -> Endorsements:
    try:
        return Endorsements.from_json(envelope.endorsements) if envelope.endorsements else NO_ENDORSEMENTS
    except EvidenceError:
        return NO_ENDORSEMENTS


def _order(outlook: Outlook) -> tuple[bool, dt.datetime, str, str, str]:
    until = outlook.until or dt.datetime.max.replace(tzinfo=dt.UTC)
    return not outlook.stopped, until, outlook.session, outlook.service, outlook.machine


def _key(outlook: Outlook) -> tuple[str, str, str]:
    return outlook.session, outlook.service, outlook.machine


def _seconds(at: dt.datetime, until: dt.datetime | None) -> float:
    return float("inf") if until is None else max(0.0, (until - at).total_seconds())
