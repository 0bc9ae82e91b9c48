"""The command ``sconify_iexec``: ``sconify_image`` by iExec's name, which uploads sessions only if it is told to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.command import Command
from bannock.cli.sconify_image import run
from bannock.cli.sconify_options import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMAND", "entry", "main"]

_NAME: Final = "sconify_iexec"
_PURPOSE: Final = "Make a protected image of a native one, and the session for it."

COMMAND: Final = Command(
    name=_NAME,
    purpose=_PURPOSE,
    verbs={(): (__name__, "the same, which uploads sessions only where it is told to")},
    examples="",
)


def entry() -> NoReturn:
    """Be the console script."""
    COMMAND.enter()


def main(arguments: Sequence[str]) -> int:
    """Parse, convert, store, print the name of the session."""
    return run(parse(_NAME, arguments, os.environ, iexec=True))


if __name__ == "__main__":
    entry()
