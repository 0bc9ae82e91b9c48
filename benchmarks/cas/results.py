"""What was measured, the CSV file that keeps it, and the table that is made of it."""

from __future__ import annotations

import statistics
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.rows import goal_word, listed, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.cas.load import Load

__all__ = ["LIMIT", "Goal", "Measured", "Results"]

#: The row whose rate is the limit.
LIMIT: Final = "TLS 1.3 handshakes of openssl s_server"

_COLUMNS: Final = ("rate", "p50_ms", "p99_ms", "failures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a row is to reach: operations a second, milliseconds, or a part of another row's rate."""

    rate: float | None = None
    p50: float | None = None
    p99: float | None = None
    of_limit: float | None = None


#: What is to be reached, whatever the store and the number of processes, by how titles of rows begin.
GOALS: Final = {
    "attestations": Goal(rate=500, p50=15, p99=50, of_limit=0.25),
    "tag updates, strict": Goal(rate=500),
    "tag updates, grouped": Goal(rate=20_000),
    "session reads": Goal(rate=5_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one row."""

    rate: float
    p50: float
    p99: float
    failures: int


@dataclass(slots=True)
class Results:
    """A measurement.

    Attributes:
        facts: about the machine.
        rows: title → its runs, in the order in which they are shown.
    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[Measured]] = field(default_factory=dict)

    def add(self, row: str, load: Load) -> None:
        """Keep a run, rounded as the file has it."""
        measured = Measured(
            rate=round(load.rate, 1), p50=round(load.p50, 2), p99=round(load.p99, 2), failures=len(load.failures)
        )
        self.rows.setdefault(row, []).append(measured)

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
        """Give facts, medians, ratios to the limit, and whether goals were reached, as Markdown."""
        limit = self._median(LIMIT, "rate") if LIMIT in self.rows else None
        lines = ["| | a second | p50 ms | p99 ms | of the limit | goal |", "|---|---:|---:|---:|---:|---|"]
        for name, runs in self.rows.items():
            rate, p50, p99 = (self._median(name, what) for what in ("rate", "p50", "p99"))
            failures = sum(one.failures for one in runs)
            title = f"{name} ({failures} FAILED)" if failures else name
            part = "" if limit is None else f"{rate / limit:.2f}"
            verdict = _verdict(_goal(name), rate, p50, p99, limit)
            lines.append(f"| {title} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {part} | {verdict} |")
        return listed(self.facts) + "\n" + "\n".join(lines) + "\n"

    def _median(self, row: str, what: str) -> float:
        values: list[float] = [getattr(one, what) for one in self.rows[row]]
        return statistics.median(values)


def _goal(row: str) -> Goal:
    return next((goal for what, goal in GOALS.items() if row.startswith(what)), Goal())


def _verdict(goal: Goal, rate: float, p50: float, p99: float, limit: float | None) -> str:
    words: list[str] = []
    if goal.rate is not None:
        words.append(goal_word(f"{goal.rate:,.0f}/s", reached=rate >= goal.rate))
    if goal.p50 is not None:
        words.append(goal_word(f"p50 {goal.p50:.0f} ms", reached=p50 <= goal.p50))
    if goal.p99 is not None:
        words.append(goal_word(f"p99 {goal.p99:.0f} ms", reached=p99 <= goal.p99))
    if goal.of_limit is not None and limit is not None:
        words.append(goal_word(f"{goal.of_limit:.2f} of the limit", reached=rate >= goal.of_limit * limit))
    return ", ".join(words)


def _measured(rate: str, p50: str, p99: str, failures: str) -> Measured:
    return Measured(rate=float(rate), p50=float(p50), p99=float(p99), failures=int(failures))
