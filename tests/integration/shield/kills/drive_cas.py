"""Kills a process that writes to a volume, the CAS that keeps its tag, or both at once."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

from bannock.shield.volume import Volume
from tests.integration.shield.kills.drive import write
from tests.integration.shield.kills.history import Copies, History
from tests.integration.shield.kills.process import Process, spin
from tests.integration.shield.kills.services import CasKeeper, CasProcess
from tests.integration.shield.kills.workload import content_of, digest, number_of
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.shield.kills.process import Say

__all__ = ["CasDrive"]

_SESSION: Final = "demo"
_VOLUME: Final = "output"
#: A commit with the CAS takes about that long.
_COMMIT_SECONDS: Final = 0.012
_START_SECONDS: Final = 0.06


class CasDrive:
    """Kills at random moments, which follow from a seed; a context manager."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._volume = directory / "volume"
        self._seed = seed
        self._choose = random.Random(seed)  # noqa: S311 # repeatable moments
        self._history = History(seed)
        self.kills = Counter[str]()
        self._writer: Process | None = None
        self._cas = CasProcess(directory / "cas")
        self._cas.make_session(document(_SESSION))
        keeper = CasKeeper(self._cas, _SESSION)
        keeper.close()
        self._key = keeper.key
        self._copies = Copies(directory / "copies", self._key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_writer()
        self._cas.kill()

    def kill(self) -> None:
        """Kill one or both at some moment, start again what was killed, and see that nothing is lost."""
        victim = self._choose.choice(["writer", "CAS", "both"])
        if self._writer is None:
            self._writer = Process(self._work)
        if victim == "writer" and self._choose.random() < 0.3:
            time.sleep(self._choose.random() * _START_SECONDS)
        else:
            self._wait_for_a_commit(self._writer)
        if victim != "CAS":
            self._writer.kill()
        if victim != "writer":
            self._cas.kill()
        if victim != "CAS":
            self._end_writer()
        if victim != "writer":
            self._cas.start()
        self.kills[victim] += 1
        if victim != "CAS" and (tag := self._cas.tag(_SESSION, _VOLUME)) is not None:
            self._copies.look(self.kills.total(), self._volume, tag, lambda: CasKeeper(self._cas, _SESSION))

    def _work(self, say: Say) -> None:
        keeper = CasKeeper(self._cas, _SESSION)
        write(say, self._volume, keeper.key, keeper, keeper.tag, self._seed)

    def _wait_for_a_commit(self, writer: Process) -> None:
        count = self._choose.randrange(1, 4)
        for words in writer.lines():
            self._history.hear(words)
            count -= words[0] == "announce"
            if not count:
                spin(self._choose.random() * _COMMIT_SECONDS)
                return
        raise AssertionError("the process that writes has ended")

    def _end_writer(self) -> None:
        if self._writer is None:
            return
        self._writer.kill()
        for words in self._writer.lines():
            self._history.hear(words)
        self._writer.close()
        self._writer = None

    def finish(self) -> None:
        """Open the volume for a last time and look."""
        self._end_writer()
        tag = self._cas.tag(_SESSION, _VOLUME)
        assert tag is not None
        with Volume.open(self._volume, self._key, tag, writable=False) as volume:
            content = content_of(volume)
        self._history.hear(["found", str(number_of(content)), digest(content)])

    def report(self) -> dict[str, object]:
        """Return what was done."""
        return {
            "kills": dict(self.kills), "states": self._history.acknowledged,
            "states without an answer": self._history.lost_answers, "older states refused": self._copies.refused,
        }  # fmt: skip
