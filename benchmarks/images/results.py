"""What was measured, the CSV file that keeps it, and the tables that are made of it."""

from __future__ import annotations

import statistics
from dataclasses import astuple, dataclass, field, fields
from typing import TYPE_CHECKING, Final

from benchmarks.rows import goal_word, listed, read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["BUILD", "NATIVE", "SCONIFIED", "Measured", "Results"]

#: Ends of row names; what is before the colon says what is compared.
NATIVE: Final = "native container"
BUILD: Final = "docker build, one COPY"
SCONIFIED: Final = "sconify_image"
#: How many milliseconds longer a protected start may take, and how many times as long as a COPY a conversion.
_MORE_MS: Final = 400
_RATIO: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one row.

    Attributes:
        seconds: that it took.
        peak: MiB of memory that the command had at most; 0 where that was not looked at.
        sealed: bytes of layers that were sealed.
        pushed: bytes that a registry has more than before.
    """

    seconds: float
    peak: float = 0
    sealed: int = 0
    pushed: int = 0


#: Of the file.
_COLUMNS: Final = tuple(each.name for each in fields(Measured))


@dataclass(slots=True)
class Results:
    """A measurement.

    Attributes:
        facts: about the machine and the images.
        rows: title → its runs, in the order in which they are shown.
    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[Measured]] = field(default_factory=dict)

    def add(self, row: str, measured: Measured) -> None:
        """Keep a run, rounded as the file has it."""
        one = Measured(
            seconds=round(measured.seconds, 3),
            peak=round(measured.peak, 1),
            sealed=measured.sealed,
            pushed=measured.pushed,
        )
        self.rows.setdefault(row, []).append(one)

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
        return "\n".join(part for part in (listed(self.facts), self._starts(), self._conversions()) if part)

    def _starts(self) -> str:
        lines = []
        for name, runs in self.rows.items():
            native = self.rows.get(f"{name.partition(':')[0]}: {NATIVE}")
            if native is None:
                continue
            more = 1000 * (_median(runs) - _median(native))
            beside = "" if runs is native else f"+ {more:.0f} ms"
            goal = "" if runs is native else goal_word(f"+ {_MORE_MS} ms", reached=more <= _MORE_MS)
            spread = f"{1000 * min(_seconds(runs)):.0f} to {1000 * max(_seconds(runs)):.0f}"
            lines.append(f"| {name} | {1000 * _median(runs):.0f} | {spread} | {beside} | {goal} |")
        head = "| start | ms, median | ms, spread | beside native | goal |\n|---|---:|---:|---:|---|\n"
        return head + "\n".join(lines) + "\n" if lines else ""

    def _conversions(self) -> str:
        lines = []
        for name, runs in self.rows.items():
            what, _, how = name.partition(": ")
            build = self.rows.get(f"{what}: {BUILD}")
            if build is None:
                continue
            ratio = _median(runs) / _median(build)
            beside = "" if runs is build else f"x {ratio:.2f}"
            goal = goal_word(f"x {_RATIO}", reached=ratio <= _RATIO) if how == SCONIFIED else ""
            spread = f"{min(_seconds(runs)):.1f} to {max(_seconds(runs)):.1f}"
            peak = statistics.median(one.peak for one in runs)
            numbers = [
                f"{peak:.0f}" if peak else "",
                *(_megabytes(runs, what) if how.startswith(SCONIFIED) else "" for what in ("sealed", "pushed")),
            ]
            lines.append(f"| {name} | {_median(runs):.1f} | {spread} | {beside} | {' | '.join(numbers)} | {goal} |")
        head = (
            "| conversion | s, median | s, spread | beside a build | memory, MiB | sealed, MB | pushed, MB | goal |\n"
            "|---|---:|---:|---:|---:|---:|---:|---|\n"
        )
        return head + "\n".join(lines) + "\n" if lines else ""


def _seconds(runs: Sequence[Measured]) -> list[float]:
    return [one.seconds for one in runs]


def _median(runs: Sequence[Measured]) -> float:
    return statistics.median(_seconds(runs))


def _megabytes(runs: Sequence[Measured], what: str) -> str:
    return f"{statistics.median(getattr(one, what) for one in runs) / 1e6:.2f}"


def _measured(seconds: str, peak: str, sealed: str, pushed: str) -> Measured:
    return Measured(seconds=float(seconds), peak=float(peak), sealed=int(sealed), pushed=int(pushed))
