"""Tables out of results: for the terminal, and for docs/performance.md."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from benchmarks.shield.goals import Contender, Unit, goals_of, speed, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.shield.results import Results

__all__ = ["insert", "missed", "table"]

_PEERS: Final = (Contender.GOCRYPTFS, Contender.BINDFS, Contender.AGE, Contender.PLAIN)
_DIGITS: Final = 3


def table(results: Results) -> str:
    """Return facts, medians, ratios and verdicts as Markdown that can be read as it stands, too."""
    present = [contender for contender in Contender if any(who is contender for _, who in results.values)]
    peers = [peer for peer in _PEERS if peer in present and Contender.BANNOCK in present]
    head = ["", "", *present, *(f"x {peer}" for peer in peers), "goal"]
    lines = [
        [info.title, info.unit, *_medians(results, name, info.unit, present), *_ratios(results, name, peers),
         "; ".join(_verdicts(results, name))]
        for name, info in results.rows.items()
        if any(results.median(name, contender) is not None for contender in present)
    ]  # fmt: skip
    facts = "".join(f"- {name}: {fact}\n" for name, fact in results.facts.items())
    failures = "".join(f"- FAILED: {failure}\n" for failure in results.failures)
    return f"{facts}{failures}\n{_markdown(head, lines)}"


def missed(results: Results) -> list[str]:
    """Name the rows that miss a goal, with the goal."""
    return [
        f"{info.title}: {goal}"
        for name, info in results.rows.items()
        for goal in _verdicts(results, name)
        if goal.endswith("MISSED")
    ]


def insert(path: Path, name: str, text: str) -> None:
    """Put text between the marks ``<!-- NAME -->`` and ``<!-- end of NAME -->`` in a file.

    Raises:
        ValueError: the file does not have these marks.
    """
    before = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    marks = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", flags=re.DOTALL)
    if not marks.search(before):
        raise ValueError(f"{path} has no marks {begin} and {end}")
    path.write_text(marks.sub(lambda _: f"{begin}\n\n{text}\n{end}", before), encoding="utf-8")


def _medians(results: Results, row: str, unit: Unit, contenders: Iterable[Contender]) -> list[str]:
    medians = [results.median(row, contender) for contender in contenders]
    return ["-" if median is None else _number(median, unit) for median in medians]


def _ratios(results: Results, row: str, peers: Iterable[Contender]) -> list[str]:
    ours, unit = results.median(row, Contender.BANNOCK), results.rows[row].unit
    medians = [results.median(row, peer) for peer in peers]
    return ["-" if ours is None or theirs is None else f"{speed(unit, ours, theirs):.2f}" for theirs in medians]


def _verdicts(results: Results, row: str) -> list[str]:
    ours, unit = results.median(row, Contender.BANNOCK), results.rows[row].unit
    if ours is None:
        return []

    def median(contender: Contender, other: str | None) -> float | None:
        return results.median(other or row, contender)

    found = (verdict(goal, unit, ours, median) for goal in goals_of(row))
    return [words for words in found if words is not None]


def _number(value: float, unit: Unit) -> str:
    if unit is Unit.OPERATIONS_PER_SECOND or value >= 10**_DIGITS:
        return f"{value:,.0f}"
    return f"{value:#.{_DIGITS}g}".rstrip(".")


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    numbers = range(2, len(head) - 1)

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if index in numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |\n"

    rule = ["-" * (width - 1) + (":" if index in numbers else "-") for index, width in enumerate(widths)]
    return line(head) + line(rule) + "".join(map(line, lines))
