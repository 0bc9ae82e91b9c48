"""``bannock man``: the manual pages of all commands."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.manual import manual
from bannock.cli.options import Parser
from bannock.errors import EnvironmentFault, InputError
from bannock.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Write the manual pages of all commands into a directory: man1/scone-session-create.1 is `man scone-session-create`.
`man` has to look into the directory, as it does into share/man beside a bin that is in PATH; or it is named:
`man -M DIRECTORY scone`.

environment:
  SOURCE_DATE_EPOCH   the date of the pages, in seconds of Unix (today)"""
_EXAMPLES: Final = """\
  bannock man ~/.local/share/man && man bannock-execute"""
_EPOCH: Final = "SOURCE_DATE_EPOCH"


def main(arguments: Sequence[str]) -> int:
    """Parse, write, say how many."""
    parser = Parser("man", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="where the pages are put")
    directory = parser.parse_args(arguments).directory
    pages = manual(_date(os.environ))
    for name, text in pages.items():
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"cannot make {path.parent}: {error.strerror}") from error
        write_atomically(path, text.encode("ascii"), mode=0o644)
    sys.stdout.write(f"{len(pages)} pages in {directory}\n")
    return 0


def _date(environment: Mapping[str, str]) -> dt.date:
    text = environment.get(_EPOCH)
    if not text:
        return dt.datetime.now(dt.UTC).date()
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{_EPOCH} is a number of seconds, found {text[:40]!r}")
    return dt.datetime.fromtimestamp(int(text), dt.UTC).date()
