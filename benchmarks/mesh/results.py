"""What was measured, the CSV file that keeps it, and the table that is made of it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.rows import goal_word, listed, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["APPLY", "BUILD", "Results"]

#: Ends of row names; what is before the colon says what is compared.
BUILD: Final = "docker build"
APPLY: Final = "sconectl apply"
_COLUMNS: Final = ("seconds",)
#: How many times as long as ``docker build`` an apply may take.
_RATIO: Final = 1.5


@dataclass(slots=True)
class Results:
    """A measurement.

    Attributes:
        facts: about the machine.
        rows: title → seconds of its runs, in the order in which they are shown.
    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: str, seconds: float) -> None:
        """Keep a run, rounded as the file has it."""
        self.rows.setdefault(row, []).append(round(seconds, 3))

    def write(self, path: Path) -> None:
        """Write everything to a CSV file."""
        rows = {name: [(seconds,) for seconds in runs] for name, runs in self.rows.items()}
        write_rows(path, _COLUMNS, self.facts, rows)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what :meth:`write` wrote.

        Raises:
            ValueError: it is anything else.
        """
        facts, rows = read_rows(path, _COLUMNS)
        return cls(facts, {name: [float(seconds) for (seconds,) in runs] for name, runs in rows.items()})

    def table(self) -> str:
        """Give facts, medians, spreads, ratios, and whether the goal was reached, as Markdown."""
        lines = ["| | s, median | s, spread | beside the build | goal |", "|---|---:|---:|---:|---|"]
        for name, runs in self.rows.items():
            what, _, how = name.partition(": ")
            build = self.rows.get(f"{what}: {BUILD}")
            median = statistics.median(runs)
            beside, goal = "", ""
            if build is not None and build is not runs:
                ratio = median / statistics.median(build)
                beside = f"x {ratio:.2f}"
                goal = goal_word(f"x {_RATIO}", reached=ratio <= _RATIO) if how == APPLY else ""
            lines.append(f"| {name} | {median:.2f} | {min(runs):.2f} to {max(runs):.2f} | {beside} | {goal} |")
        return listed(self.facts) + "\n" + "\n".join(lines) + "\n"
