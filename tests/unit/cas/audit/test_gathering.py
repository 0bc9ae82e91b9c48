"""Events that come at the same time: they are written together, and fail together."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from bannock.cas.audit.entry import Event
from bannock.cas.audit.gathering import Gathering
from bannock.errors import BannockError, Bug, EnvironmentFault, RollbackError
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.cas import Cas
    from bannock.values import KeyHash


class _Log:
    """Takes events when it is allowed to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may = threading.Event()
        self.failure: BaseException | None = None

    def __call__(self, events: Sequence[Event]) -> None:
        """Take them."""
        assert self.may.wait(20)
        self.batches.append([each.event for each in events])
        if self.failure is not None:
            raise self.failure


def _joined(gathering: Gathering) -> int:
    batch = gathering._open
    return 0 if batch is None else len(batch.events)


def _tell_many(gathering: Gathering, log: _Log, count: int) -> list[BaseException]:
    """Tell an event, and as many others while it is being written."""
    raised: list[BaseException] = []

    def tell(name: str) -> None:
        try:
            gathering.tell(Event(event=name, facts={}))
        except BannockError as error:
            raised.append(error)
        except KeyError as error:
            raised.append(error)

    first = threading.Thread(target=tell, args=("first",))
    first.start()
    deadline = time.monotonic() + 20
    while _joined(gathering) or not gathering._turn.locked():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    others = [threading.Thread(target=tell, args=(f"other{number}",)) for number in range(count)]
    for thread in others:
        thread.start()
    while _joined(gathering) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    log.may.set()
    for thread in (first, *others):
        thread.join(20)
    return raised


def test_what_comes_meanwhile_is_written_together() -> None:
    """One transaction for all that came while the one before was written."""
    log = _Log()
    assert _tell_many(Gathering(log), log, 10) == []
    assert log.batches[0] == ["first"]
    assert sorted(log.batches[1]) == sorted(f"other{number}" for number in range(10))
    assert len(log.batches) == 2


def test_what_is_written_together_fails_together() -> None:
    """Each is told why, by an error of its own."""
    log = _Log()
    log.failure = RollbackError("it is older", reasons=["because"], hint="look")
    raised = _tell_many(Gathering(log), log, 3)
    assert [type(error) for error in raised] == [RollbackError] * 4
    assert all(isinstance(error, RollbackError) and error.reasons == ("because",) for error in raised)
    assert len({id(error) for error in raised}) == 3  # the two that write got the very one, which is the test's


def test_nobody_waits_for_ever() -> None:
    """Also where what writes fails in a way that cannot be."""
    log = _Log()
    log.failure = KeyError("x")
    raised = _tell_many(Gathering(log), log, 3)
    assert sorted(type(error).__name__ for error in raised) == ["Bug", "Bug", "KeyError", "KeyError"]
    assert any(isinstance(error, Bug) for error in raised)


def test_it_goes_on_after_a_failure() -> None:
    """The next event is written."""
    log = _Log()
    log.may.set()
    gathering = Gathering(log)
    log.failure = EnvironmentFault("full")
    with pytest.raises(EnvironmentFault, match="full"):
        gathering.tell(Event(event="one", facts={}))
    log.failure = None
    gathering.tell(Event(event="two", facts={}))
    assert log.batches == [["one"], ["two"]]


def test_reading_at_the_same_time_shares_entries(cas: Cas, alice: KeyHash) -> None:
    """Every reader is in the log, before it has its answer."""
    cas.sessions.post(document(), alice)

    def read() -> None:
        for _ in range(20):
            cas.sessions.read("demo", alice)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    reads = [entry.sequence for entry in cas.audit_log() if entry.event == "session_read"]
    assert len(reads) == 160
    assert len(set(reads)) < 160
