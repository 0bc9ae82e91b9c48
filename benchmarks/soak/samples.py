"""Memory and open files of everything that runs, again and again; and whether they stay as they are."""

from __future__ import annotations

import csv
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.soak.tree import Held

__all__ = ["Life", "Samples", "Verdict"]

#: A life that is shorter is not judged: what is filled once, as caches are, is not full yet.
_SECONDS_MIN: Final = 240.0
#: By so much the median of the last quarter may be above that of the second.
_RSS_FACTOR: Final = 1.05
_RSS_MIB: Final = 3.0
_HANDLES: Final = 2
_THREADS: Final = 2
_COLUMNS: Final = ("seconds", "who", "life", "rss_mib", "handles", "threads", "processes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the memory and the handles of one life were in its second and in its last quarter."""

    who: str
    life: int
    seconds: float
    rss: tuple[float, float]
    handles: tuple[float, float]
    threads: tuple[float, float]

    @property
    def is_flat(self) -> bool:
        """Whether none of them grows."""
        return (
            self.rss[1] <= self.rss[0] * _RSS_FACTOR + _RSS_MIB
            and self.handles[1] <= self.handles[0] + _HANDLES
            and self.threads[1] <= self.threads[0] + _THREADS
        )


@dataclass(slots=True)
class Life:
    """One process (with what it started) from its start to its end."""

    who: str
    number: int
    samples: list[tuple[float, Held]] = field(default_factory=list)

    def verdict(self) -> Verdict | None:
        """Compare its quarters; None if it was too short."""
        if not self.samples:
            return None
        first, last = self.samples[0][0], self.samples[-1][0]
        if last - first < _SECONDS_MIN:
            return None

        def medians(what: str) -> tuple[float, float]:
            return self._median(what, first, last, 1), self._median(what, first, last, 3)

        return Verdict(
            who=self.who, life=self.number, seconds=last - first, rss=medians("rss"), handles=medians("handles"),
            threads=medians("threads"),
        )  # fmt: skip

    def _median(self, what: str, first: float, last: float, quarter: int) -> float:
        begin, end = (first + (last - first) * part / 4 for part in (quarter, quarter + 1))
        return statistics.median(float(getattr(one, what)) for at, one in self.samples if begin <= at <= end)


@dataclass(slots=True)
class Samples:
    """All lives."""

    lives: dict[tuple[str, int], Life] = field(default_factory=dict)

    def add(self, seconds: float, who: str, life: int, held: Held) -> None:
        """Keep one, of something that runs."""
        if held.processes:
            self.lives.setdefault((who, life), Life(who, life)).samples.append((seconds, held))

    def verdicts(self) -> list[Verdict]:
        """Judge every life that was long enough."""
        found = [life.verdict() for life in self.lives.values()]
        return [verdict for verdict in found if verdict is not None]

    def write(self, path: Path, every: float) -> None:
        """Write them to a CSV file, not more than one in so many seconds of each life."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            for life in self.lives.values():
                writer.writerows(_thinned(life, every))


def _thinned(life: Life, every: float) -> Iterable[tuple[object, ...]]:
    after = 0.0
    for at, one in life.samples:
        if at >= after:
            after = at + every
            yield (round(at), life.who, life.number, round(one.rss, 1), one.handles, one.threads, one.processes)
