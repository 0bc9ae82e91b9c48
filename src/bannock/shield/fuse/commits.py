"""When changes become durable: at once for who waits for it, else together with others after a short while.

fsync(2) and its relatives are answered when a commit that began after they came is done; all who come while a commit
is under way wait for the next one together. What nobody waits for is committed half a second after the first change.
While a commit is being made durable files are read, and changes are held back.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, Bug, causes

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.shield.protection import Commit
    from bannock.shield.volume import Volume
    from bannock.values import FspfTag

__all__ = ["Commits", "Group"]

_log = logging.getLogger("bannock.shield")

#: How long a change may wait for others to be committed with it.
_GROUP_SECONDS: Final = 0.5
#: When it is tried again whether a disk that was full has room.
_AGAIN_SECONDS: Final = 5.0
#: Files that are sealed or removed at once: 2 ms of work, where the disk is quick. A lock that is taken again at once
#: is never had by others, so there is a pause; and new files may come as fast as they are sealed, so there is an end.
_STEP_FILES: Final = 32
_STEP_PAUSE_SECONDS: Final = 0.0001
_STEPS_MAX: Final = 10_000


class Group:
    """Volumes that have one protection file, and so one state. Used under the lock of the volumes.

    Attributes:
        label: the path that the application sees one of them under.
        volumes: all of them.
        closed: whether nothing may be changed, because a commit is under way.
        held: requests that are put off until it is done.
        due: when the next commit is; None if nothing has changed.
    """

    def __init__(self, label: str, volume: Volume, notice: Callable[[], None]) -> None:
        self.label = label
        self.volumes = [volume]
        self.closed = False
        self.held: list[bytes] = []
        self.due: float | None = None
        self._notice = notice
        self._later: list[Callable[[], None]] = []

    def changed(self) -> None:
        """Learn that a volume is about to change."""
        if self.due is None:
            self.due = time.monotonic() + _GROUP_SECONDS
            self._notice()

    def when_open(self, change: Callable[[], None]) -> None:
        """Do something now, or when the commit that is under way is done."""
        if self.closed:
            self._later.append(change)
        else:
            change()

    def settle(self, most: int) -> bool:
        """Do a part of the work of the next commit; return whether there is more."""
        return any(volume.chores.settle(most) for volume in self.volumes if volume.changed)

    def sweep(self, most: int) -> bool:
        """Do a part of the work that the last commit left; return whether there is more."""
        return any(volume.chores.sweep(most) for volume in self.volumes)

    def try_again(self) -> bool:
        """After a commit that failed, plan the next one; return whether the volumes take it."""
        if any(volume.failure is not None for volume in self.volumes):
            return False
        self.due = time.monotonic() + _AGAIN_SECONDS
        return True

    def begin(self) -> Commit | None:
        """Begin a commit, if anything changed; nothing may be changed until :meth:`end`.

        Raises:
            BannockError: it failed; where a volume has no ``failure`` then, it may be tried again.
        """
        self.due = None
        changed = next((volume for volume in self.volumes if volume.changed), None)
        commit = None if changed is None else changed.begin_commit()
        self.closed = commit is not None
        return commit

    def end(self, commit: Commit) -> FspfTag:
        """End a commit, and do what was put off.

        Raises:
            BannockError: it failed; where a volume has no ``failure`` then, it may be tried again.
        """
        self.closed = False
        later, self._later = self._later, []
        try:
            return self.volumes[0].end_commit(commit)
        finally:
            for change in later:
                change()


class Commits:
    """The commits of all volumes of a mount.

    Args:
        lock: what the volumes are used under.
        answer: answers a request that waited for a commit, with 0 or an errno.
        again: answers a request that was held back.
        inline: how many threads that serve requests may commit at the same time; others leave it to a thread here.
    """

    def __init__(
        self,
        lock: threading.Lock,
        *,
        answer: Callable[[int, int], None],
        again: Callable[[list[bytes]], None],
        inline: int,
    ) -> None:
        self._lock = lock
        self._answer = answer
        self._again = again
        self._inline = inline
        self._groups: dict[bytes, Group] = {}
        self._gate = threading.Condition()
        self._stopping = False
        #: Requests that wait for a commit, by group; and the groups that some thread commits.
        self._waiting: dict[Group, list[int]] = {}
        self._busy: set[Group] = set()
        self._thread = threading.Thread(target=self._run, name="shield commits", daemon=True)

    def group(self, label: str, volume: Volume) -> Group:
        """Return the group that a volume belongs to."""
        if (group := self._groups.get(volume.identity)) is None:
            group = self._groups[volume.identity] = Group(label, volume, self._notice)
        else:
            group.volumes.append(volume)
        return group

    def start(self) -> None:
        """Begin to look after changes."""
        self._thread.start()

    def stop(self) -> None:
        """End, when nobody waits any more; what is not committed then stays so."""
        with self._gate:
            self._stopping = True
            self._gate.notify_all()
        self._thread.join()

    def wanted(self, group: Group, unique: int) -> None:
        """Commit, and answer a request then; returns at once if somebody else is about to do it."""
        with self._gate:
            self._waiting.setdefault(group, []).append(unique)
            if group in self._busy:
                return
            if len(self._busy) >= self._inline:
                self._gate.notify_all()
                return
            self._busy.add(group)
        self._commit_for_all(group)

    def _notice(self) -> None:
        with self._gate:
            self._gate.notify_all()

    def _commit_for_all(self, group: Group) -> None:
        """Commit a group that was marked as busy, until nobody waits for it."""
        while True:
            with self._gate:
                waiting = self._waiting.pop(group, [])
            number, held = self._commit(group)
            for unique in waiting:
                self._answer(unique, number)
            self._again(held)
            self._step(group.sweep)
            with self._gate:
                if group not in self._waiting:
                    self._busy.discard(group)
                    self._gate.notify_all()
                    return

    def _commit(self, group: Group) -> tuple[int, list[bytes]]:
        """Commit a group; return 0 or an errno, and the requests that were held back meanwhile."""
        number, held, started = 0, [], time.monotonic()
        try:
            with suppress(BannockError, OSError):
                # The commit itself meets the error once more, and knows what to do with it.
                self._step(group.settle)
            with self._lock:
                commit = group.begin()
            if commit is not None:
                _finish(commit)
                with self._lock:
                    held, group.held = group.held, []
                    tag = group.end(commit)
                elapsed = 1000 * (time.monotonic() - started)
                _log.debug("%s: state %s, committed in %.1f ms", group.label, tag, elapsed)
        except BannockError as error:
            _log.error("%s: cannot commit: %s", group.label, ": ".join(str(cause) for cause in causes(error)))
            with self._lock:
                number = errno.ENOSPC if group.try_again() else errno.EIO
        except Exception as error:  # noqa: BLE001 # one of the outermost doors: the mount goes on
            _log.error("%s: cannot commit: %s: %s", group.label, type(error).__name__, error)
            _log.debug("commit", exc_info=True)
            number = errno.EIO
        return number, held

    def _step(self, work: Callable[[int], bool]) -> None:
        """Do work that holds up everybody else in small steps, and let them go ahead in between."""
        for step in range(_STEPS_MAX):
            if step:
                time.sleep(_STEP_PAUSE_SECONDS)
            with self._lock:
                if not work(_STEP_FILES):
                    return

    def _run(self) -> None:
        while (group := self._next()) is not None:
            self._commit_for_all(group)

    def _next(self) -> Group | None:
        """Wait for a group that is to be committed, and mark it as busy; None at the end."""
        with self._gate:
            while True:
                idle = [group for group in self._groups.values() if group not in self._busy]
                now = time.monotonic()
                for group in idle:
                    if group in self._waiting or (not self._stopping and group.due is not None and group.due <= now):
                        self._busy.add(group)
                        return group
                if self._stopping and not self._busy:
                    return None
                due = [group.due for group in idle if group.due is not None and not self._stopping]
                self._gate.wait(max(min(due) - now, 0) if due else None)


def _finish(commit: Commit) -> None:
    """Make a commit durable; whatever goes wrong, its state is not taken for the one in force."""
    try:
        commit.finish()
    except Exception as error:  # noqa: BLE001 # told by the end of the commit
        _log.debug("commit", exc_info=True)
        commit.failure = Bug(f"a commit ended by {type(error).__name__}: {error}")
