"""Kills a process that writes to a volume, over and over.

The process holds the volume and the keeper of its tag, a file. It says over a pipe what it found when it started,
what it is about to commit, and what was committed. After each kill the next process has to find what was said last.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

from bannock.shield.volume import Volume
from bannock.values import FspfKey
from tests.integration.shield.hosting import FileKeeper
from tests.integration.shield.kills.faults import AFTER, BEFORE, MIDDLE, die_at
from tests.integration.shield.kills.history import Copies, History
from tests.integration.shield.kills.process import Process, spin
from tests.integration.shield.kills.workload import apply_to, apply_to_volume, content_of, digest, number_of, steps

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.shield.volume import TagKeeper
    from bannock.values import FspfTag
    from tests.integration.shield.kills.process import Say

__all__ = ["Drive", "write"]

KEY: Final = FspfKey(bytes(range(32)))
#: Long enough for some commits, from the fork on.
_LIFE_SECONDS: Final = 0.025
#: A commit takes about that long, and so does what follows it.
_COMMIT_SECONDS: Final = 0.0012
#: System calls of some commits.
_CALLS: Final = 120


def write(say: Say, directory: Path, key: FspfKey, keeper: TagKeeper, tag: FspfTag | None, seed: int) -> None:
    """Open the volume in the state that the keeper names, say what is there, and commit state after state."""
    if tag is None:
        volume = Volume.create(directory, key, keeper=keeper)
    else:
        volume = Volume.open(directory, key, tag, keeper=keeper)
    content = content_of(volume)
    say("found", number_of(content), digest(content))
    while True:
        number = number_of(content) + 1
        changes = steps(number, content, seed)
        apply_to_volume(volume, changes)
        say("announce", number)
        volume.commit()
        say("done", number)
        content = apply_to(content, changes)


class Drive:
    """Kills at random moments, which follow from a seed."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._volume = self._place(directory)
        self._keeper = FileKeeper(directory / "tag")
        self._seed = seed
        self._choose = random.Random(seed)  # noqa: S311 # repeatable moments
        self._history = History(seed)
        self._copies = Copies(directory / "copies", KEY)
        self.kills = Counter[str]()

    def kill(self) -> None:
        """Start the process, kill it at some moment, and see that nothing is lost that it had said."""
        moment = self._choose.choice(["any time", "in a commit", "in a commit", "at a system call"])
        number, when = self._choose.randrange(_CALLS), self._choose.choice([BEFORE, MIDDLE, AFTER])

        def work(say: Say) -> None:
            if moment == "at a system call":
                die_at(number, when)
            write(say, self._volume, KEY, self._keeper, self._keeper.tag, self._seed)

        process = Process(work)
        if moment == "any time":
            time.sleep(self._choose.random() * _LIFE_SECONDS)
            self._cut(process)
        elif moment == "in a commit":
            self._kill_in_a_commit(process)
        for words in process.lines():
            self._hear(words)
        process.close()
        self._restart()
        self.kills[moment] += 1
        if (tag := self._keeper.tag) is not None:
            self._copies.look(self.kills.total(), self._volume, tag, lambda: self._keeper)

    def _kill_in_a_commit(self, process: Process) -> None:
        count = self._choose.randrange(1, 6)
        for words in process.lines():
            self._hear(words)
            count -= words[0] == "announce"
            if not count:
                spin(self._choose.random() * _COMMIT_SECONDS)
                break
        self._cut(process)

    def _place(self, directory: Path) -> Path:
        """Return where the volume is."""
        return directory / "volume"

    def _cut(self, process: Process) -> None:
        """End the process at once."""
        process.kill()

    def _restart(self) -> None:
        """Make the machine ready for the next process."""

    def _hear(self, words: list[str]) -> None:
        """Learn what the process had said before its end."""
        self._history.hear(words)

    def finish(self) -> None:
        """Open the volume for a last time and look."""
        tag = self._keeper.tag
        assert tag is not None
        with Volume.open(self._volume, KEY, tag, writable=False) as volume:
            content = content_of(volume)
        self._history.hear(["found", str(number_of(content)), digest(content)])

    def report(self) -> dict[str, object]:
        """Return what was done."""
        return {
            "kills": dict(self.kills), "states": self._history.acknowledged,
            "states without an answer": self._history.lost_answers, "older states refused": self._copies.refused,
        }  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
