"""Colours: where they are written."""

from __future__ import annotations

import io

import pytest

from bannock.cli.style import Style, has_colours, painted, styled


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (_Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (_Terminal(), {"NO_COLOR": "1"}, False),
        (_Terminal(), {"NO_COLOR": ""}, True),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": ""}, False),
        (_Terminal(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (_Terminal(), {"TERM": "dumb"}, False),
        (_Terminal(), {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
    ],
)
def test_colours_are_for_terminals(stream: io.StringIO, environment: dict[str, str], *, coloured: bool) -> None:
    """Unless somebody says otherwise; who wants none has the last word."""
    assert has_colours(stream, environment) is coloured
    assert ("\x1b" in styled("text", Style.GOOD, stream, environment)) is coloured


@pytest.mark.parametrize("line", ["Error: it", "  Caused by: it", "Warning: it", "Hint: it"])
def test_beginnings_are_painted(line: str) -> None:
    """The beginning of a line is, and what is told stays as it is."""
    shown = painted(line, _Terminal(), {})
    assert shown.startswith("\x1b[")
    assert shown.endswith("\x1b[0m it")
    assert painted(line, io.StringIO(), {}) == line


def test_what_is_told_is_not_painted() -> None:
    """Lines of another kind stay as they are."""
    assert painted("    Error: of somebody else", _Terminal(), {}) == "    Error: of somebody else"
