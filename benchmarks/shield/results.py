"""What was measured, and the CSV file that keeps it.

The file has one line for each row and contender, with every run's value, and one for each fact about the machine.
"""

from __future__ import annotations

import csv
import os
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.shield.goals import Contender, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Results", "RowInfo"]

_COLUMNS: Final = ("kind", "name", "title", "contender", "unit", "median", "minimum", "maximum", "values")


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
        failures: what did not work, in words.
    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, RowInfo] = field(default_factory=dict)
    values: dict[tuple[str, Contender], list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def declare(self, rows: Mapping[str, RowInfo]) -> None:
        """Give rows their place in the table before they are measured."""
        self.rows.update(rows)

    def add(self, row: str, contender: Contender, value: float) -> None:
        """Keep the value of one run, as the file will have it: a report of the file must say the same."""
        self.values.setdefault((row, contender), []).append(float(_number(value)))

    def median(self, row: str, contender: Contender) -> float | None:
        """Return the median of a contender in a row; None where it was not measured."""
        values = self.values.get((row, contender))
        return statistics.median(values) if values else None

    def write(self, path: Path) -> None:
        """Write everything to a CSV file."""
        lines = [_line(kind="machine", name=name, title=fact) for name, fact in self.facts.items()]
        lines += [_line(kind="failure", title=failure) for failure in self.failures]
        for name, info in self.rows.items():
            for contender in Contender:
                if values := self.values.get((name, contender)):
                    lines.append(_measured(name, info, contender, values))
        temporary = path.with_name(f"{path.name}.new")
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
        os.replace(temporary, path)  # noqa: PTH105 # Path.replace says the same

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what :meth:`write` wrote.

        Raises:
            ValueError: the file is another one.
        """
        results = cls()
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                match line["kind"]:
                    case "machine":
                        results.facts[line["name"]] = line["title"]
                    case "failure":
                        results.failures.append(line["title"])
                    case "row":
                        results.rows[line["name"]] = RowInfo(line["title"], Unit(line["unit"]))
                        key = (line["name"], Contender(line["contender"]))
                        results.values[key] = [float(value) for value in line["values"].split()]
                    case kind:
                        raise ValueError(f"{path}: a line is of kind {kind!r}")
        return results


def _line(**cells: str) -> dict[str, str]:
    return {column: cells.get(column, "") for column in _COLUMNS}


def _measured(name: str, info: RowInfo, contender: Contender, values: list[float]) -> dict[str, str]:
    return _line(
        kind="row", name=name, title=info.title, contender=contender, unit=info.unit,
        median=_number(statistics.median(values)), minimum=_number(min(values)), maximum=_number(max(values)),
        values=" ".join(map(_number, values)),
    )  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.6g}"
