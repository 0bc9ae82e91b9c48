"""What was measured of the shield, row by row, and how the files of all benchmarks have it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from benchmarks.goals import AsCase
from benchmarks.rows import Measurement, merge_rows
from benchmarks.shield.goals import PEERS, Contender, goals_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.goals import Goal, Unit
    from benchmarks.rows import Row

__all__ = ["Results", "RowInfo"]

_IN_MEMORY: Final = "tmpfs"


@dataclass(frozen=True, slots=True)
class RowInfo:
    """What a row says about itself."""

    title: str
    unit: Unit


@dataclass(slots=True)
class Results:
    """A measurement.

    Attributes:
        facts: about the machine and the measurement.
        rows: by name, in the order in which they are shown.
        values: of each row and contender, one of each run.
        failures: workload and contender → what did not work, in words.
        missing: contender → why it is left out.
    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, RowInfo] = field(default_factory=dict)
    values: dict[tuple[str, Contender], list[float]] = field(default_factory=dict)
    failures: dict[tuple[str, Contender], str] = field(default_factory=dict)
    missing: dict[Contender, str] = field(default_factory=dict)

    def declare(self, rows: Mapping[str, RowInfo]) -> None:
        """Give rows their place in the table before they are measured."""
        self.rows.update(rows)

    def add(self, row: str, contender: Contender, value: float) -> None:
        """Keep the value of one run."""
        self.values.setdefault((row, contender), []).append(value)

    def as_rows(self) -> list[Row]:
        """Return the rows as the files of all benchmarks have them."""
        names = {info.title: name for name, info in self.rows.items()}

        def goals(case: str, _: str) -> list[Goal]:
            return [self._titled(goal) for goal in goals_of(names[case])]

        where = "in memory" if self.facts.get("storage", "").startswith(_IN_MEMORY) else "on a disk"
        found = Measurement(f"shield {where}", peers=PEERS, goals=goals, facts=self.facts)
        for name, info in self.rows.items():
            for contender in Contender:
                for value in self.values.get((name, contender), ()):
                    found.add(info.title, contender, info.unit, value)
        for (workload, contender), words in self.failures.items():
            found.remark(workload, contender, f"FAILED: {words}")
        for contender, words in self.missing.items():
            found.remark("", contender, f"left out: {words}")
        return found.rows()

    def write(self, path: Path) -> None:
        """Put everything into a file."""
        merge_rows(path, self.as_rows())

    def _titled(self, goal: Goal) -> Goal:
        if isinstance(goal, AsCase) and goal.case in self.rows:
            return replace(goal, case=self.rows[goal.case].title)
        return goal
