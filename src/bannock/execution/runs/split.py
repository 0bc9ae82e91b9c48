"""Work that is cut in pieces: the frames of an animation, say. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Piece", "pieces_of"]

_NAME: Final = r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})"
_RANGE: Final = re.compile(rf"{_NAME}=(?P<first>\d{{1,9}})\.\.(?P<last>\d{{1,9}})(?:/(?P<size>\d{{1,9}}))?")
_LIST: Final = re.compile(rf"{_NAME}=(?P<values>[A-Za-z0-9_.-]+(?:,[A-Za-z0-9_.-]+)+)")
#: Each is a run of its own, with a container and a session.
_PIECES_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of work.

    Attributes:
        title: for people, and usable in names of files: ``FRAME-1-10``.
        variables: of the session's template, and what the container gets for its host arguments.
    """

    title: str
    variables: Mapping[str, str]


def pieces_of(text: str) -> list[Piece]:
    """Cut work in pieces.

    Args:
        text: ``NAME=FIRST..LAST``, ``NAME=FIRST..LAST/SIZE`` or ``NAME=A,B,C``. A piece gets the variables NAME (its
            first value), NAME_FIRST and NAME_LAST.

    Raises:
        InputError: it is none of these.
    """
    if match := _RANGE.fullmatch(text):
        first, last, size = int(match["first"]), int(match["last"]), int(match["size"] or 1)
        if first <= last and size > 0 and (last - first) // size < _PIECES_MAX:
            starts = range(first, last + 1, size)
            return [_piece(match["name"], str(start), str(min(start + size - 1, last))) for start in starts]
    elif match := _LIST.fullmatch(text):
        values = match["values"].split(",")
        if len(set(values)) == len(values):
            return [_piece(match["name"], value, value) for value in values]
    raise InputError(
        f"--split is NAME=FIRST..LAST[/SIZE] or NAME=A,B,C, at most {_PIECES_MAX} pieces; found {text[:80]!r}",
        hint="--split FRAME=1..240/10 makes 24 runs of 10 frames each",
    )


def _piece(name: str, first: str, last: str) -> Piece:
    title = f"{name}-{first}" if first == last else f"{name}-{first}-{last}"
    return Piece(title=title, variables={name: first, f"{name}_FIRST": first, f"{name}_LAST": last})
