"""The one shape of all that is measured: a row for each case and subject, in files with machine and versions.

A *case* is the work that is done, a *subject* is who does it, a *peer* is a subject that others are compared with.
"""

from __future__ import annotations

import csv
import os
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.goals import Unit, speed, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from benchmarks.goals import Goal

__all__ = ["COLUMNS", "Measurement", "Row", "merge_rows", "read_rows"]

COLUMNS: Final = (
    "benchmark", "case", "subject", "machine", "versions", "runs", "median", "minimum", "maximum", "unit", "peer",
    "ratio", "goal", "values",
)  # fmt: skip
#: Facts that are about the machine and the circumstances; the others are versions of what is measured.
_MACHINE: Final = frozenset(
    {"date", "kernel", "processor", "memory", "storage", "load before", "caches", "order", "duration", "files"}
)
_AND: Final = "; "


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one subject came to in one case.

    Attributes:
        benchmark: what it is part of, and the headline of its table.
        machine, versions: facts, as text.
        values: of each run; none if there is only something to be said.
        ratios: peer → how many times as fast as it; empty for a peer itself.
        remark: goals with their verdicts, or why there are no values.
    """

    benchmark: str
    case: str
    subject: str
    machine: str
    versions: str
    unit: Unit
    values: tuple[float, ...]
    ratios: dict[str, float] = field(default_factory=dict)
    remark: str = ""

    @property
    def median(self) -> float:
        """The median of the runs."""
        return statistics.median(self.values)


@dataclass(slots=True)
class Measurement:
    """Values as they come in, and what they are compared with.

    Attributes:
        benchmark: what it is, and the headline of its table.
        peers: subjects that the others are compared with, in the order of the table.
        goals: of a case and a subject.
        facts: about machine, circumstances and versions.
    """

    benchmark: str
    peers: Sequence[str]
    goals: Callable[[str, str], Sequence[Goal]]
    facts: dict[str, str] = field(default_factory=dict)
    _units: dict[tuple[str, str], Unit] = field(default_factory=dict)
    _values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _remarks: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, case: str, subject: str, unit: Unit, value: float) -> None:
        """Keep the value of one run, as the file will have it: a report of the file has to say the same."""
        self._units[case, subject] = unit
        self._values.setdefault((case, subject), []).append(float(_text(value)))

    def remark(self, case: str, subject: str, words: str) -> None:
        """Say that something failed, or that a peer is left out (of all cases where none is named)."""
        self._remarks.setdefault((case, subject), []).append(" ".join(words.replace(";", ",").split()))

    @property
    def failed(self) -> list[str]:
        """What failed, in words."""
        return [f"{case}, {who}: {word}" for (case, who), words in self._remarks.items() for word in words if case]

    def rows(self) -> list[Row]:
        """Return the rows, those of one case together."""
        keys = {**self._values, **self._remarks}
        cases = list(dict.fromkeys(case for case, _ in keys))
        order = sorted(keys, key=lambda key: cases.index(key[0]))
        return [self._row(case, subject) for case, subject in order]

    def _row(self, case: str, subject: str) -> Row:
        values = self._values.get((case, subject), [])
        unit = self._units.get((case, subject), Unit.SECONDS)
        ratios, words = {}, list(self._remarks.get((case, subject), ()))
        if values and subject not in self.peers:
            median = statistics.median(values)

            def other(of: str | None, who: str | None) -> float | None:
                return self._median(of or case, who or subject)

            for peer in self.peers:
                if (theirs := self._median(case, peer)) is not None:
                    ratios[peer] = round(speed(unit, median, theirs), 4)
            words += [said for goal in self.goals(case, subject) if (said := verdict(goal, unit, median, other))]
        return Row(
            benchmark=self.benchmark, case=case, subject=subject, unit=unit, values=tuple(values), ratios=ratios,
            machine=_facts(self.facts, machine=True), versions=_facts(self.facts, machine=False),
            remark=_AND.join(words),
        )  # fmt: skip

    def _median(self, case: str, subject: str) -> float | None:
        values = self._values.get((case, subject))
        return statistics.median(values) if values else None


def merge_rows(path: Path, rows: Iterable[Row]) -> None:
    """Put rows into a file, in place of those that it has of the same benchmarks."""
    new = list(rows)
    names = {row.benchmark for row in new}
    kept = [row for row in (read_rows(path) if path.exists() else []) if row.benchmark not in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_cells(row) for row in [*kept, *new])
    os.replace(temporary, path)  # noqa: PTH105 # Path.replace says the same


def read_rows(path: Path) -> list[Row]:
    """Read what :func:`merge_rows` wrote.

    Raises:
        ValueError: the file is another one.
    """
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        if tuple(lines.fieldnames or ()) != COLUMNS:
            found = ", ".join(lines.fieldnames or ())
            raise ValueError(f"{path} has the columns {found}; expected {', '.join(COLUMNS)}")
        return [_read(line) for line in lines]


def _cells(row: Row) -> dict[str, object]:
    cells: dict[str, object] = {
        "benchmark": row.benchmark, "case": row.case, "subject": row.subject, "machine": row.machine,
        "versions": row.versions, "runs": len(row.values), "unit": row.unit, "goal": row.remark,
        "peer": _AND.join(row.ratios), "ratio": _AND.join(f"{ratio:g}" for ratio in row.ratios.values()),
        "values": " ".join(map(_text, row.values)),
    }  # fmt: skip
    if row.values:
        cells |= {
            "median": _text(row.median),
            "minimum": _text(min(row.values)),
            "maximum": _text(max(row.values)),
        }
    return cells


def _read(line: dict[str, str]) -> Row:
    peers, ratios = (line[column].split(_AND) if line[column] else [] for column in ("peer", "ratio"))
    return Row(
        benchmark=line["benchmark"], case=line["case"], subject=line["subject"], machine=line["machine"],
        versions=line["versions"], unit=Unit(line["unit"]),
        values=tuple(float(value) for value in line["values"].split()),
        ratios={peer: float(ratio) for peer, ratio in zip(peers, ratios, strict=True)}, remark=line["goal"],
    )  # fmt: skip


def _facts(facts: dict[str, str], *, machine: bool) -> str:
    wanted = [(name, fact) for name, fact in facts.items() if (name in _MACHINE) is machine]
    return _AND.join(f"{name}: {fact.replace(';', ',')}" for name, fact in wanted)


def _text(value: float) -> str:
    return f"{value:.6g}"
