"""The verification of the audit log for a page."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig
from bannock.cas.audit.entry import EMPTY, Event, sign_entry
from bannock.cas.audit.rows import AuditRows
from bannock.cas.console.checking import LogCheck
from bannock.cas.console.history import decisions, newest, sessions_named
from bannock.cas.console.machines import machines_of
from bannock.cas.schema import audit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def cas(tmp_path: Path) -> Iterator[Cas]:
    """A CAS with a log of some length."""
    with Cas(CasConfig.in_directory(tmp_path), clock=lambda: _NOW) as opened:
        for number in range(30):
            _tell(opened, "service_attested" if number % 3 else "service_refused", number)
        yield opened


def _tell(cas: Cas, event: str, number: int) -> None:
    facts = {"session": f"s{number % 4}", "service": "app", "attester": "aa", "platform": "sim"}
    with cas.store.changing() as change:
        change.audit(event, facts | ({"reasons": "not it"} if event == "service_refused" else {}))


def _check(cas: Cas, seconds: float = 5.0) -> LogCheck:
    return LogCheck(cas.store, clock=lambda: _NOW, seconds=seconds)


def test_all_of_it(cas: Cas) -> None:
    """From the first entry to the newest one, and on when there are more."""
    check = _check(cas)
    found = check.go_on()
    assert (found.whole, found.upto.sequence, found.unsigned) == (True, found.head, 0)
    _tell(cas, "service_attested", 1)
    again = check.go_on()
    assert (again.whole, again.head) == (True, found.head + 1)


def test_some_of_it_at_a_time(cas: Cas) -> None:
    """Each request goes on where the one before ended."""
    check = _check(cas, seconds=-1.0)
    seen = [check.go_on().upto.sequence for _ in range(40)]
    assert seen[:3] == [1, 2, 3]
    assert check.go_on().whole


def _changed(cas: Cas, number: int, instead: Event | None) -> None:
    """Have the database say something else, as somebody who has its key could."""
    with cas.store.changing() as change:
        head = change.audit_head()
        (entry,) = change.audit_entries(number, number)
        rows = AuditRows(change._connection, change._sealer)
        change._connection.execute(audit.delete().where(audit.c.sequence == number))
        if instead is not None:
            rows.put_entry(
                replace(entry, events=(instead,), body=entry.body.replace(b'"session":"s', b'"session":"z'))
            )
        assert change.audit_head() == head


def test_an_entry_that_was_changed(cas: Cas) -> None:
    """Its signature does not hold any more; what comes before it is told as verified."""
    _changed(cas, 7, Event(event="service_attested", facts={}))
    found = _check(cas).go_on()
    assert not found.whole
    assert found.upto.sequence == 6
    assert "audit entry 7 does not have the signature of this CAS" in (found.problem or "")


def test_an_entry_that_was_taken_away(cas: Cas) -> None:
    """In the middle, and at the end."""
    _changed(cas, 9, None)
    assert "audit entry 9 is not in the database" in (_check(cas).go_on().problem or "")


def test_the_newest_entry_that_was_taken_away(cas: Cas) -> None:
    """The database knows of it."""
    head = newest(cas.store, 1).head
    _changed(cas, head, None)
    assert f"ends with entry {head - 1}, and its newest one is {head}" in (_check(cas).go_on().problem or "")


def test_an_entry_that_somebody_else_signed(cas: Cas) -> None:
    """Another key, and another chain."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    made = sign_entry(
        Ed25519PrivateKey.generate(), EMPTY, at=_NOW, cas=cas.key_hash, events=[Event(event="x", facts={})]
    )
    with cas.store.changing() as change:
        change._connection.execute(audit.delete().where(audit.c.sequence == 1))
        AuditRows(change._connection, change._sealer).put_entry(made)
    assert "audit entry 1 does not have the signature" in (_check(cas).go_on().problem or "")


def test_what_was_verified_long_ago_is_verified_anew(cas: Cas) -> None:
    """A change of what was verified already is found then."""
    now = [_NOW]
    check = LogCheck(cas.store, clock=lambda: now[0], seconds=5.0)
    assert check.go_on().whole
    _changed(cas, 7, Event(event="service_attested", facts={}))
    now[0] += dt.timedelta(minutes=11)
    assert check.go_on().problem is not None


def test_decisions_come_in_pages(cas: Cas) -> None:
    """The newest first, each once, to the begin of the log."""
    seen, before = [], None
    while True:
        found, before = decisions(cas.store, 7, before=before)
        seen += found
        if before is None:
            break
    assert len(seen) == 30
    assert [each.sequence for each in seen] == sorted((each.sequence for each in seen), reverse=True)
    refused, _ = decisions(cas.store, 100, wanted=lambda each: not each.accepted)
    assert len(refused) == 10
    assert sessions_named(cas.store) == {"s0", "s1", "s2", "s3"}


def test_an_attester_stands_for_its_machine(cas: Cas) -> None:
    """Where the platform names none; and evidence that did not hold is of no machine."""
    found, _ = decisions(cas.store, 100)
    (machine,) = machines_of([*found, replace(found[0], attester="", platform="")], [])
    assert (machine.name, machine.state, machine.accepted, machine.refused) == ("attester aa", "simulated", 20, 10)
    assert machine.seen == _NOW
