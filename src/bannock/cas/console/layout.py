"""Where the parties of a graph go in a picture: in columns, so that whoever gives is left of whoever gets.

Pure: numbers from numbers. Parties that share nothing are not in the columns; they are for a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bannock.cas.console.sharing import Edge, Node

__all__ = ["HEIGHT", "WIDTH", "Arrow", "Box", "Picture", "picture_of"]

#: Of a box, in the units of the picture.
WIDTH: Final = 236
HEIGHT: Final = 58
_BETWEEN_COLUMNS: Final = 216
_BETWEEN_ROWS: Final = 34
_MARGIN: Final = 14
#: How often columns are sorted by their neighbours; more changes nothing that one could see.
_SWEEPS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A party in its place."""

    node: Node
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """An edge in its place: a path in the words of SVG, and where what it says goes."""

    edge: Edge
    path: str
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Boxes, arrows, and how large all of it is."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: int
    height: int


def picture_of(edges: Sequence[Edge]) -> Picture:
    """Put the parties of edges into places."""
    columns = _columns(edges)
    rows = _sorted(columns, edges)
    tallest = max((len(row) for row in rows), default=0)
    height = 2 * _MARGIN + tallest * (HEIGHT + _BETWEEN_ROWS) - (_BETWEEN_ROWS if tallest else 0)
    places: dict[Node, tuple[int, int]] = {}
    for column, row in enumerate(rows):
        x = _MARGIN + column * (WIDTH + _BETWEEN_COLUMNS)
        used = len(row) * (HEIGHT + _BETWEEN_ROWS) - _BETWEEN_ROWS
        y = (height - used) // 2
        for node in row:
            places[node] = x, y
            y += HEIGHT + _BETWEEN_ROWS
    width = 2 * _MARGIN + len(rows) * (WIDTH + _BETWEEN_COLUMNS) - (_BETWEEN_COLUMNS if rows else 0)
    return Picture(
        boxes=tuple(Box(node=node, x=x, y=y) for node, (x, y) in places.items()),
        arrows=tuple(_arrows(edges, places)),
        width=width,
        height=height,
    )


def _columns(edges: Sequence[Edge]) -> dict[Node, int]:
    """Give each party the column after the last of those that give to it; a circle is cut where it is closed."""
    givers: dict[Node, list[Node]] = {}
    for edge in edges:
        givers.setdefault(edge.taker, []).append(edge.giver)
        givers.setdefault(edge.giver, [])
    columns: dict[Node, int] = {}
    for start in sorted(givers):
        # By hand and not by recursion: a chain of sessions may be longer than Python's stack.
        waiting: list[Node] = [start]
        opened: dict[Node, None] = {}
        while waiting:
            node = waiting[-1]
            if node in columns:
                waiting.pop()
                continue
            missing = [each for each in givers[node] if each not in columns and each not in opened and each != node]
            if node not in opened and missing:
                opened[node] = None
                waiting += missing
                continue
            columns[node] = 1 + max((columns[each] for each in givers[node] if each in columns), default=-1)
            opened.pop(node, None)
            waiting.pop()
    return columns


def _sorted(columns: Mapping[Node, int], edges: Sequence[Edge]) -> list[list[Node]]:
    """Order every column by the middle of its neighbours, from left to right and back, so that arrows cross little."""
    rows: list[list[Node]] = [[] for _ in range(1 + max(columns.values(), default=-1))]
    for node in sorted(columns):
        rows[columns[node]].append(node)
    neighbours: dict[Node, list[Node]] = {node: [] for node in columns}
    for edge in edges:
        neighbours[edge.giver].append(edge.taker)
        neighbours[edge.taker].append(edge.giver)
    for sweep in range(_SWEEPS):
        order = {node: index / max(1, len(row)) for row in rows for index, node in enumerate(row)}
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            middles = {node: _middle([order[each] for each in neighbours[node]], order[node]) for node in row}
            row.sort(key=lambda node: (middles[node], node))
            order |= {node: index / max(1, len(row)) for index, node in enumerate(row)}
    return rows


def _middle(values: Iterable[float], otherwise: float) -> float:
    found = list(values)
    return sum(found) / len(found) if found else otherwise


def _arrows(edges: Sequence[Edge], places: Mapping[Node, tuple[int, int]]) -> list[Arrow]:
    out, into = _ports(edges, places, giving=True), _ports(edges, places, giving=False)
    found = []
    for index, edge in enumerate(edges):
        x1, y1 = places[edge.giver][0] + WIDTH, out[index]
        x2, y2 = places[edge.taker][0], into[index]
        # An arrow that goes back, in a circle, swings around its boxes.
        bend = max(60, (x2 - x1) // 2) if x2 > x1 else 120
        path = f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 7} {y2}"
        # The middle of the curve, where its parameter is one half.
        x = (x1 + 3 * (x1 + bend) + 3 * (x2 - bend) + x2) // 8
        found.append(Arrow(edge=edge, path=path, x=x, y=(y1 + y2) // 2))
    return found


def _ports(edges: Sequence[Edge], places: Mapping[Node, tuple[int, int]], *, giving: bool) -> dict[int, int]:
    """Spread the ends of arrows over the side of their box, in the order of their other ends."""
    of_box: dict[Node, list[int]] = {}
    for index, edge in enumerate(edges):
        of_box.setdefault(edge.giver if giving else edge.taker, []).append(index)
    found: dict[int, int] = {}
    for node, indices in of_box.items():
        indices.sort(key=lambda index: places[edges[index].taker if giving else edges[index].giver][::-1])
        for number, index in enumerate(indices, start=1):
            found[index] = places[node][1] + HEIGHT * number // (len(indices) + 1)
    return found
