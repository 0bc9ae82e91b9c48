"""Issues at the places of a document, in words; whatever reads the document. Pure."""

from __future__ import annotations

import difflib
import itertools
from typing import TYPE_CHECKING, Final

from bannock.errors import Issue
from bannock.policy._document import Mapping, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.policy._document import Node

__all__ = ["ISSUES_MAX", "clip", "form_of", "found", "issue_at", "nearest"]

#: What a person can read; a document with more defects than these is not worth more words.
ISSUES_MAX: Final = 100
_SHOWN_CHARACTERS: Final = 60
#: Comparing words is slow, and a document from outside may have thousands of names.
_COMPARED_MAX: Final = 200


def issue_at(node: Node, path: str, message: str, hint: str | None = None) -> Issue:
    """Make an issue at the place of a node."""
    return Issue(line=node.line, column=node.column, path=path, message=message, hint=hint)


def nearest(word: str, known: Iterable[str], slips: dict[str, str] | None = None) -> str | None:
    """Suggest the known word that was probably meant."""
    compared = itertools.islice(known, _COMPARED_MAX)
    meant = (slips or {}).get(word) or next(iter(difflib.get_close_matches(word[:128], list(compared), n=1)), None)
    return f"did you mean {meant}?" if meant else None


def form_of(node: Node) -> str:
    """Say what form a node has."""
    match node:
        case Scalar():
            return "text" if node.text else "nothing"
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"


def found(node: Node) -> str:
    """Show what was found; of a variable its name and the size of its value, which may be a secret."""
    if not isinstance(node, Scalar) or not node.text:
        return form_of(node)
    if node.source != node.text:
        return f"{clip(node.source)!r} of {len(node.text)} characters"
    return repr(clip(node.text))


def clip(text: str) -> str:
    """Give as much of a text as a message shows."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
