"""When changes become durable, with volumes that say when a commit may end."""

from __future__ import annotations

import errno
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from bannock.errors import EnvironmentFault
from bannock.shield.fuse.commits import Commits, Group
from bannock.values import FspfTag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.shield.volume import Volume

PATIENCE = 20.0


@dataclass(eq=False)
class Slow:
    """A volume whose commits last until they are let go."""

    identity: bytes = b"one"
    changes: int = 0
    commits: int = 0
    failure: EnvironmentFault | None = None
    defect: bool = False
    unsettled: int = 0
    unneeded: int = 0
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @property
    def chores(self) -> Slow:
        """Its chores are its own."""
        return self

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return self.changes > 0

    def settle(self, most: int) -> bool:
        """Do some of the work that a commit would do."""
        self.unsettled = max(self.unsettled - most, 0)
        return self.unsettled > 0

    def sweep(self, most: int) -> bool:
        """Do some of the work that a commit left."""
        self.unneeded = max(self.unneeded - most, 0)
        return self.unneeded > 0

    def begin_commit(self) -> Slow:
        """Begin; the commit is the volume itself."""
        self.changes = 0
        return self

    def finish(self) -> None:
        """Wait until the test says so."""
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE)
        if self.defect:
            raise KeyError("unexpected")

    def end_commit(self, commit: Slow) -> FspfTag:
        """End, or tell why not."""
        if commit.failure is not None:
            raise commit.failure
        self.commits += 1
        return FspfTag(bytes(16))


class Committed:
    """Commits, and what became of the requests."""

    def __init__(self, *, inline: int = 2) -> None:
        self.lock = threading.Lock()
        self.answers: list[tuple[int, int]] = []
        self.again: list[bytes] = []
        self.answered = threading.Condition()
        self.commits = Commits(self.lock, answer=self._answer, again=self.again.extend, inline=inline)
        self.threads: list[threading.Thread] = []

    def group(self, volume: Slow) -> Group:
        """Return the group of a volume."""
        return self.commits.group("/data", cast("Volume", volume))

    def ask(self, group: Group, unique: int) -> None:
        """Have a thread ask for a commit."""
        self.threads.append(threading.Thread(target=self.commits.wanted, args=(group, unique)))
        self.threads[-1].start()

    def change(self, group: Group, volume: Slow) -> None:
        """Change something."""
        with self.lock:
            group.changed()
            volume.changes += 1

    def wait_for(self, count: int) -> list[tuple[int, int]]:
        """Wait until so many requests were answered, and return the answers."""
        with self.answered:
            assert self.answered.wait_for(lambda: len(self.answers) >= count, PATIENCE)
            return sorted(self.answers)

    def _answer(self, unique: int, number: int) -> None:
        with self.answered:
            self.answers.append((unique, number))
            self.answered.notify_all()


@pytest.fixture
def committed() -> Iterator[Committed]:
    """Give commits that are under way."""
    committed = Committed()
    committed.commits.start()
    yield committed
    committed.commits.stop()
    for thread in committed.threads:
        thread.join()


def test_who_comes_during_a_commit_gets_the_next_one_together(committed: Committed) -> None:
    """A commit that began before a request may lack its changes, so ten wait for one more, and not for ten."""
    volume = Slow()
    group = committed.group(volume)
    committed.change(group, volume)
    committed.ask(group, 1)
    assert volume.begun.acquire(timeout=PATIENCE)
    for unique in range(2, 12):
        committed.ask(group, unique)
    committed.threads[-1].join()
    committed.change(group, volume)
    volume.go.release()
    assert committed.wait_for(1) == [(1, 0)]
    volume.go.release()
    assert committed.wait_for(11) == [(unique, 0) for unique in range(1, 12)]
    assert volume.commits == 2


def test_changes_are_committed_without_being_asked(committed: Committed) -> None:
    """A while after the first change, what changed until then becomes durable at once."""
    volume = Slow()
    group = committed.group(volume)
    started = time.monotonic()
    for _ in range(100):
        committed.change(group, volume)
    assert volume.begun.acquire(timeout=PATIENCE)
    assert time.monotonic() - started >= 0.4
    volume.go.release()
    committed.commits.stop()
    assert volume.commits == 1


def test_nothing_is_committed_where_nothing_changed(committed: Committed) -> None:
    """Who asks gets the answer at once."""
    volume = Slow()
    committed.ask(committed.group(volume), 1)
    assert committed.wait_for(1) == [(1, 0)]
    assert volume.commits == 0


def test_a_change_waits_for_the_commit_that_is_under_way(committed: Committed) -> None:
    """Requests that are held back are answered when it is done, and so is what else was put off."""
    volume, later = Slow(), list[str]()
    group = committed.group(volume)
    committed.change(group, volume)
    group.when_open(lambda: later.append("at once"))
    assert later == ["at once"]
    committed.ask(group, 1)
    assert volume.begun.acquire(timeout=PATIENCE)
    with committed.lock:
        assert group.closed
        group.held.append(b"request")
        group.when_open(lambda: later.append("later"))
    assert later == ["at once"]
    volume.go.release()
    committed.wait_for(1)
    committed.threads[0].join()
    assert (later, committed.again, group.closed, group.held) == (["at once", "later"], [b"request"], False, [])


def test_a_commit_that_fails_is_an_error_for_all_who_wait(
    committed: Committed, caplog: pytest.LogCaptureFixture
) -> None:
    """They get EIO, the log says why, and what was held back is answered too."""
    volume = Slow(failure=EnvironmentFault("the disk is gone"))
    group = committed.group(volume)
    committed.change(group, volume)
    committed.ask(group, 1)
    assert volume.begun.acquire(timeout=PATIENCE)
    group.held.append(b"request")
    volume.go.release()
    assert committed.wait_for(1) == [(1, errno.EIO)]
    committed.threads[0].join()
    assert committed.again == [b"request"]
    assert "/data: cannot commit: the disk is gone" in caplog.messages


def test_a_defect_is_not_taken_for_a_commit(committed: Committed, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever comes out of a commit that is none of our errors, its state is not taken for the one in force."""
    volume = Slow(defect=True)
    group = committed.group(volume)
    committed.change(group, volume)
    committed.ask(group, 1)
    volume.go.release()
    assert committed.wait_for(1) == [(1, errno.EIO)]
    committed.threads[0].join()
    assert volume.commits == 0
    assert any("KeyError" in line for line in caplog.messages)


def test_volumes_with_one_state_are_one_group_and_others_do_not_wait(committed: Committed) -> None:
    """A commit of one protection file holds up nobody who uses another one."""
    one, other = Slow(), Slow(identity=b"other")
    group, another = committed.group(one), committed.group(other)
    assert committed.group(Slow()) is group
    assert another is not group
    committed.change(group, one)
    committed.change(another, other)
    committed.ask(group, 1)
    assert one.begun.acquire(timeout=PATIENCE)
    other.go.release()
    committed.ask(another, 2)
    assert committed.wait_for(1) == [(2, 0)]
    one.go.release()
    assert committed.wait_for(2) == [(1, 0), (2, 0)]


def test_a_thread_that_serves_requests_is_always_left() -> None:
    """More commits than may be done by those threads are left to another one, and the request returns at once."""
    committed = Committed(inline=1)
    committed.commits.start()
    one, other = Slow(), Slow(identity=b"other")
    group, another = committed.group(one), committed.group(other)
    committed.change(group, one)
    committed.change(another, other)
    committed.ask(group, 1)
    assert one.begun.acquire(timeout=PATIENCE)
    committed.commits.wanted(another, 2)
    assert committed.answers == []
    other.go.release()
    assert committed.wait_for(1) == [(2, 0)]
    one.go.release()
    committed.wait_for(2)
    committed.threads[0].join()
    committed.commits.stop()


def test_much_work_is_done_in_steps_around_the_commit(committed: Committed) -> None:
    """Thousands of files are sealed before the commit begins and removed after it was answered, with pauses."""
    volume = Slow(unsettled=1000, unneeded=1000)
    group = committed.group(volume)
    committed.change(group, volume)
    volume.go.release()
    with committed.lock:
        committed.ask(group, 1)
    assert volume.begun.acquire(timeout=PATIENCE)
    assert volume.unsettled == 0
    committed.wait_for(1)
    committed.threads[0].join()
    assert volume.unneeded == 0


def test_at_the_end_nobody_is_left_waiting() -> None:
    """Who asked before the end is answered; what nobody asked for stays undone."""
    committed = Committed(inline=0)
    volume, silent = Slow(), Slow(identity=b"silent")
    group = committed.group(volume)
    committed.change(group, volume)
    committed.change(committed.group(silent), silent)
    committed.commits.wanted(group, 1)
    volume.go.release()
    committed.commits.start()
    committed.commits.stop()
    assert committed.answers == [(1, 0)]
    assert silent.commits == 0
