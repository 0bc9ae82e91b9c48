"""Cutting work in pieces."""

from __future__ import annotations

import pytest

from bannock.errors import InputError
from bannock.execution.runs.split import pieces_of


def test_a_range_is_cut() -> None:
    """Every value is in one piece; the last piece may be smaller."""
    pieces = pieces_of("FRAME=1..25/10")
    assert [piece.title for piece in pieces] == ["FRAME-1-10", "FRAME-11-20", "FRAME-21-25"]
    assert pieces[2].variables == {"FRAME": "21", "FRAME_FIRST": "21", "FRAME_LAST": "25"}


def test_without_a_size_each_value_is_a_piece() -> None:
    """So each frame is a run."""
    assert [piece.title for piece in pieces_of("N=7..9")] == ["N-7", "N-8", "N-9"]


def test_values_are_listed() -> None:
    """What is no number is listed."""
    assert [piece.variables["SCENE"] for piece in pieces_of("SCENE=day,night")] == ["day", "night"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FRAME",
        "FRAME=",
        "FRAME=3..1",
        "FRAME=1..9/0",
        "FRAME=1..20000",
        "=1..2",
        "A=x",
        "A=x,x",
        "A=../x,y",
        "1=1..2",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """The message says what it has to look like."""
    with pytest.raises(InputError, match="--split is NAME=FIRST"):
        pieces_of(text)
