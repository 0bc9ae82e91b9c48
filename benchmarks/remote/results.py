"""What was measured, the CSV file that keeps it, and the table that is made of it."""

from __future__ import annotations

import statistics
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.rows import goal_word, listed, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BIG_BY_HAND", "NOTHING_BY_HAND", "Measured", "Results"]

#: The rows that others are compared with.
BIG_BY_HAND: Final = "files by hand: tar, age, ssh, docker run"
NOTHING_BY_HAND: Final = "nothing: ssh, docker run, true"

_COLUMNS: Final = ("seconds", "peak_mib")
#: How many times as long as by hand a run with large inputs may take, and how many seconds longer one with nothing.
_RATIO: Final = 1.2
_FIXED_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one row.

    Attributes:
        seconds: that it took.
        peak: MiB of memory that the client had at most; of the largest process where there are several.
    """

    seconds: float
    peak: float


@dataclass(slots=True)
class Results:
    """A measurement.

    Attributes:
        facts: about the machine and what was moved.
        rows: title → its runs, in the order in which they are shown.
        failures: how many runs came to nothing; not kept.
    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[Measured]] = field(default_factory=dict)
    failures: int = 0

    def add(self, row: str, seconds: float, peak: float) -> None:
        """Keep a run, rounded as the file has it."""
        self.rows.setdefault(row, []).append(Measured(seconds=round(seconds, 2), peak=round(peak, 1)))

    def write(self, path: Path) -> None:
        """Write everything to a CSV file."""
        rows = {name: [astuple(one) for one in runs] for name, runs in self.rows.items()}
        write_rows(path, _COLUMNS, self.facts, rows)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what :meth:`write` wrote.

        Raises:
            ValueError: it is anything else.
        """
        facts, rows = read_rows(path, _COLUMNS)
        return cls(facts, {name: [_measured(*values) for values in runs] for name, runs in rows.items()})

    def table(self) -> str:
        """Give facts, medians, spreads, comparisons, and whether goals were reached, as Markdown."""
        lines = ["| | s, median | s, spread | client MiB | beside by hand | goal |", "|---|---:|---:|---:|---:|---|"]
        for name, runs in self.rows.items():
            seconds = [one.seconds for one in runs]
            median, peak = statistics.median(seconds), statistics.median(one.peak for one in runs)
            beside, goal = self._verdict(name, median)
            spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
            lines.append(f"| {name} | {median:.1f} | {spread} | {peak:.0f} | {beside} | {goal} |")
        return listed(self.facts) + "\n" + "\n".join(lines) + "\n"

    def _verdict(self, row: str, median: float) -> tuple[str, str]:
        reference = BIG_BY_HAND if row.startswith("files") else NOTHING_BY_HAND
        if reference not in self.rows or row == reference:
            return "", ""
        by_hand = statistics.median(one.seconds for one in self.rows[reference])
        if reference == BIG_BY_HAND:
            return f"x {median / by_hand:.2f}", goal_word(f"x {_RATIO}", reached=median <= _RATIO * by_hand)
        more = median - by_hand
        return f"+ {more:.1f} s", goal_word(f"+ {_FIXED_SECONDS:.0f} s", reached=more <= _FIXED_SECONDS)


def _measured(seconds: str, peak: str) -> Measured:
    return Measured(seconds=float(seconds), peak=float(peak))
