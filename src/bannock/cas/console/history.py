"""What the audit log of a CAS says, for pages: its newest entries, and the decisions on enclaves among them.

Entries that the database does not have (it may keep checkpoints alone) are not there for a page either. Thread-safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator

    from bannock.cas.audit.entry import Event, Transaction
    from bannock.cas.store import Store

__all__ = ["Decision", "Page", "decisions", "newest", "sessions_named"]

#: Entries that are read at once, going back, …
_WINDOW: Final = 500
#: … and how many of them a page looks at.
_WINDOWS_MAX: Final = 8
_OUTCOMES: Final = {"service_attested": True, "service_refused": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A decision on one enclave.

    Attributes:
        accepted: whether it got its configuration.
        reasons: why not.
        weak: what the vendor says is wrong with the platform, by the names that sessions tolerate it by.
    """

    sequence: int
    at: dt.datetime
    accepted: bool
    session: str
    service: str
    enclave: str
    platform: str
    program: str
    attester: str
    machine: str
    debug: bool
    tcb: str
    weak: tuple[str, ...]
    advisories: tuple[str, ...]
    warnings: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Entries of the log, the newest first.

    Attributes:
        head: number of the newest entry of all.
        older: number from which the next page goes back; None where there is none.
    """

    entries: tuple[Transaction, ...]
    head: int
    older: int | None


def newest(store: Store, count: int, *, before: int | None = None) -> Page:
    """Give the newest entries.

    Args:
        store: that has them.
        count: how many.
        before: number of the entry that they come before; None for the end of the log.
    """
    with store.reading() as view:
        head = view.audit_head().sequence
        last = head if before is None else min(head, before - 1)
        first = max(1, last - count + 1)
        found = tuple(view.audit_entries(first, last)) if last >= first else ()
    return Page(entries=found[::-1], head=head, older=first if first > 1 and found else None)


def decisions(
    store: Store, count: int, *, wanted: Callable[[Decision], bool] = lambda _: True, before: int | None = None
) -> tuple[list[Decision], int | None]:
    """Give the newest decisions on enclaves, and the number to go on before; None where the log is at its begin."""
    found: list[Decision] = []
    for _ in range(_WINDOWS_MAX):
        page = newest(store, _WINDOW, before=before)
        for entry in page.entries:
            found += [each for each in _decided(entry) if wanted(each)]
            if len(found) >= count:
                return found[:count], entry.sequence if entry.sequence > 1 else None
        before = page.older
        if before is None:
            break
    return found, before


def sessions_named(store: Store) -> set[str]:
    """Name the sessions that the newest part of the log tells of."""
    names: set[str] = set()
    before: int | None = None
    for _ in range(_WINDOWS_MAX):
        page = newest(store, _WINDOW, before=before)
        for entry in page.entries:
            for event in entry.events:
                # What was refused may be a name that there is no session of.
                if event.event in ("session_created", "session_updated", "session_read", "service_attested"):
                    names.add(_text(event, "session"))
        before = page.older
        if before is None:
            break
    return names - {""}


def _decided(entry: Transaction) -> Iterator[Decision]:
    for event in reversed(entry.events):
        accepted = _OUTCOMES.get(event.event)
        if accepted is None:
            continue
        yield Decision(
            sequence=entry.sequence,
            at=entry.at,
            accepted=accepted,
            session=_text(event, "session"),
            service=_text(event, "service"),
            enclave=_text(event, "enclave"),
            platform=_text(event, "platform"),
            program=_text(event, "mrenclave"),
            attester=_text(event, "attester"),
            machine=_text(event, "machine"),
            debug=_text(event, "debug") == "true",
            tcb=_text(event, "tcb"),
            weak=_texts(event, "weaknesses"),
            advisories=_texts(event, "advisories"),
            warnings=_texts(event, "warnings"),
            reasons=_texts(event, "reasons"),
        )


def _text(event: Event, name: str) -> str:
    value = event.facts.get(name)
    return value if isinstance(value, str) else ""


def _texts(event: Event, name: str) -> tuple[str, ...]:
    value = event.facts.get(name)
    return tuple(value) if isinstance(value, list) else ()
