"""Colours, where whoever reads has a terminal and wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Style", "has_colours", "painted", "styled"]

_END: Final = "\x1b[0m"


class Style:
    """How something is shown on a terminal."""

    BAD: Final = "\x1b[1;31m"
    DOUBTFUL: Final = "\x1b[33m"
    GOOD: Final = "\x1b[32m"
    ADVICE: Final = "\x1b[36m"


#: How the lines of warnings and errors begin.
_BEGINNINGS: Final = {
    "Error:": Style.BAD,
    "  Caused by:": Style.BAD,
    "Warning:": Style.DOUBTFUL,
    "Hint:": Style.ADVICE,
}


def has_colours(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether colours are to be written: to terminals, unless ``NO_COLOR`` or ``FORCE_COLOR`` is set.

    As Python's own tools have it: the former counts more, and neither counts if it is empty.
    """
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return environment.get("TERM") != "dumb" and stream.isatty()


def styled(text: str, style: str, stream: TextIO, environment: Mapping[str, str]) -> str:
    """Give a text a style, where there are colours."""
    return f"{style}{text}{_END}" if has_colours(stream, environment) else text


def painted(line: str, stream: TextIO, environment: Mapping[str, str]) -> str:
    """Give the beginning of a line of an error, a warning or a hint its colour, where there are colours."""
    for beginning, style in _BEGINNINGS.items():
        if line.startswith(beginning):
            return styled(beginning, style, stream, environment) + line[len(beginning) :]
    return line
