"""The first line of scripts, which names what runs them."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bannock.identity.libraries import FileReader

__all__ = ["interpreter_words"]

#: Linux reads as much of it (execve(2)).
_FIRST_LINE: Final = 256


def interpreter_words(path: str, reader: FileReader) -> list[str]:
    """Return the interpreter that a script names, and the argument there; nothing for what is no script.

    ``env``, which looks for a program by its name, is left out: the name is what counts.
    """
    line, end, _ = reader.read(path, 0, _FIRST_LINE).partition(b"\n")
    if not line.startswith(b"#!") or not end:
        return []
    words = line[2:].decode("utf-8", "replace").split()
    return words[1:] if words and posixpath.basename(words[0]) == "env" else words
