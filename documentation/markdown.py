"""Text as Markdown."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["cell", "fenced", "prose", "words"]

_CODE: Final = re.compile(r"(`[^`]*`)")
_SPECIAL: Final = re.compile(r"([\\*_<>\[\]{}#|])")


def words(text: str) -> str:
    """Write text that has no markup but code between backticks."""
    parts = _CODE.split(text)
    return "".join(part if number % 2 else _SPECIAL.sub(r"\\\1", part) for number, part in enumerate(parts))


def cell(text: str) -> str:
    """Write text for a table."""
    return " ".join(words(text).split())


def fenced(text: str, kind: str = "text") -> str:
    """Write text that keeps its lines."""
    return f"```{kind}\n{text.strip(chr(10))}\n```\n"


def prose(text: str) -> str:
    """Write paragraphs; those with indented lines keep them."""
    paragraphs = re.split(r"\n\s*\n", text.strip("\n"))
    return "\n".join(
        fenced(each) if re.search(r"^ ", each, re.MULTILINE) else f"{words(each)}\n" for each in paragraphs
    )
