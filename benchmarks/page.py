"""The page that shows everything that is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.plots import name_of
from benchmarks.tables import insert, parts, peers_of, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.rows import Row

__all__ = ["shown", "write_page"]


def shown(rows: Sequence[Row]) -> str:
    """Give picture and table of each part of a benchmark."""
    return "\n".join(_part(part, found) for part, found in parts(rows).items())


def write_page(page: Path, files: Mapping[str, Sequence[Row]]) -> None:
    """Put everything between its marks.

    Raises:
        ValueError: a benchmark has no marks in the page.
    """
    for name, rows in files.items():
        insert(page, name, shown(rows))


def _part(part: str, rows: Sequence[Row]) -> str:
    picture = ""
    if peers := peers_of(rows):
        path = f"../bench/plots/{name_of(part)}"
        picture = f"![{part}: how many times as fast as {', '.join(peers)}]({path}.svg)\n\n"
    return f"### {part[:1].upper()}{part[1:]}\n\n{picture}{table(rows)}"
