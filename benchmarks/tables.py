"""Tables out of rows, as Markdown that can be read as it stands, and pages that show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks.goals import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.rows import Row

__all__ = ["insert", "missed", "parts", "peers_of", "table", "with_peers"]


def parts(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Sort rows by what they are part of, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.benchmark, []).append(row)
    return found


def peers_of(rows: Sequence[Row]) -> list[str]:
    """Name whom the rows compare with, the most important first."""
    named = [peer for row in rows for peer in row.ratios]
    return list(dict.fromkeys(named))


def with_peers(rows: Sequence[Row]) -> list[tuple[Row, dict[str, Row]]]:
    """Give each row that is not a peer's, with those of its peers in the same case."""
    peers = peers_of(rows)
    by_key = {(row.case, row.subject): row for row in rows if row.values}
    return [
        (row, {peer: by_key[row.case, peer] for peer in peers if (row.case, peer) in by_key})
        for row in rows
        if row.values and row.subject not in peers
    ]


def table(rows: Sequence[Row]) -> str:
    """Return facts, what is missing, medians, spreads, peers with ratios, and verdicts of one part."""
    peers, lines = peers_of(rows), []
    for row, beside in with_peers(rows):
        cells = [_beside(beside[peer], row.ratios[peer]) if peer in row.ratios else "-" for peer in peers]
        spread = f"{number(min(row.values))} to {number(max(row.values))}" if len(row.values) > 1 else ""
        lines.append([row.case, row.subject, row.unit, number(row.median), spread, *cells, row.remark or "-"])
    head = ["", "who", "", "median", "spread", *peers, "goal"]
    if len({line[1] for line in lines}) == 1:
        head[3] = lines[0][1]
        for line in (head, *lines):
            del line[1]
    said = "".join(
        f"- {', '.join(filter(None, (row.case, row.subject)))}: {row.remark}\n" for row in rows if not row.values
    )
    return f"{_facts(rows)}{said}\n{_markdown(head, lines)}" if lines else f"{_facts(rows)}{said}"


def missed(rows: Iterable[Row]) -> list[str]:
    """Name what misses a goal or failed, with the goal."""
    return [
        f"{row.benchmark}: {row.case}, {row.subject}: {words}"
        for row in rows
        for words in row.remark.split("; ")
        if words.endswith("MISSED") or words.startswith("FAILED")
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


def _beside(peer: Row, ratio: float) -> str:
    return f"{number(peer.median)} (x {ratio:.2f})"


def _facts(rows: Sequence[Row]) -> str:
    """Give what was measured where, once for each time that something was."""
    told = dict.fromkeys((row.machine, row.versions) for row in rows)
    runs = sorted({len(row.values) for row in rows if row.values})
    each = f"- runs: {runs[0]}{f' to {runs[-1]}' if len(runs) > 1 else ''}\n" if runs else ""
    return "".join(f"- {text}\n" for facts in told for text in facts if text) + each


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    first = head.index("spread") - 1
    numbers = range(first, len(head) - 1)

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if index in numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |\n"

    rule = ["-" * (width - 1) + (":" if index in numbers else "-") for index, width in enumerate(widths)]
    return line(head) + line(rule) + "".join(map(line, lines))
