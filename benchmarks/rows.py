"""Rows of measurements in a CSV file: what the machine is, and what each run of each row came to."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["goal_word", "listed", "read_rows", "write_rows"]

_LEFT: Final = ("kind", "name", "run")


def write_rows(
    path: Path, columns: Sequence[str], facts: Mapping[str, str], rows: Mapping[str, Sequence[Sequence[object]]]
) -> None:
    """Write a file.

    Args:
        path: of the file.
        columns: names of the values of a run.
        facts: about the machine; they stand in the first of these columns.
        rows: title → the values of each of its runs.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*_LEFT, *columns))
        writer.writerows(("machine", name, "", fact, *[""] * (len(columns) - 1)) for name, fact in facts.items())
        for name, runs in rows.items():
            writer.writerows(("row", name, number, *values) for number, values in enumerate(runs, 1))


def read_rows(path: Path, columns: Sequence[str]) -> tuple[dict[str, str], dict[str, list[list[str]]]]:
    """Read the facts and the rows of a file that :func:`write_rows` wrote.

    Raises:
        ValueError: the file has other columns, or other lines.
    """
    facts: dict[str, str] = {}
    rows: dict[str, list[list[str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if (found := next(lines, [])) != [*_LEFT, *columns]:
            raise ValueError(
                f"{path} has the columns {', '.join(found)}; expected are {', '.join((*_LEFT, *columns))}"
            )
        for kind, name, _, *values in lines:
            match kind:
                case "machine":
                    facts[name] = values[0]
                case "row":
                    rows.setdefault(name, []).append(values)
                case _:
                    raise ValueError(f"{path}: a line is of kind {kind!r}")
    return facts, rows


def listed(facts: Mapping[str, str]) -> str:
    """Give facts as a list in Markdown."""
    return "".join(f"- {name}: {fact}\n" for name, fact in facts.items())


def goal_word(goal: str, *, reached: bool) -> str:
    """Say a goal, and whether it was missed."""
    return goal if reached else f"{goal} MISSED"
