"""Forms of options that several verbs share."""

from __future__ import annotations

import argparse
import os
import re
import sys
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.style import painted
from bannock.errors import InputError
from bannock.runtime.settings import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

    from _typeshed import SupportsWrite

__all__ = ["Parser", "add_json", "add_mount", "add_quiet", "as_json", "conf_directory", "pairs", "parser_of"]

_MOUNT_HELP: Final = (
    "how volumes come under the application: by FUSE, opened in memory, or FUSE where it is to be had (auto, default)"
)
#: Where a parser goes that is asked for its help, in place of its text.
_ASKED: Final[ContextVar[list[Parser] | None]] = ContextVar("_ASKED", default=None)
_OPTION: Final = re.compile(r"--[A-Za-z][\w-]*")
_USAGE: Final = InputError.exit_code


class Parser(argparse.ArgumentParser):
    """A parser whose help keeps its line breaks and whose options are not to be shortened.

    Args:
        verb, description, examples: of the help.
        command: whose verb it is; one without verbs has an empty one.
        short_help: whether ``-h`` asks for help, and not for something else.
    """

    def __init__(
        self, verb: str, description: str, examples: str, *, command: str = "bannock", short_help: bool = True
    ) -> None:
        super().__init__(
            prog=f"{command} {verb}".rstrip(),
            description=description,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        names = ("-h", "--help") if short_help else ("--help",)
        self.add_argument(*names, action="help", help="show this help message and exit")

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Show the help, or go to whoever looks for the parser."""
        asked = _ASKED.get()
        if asked is None:
            super().print_help(file)
        else:
            asked.append(self)

    def error(self, message: str) -> NoReturn:
        """Tell what is wrong with a command line, in the form of all errors, and exit."""
        self.print_usage(sys.stderr)
        lines = [f"Error: {message}", f"Hint: {self._advice(message)}`{self.prog} --help` shows all options"]
        self.exit(_USAGE, "".join(f"{painted(line, sys.stderr, os.environ)}\n" for line in lines))

    def _advice(self, message: str) -> str:
        import difflib  # noqa: PLC0415 - not for whoever knows the options

        given = _OPTION.search(message) if message.startswith("unrecognized") else None
        near = difflib.get_close_matches(given[0], self._option_string_actions, n=1) if given else []
        return f"did you mean {near[0]}? " if near else ""


def parser_of(main: Callable[[Sequence[str]], int]) -> Parser:
    """Return the parser that a verb parses its command line with.

    Args:
        main: the verb, which parses before it does anything else.
    """
    found: list[Parser] = []
    token = _ASKED.set(found)
    try:
        with suppress(SystemExit):
            main(["--help"])
    finally:
        _ASKED.reset(token)
    return found[0]


def add_json(parser: argparse.ArgumentParser, what: str = "what is printed") -> None:
    """Add ``--json``.

    Args:
        parser: of the verb.
        what: becomes JSON.
    """
    parser.add_argument("--json", action="store_true", dest="as_json", help=f"print {what} as JSON")


def as_json(document: object) -> str:
    """Write a document, with a line break at its end."""
    import json  # noqa: PLC0415 - not for whoever wants text

    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n"


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet``."""
    parser.add_argument("-q", "--quiet", action="store_true", help="do not show how far it is")


def add_mount(parser: argparse.ArgumentParser) -> None:
    """Add ``--mount``."""
    parser.add_argument("--mount", type=Mount, choices=list(Mount), default=Mount.AUTO, help=_MOUNT_HELP)


def conf_directory(option: Path | None, environment: Mapping[str, str]) -> Path:
    """Return where keys and the embedded CAS are kept: the option, $BANNOCK_HOME, or ~/.config/bannock."""
    if option is not None:
        return option.absolute()
    home = environment.get("BANNOCK_HOME")
    return Path(home).absolute() if home else Path.home() / ".config" / "bannock"


def pairs(option: str, texts: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Split ``NAME=VALUE`` texts; with an environment, ``NAME`` alone takes its value from there.

    Raises:
        InputError: one has another form or is not in the environment, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not (equals or environment is not None):
            raise InputError(f"{option} is NAME=VALUE, found {name[:80]!r}")
        if not equals and environment is not None:
            if name not in environment:
                raise InputError(f"{option} {name}: there is no {name} in the environment")
            value = environment[name]
        if name in found:
            raise InputError(f"{option} {name} is given twice")
        found[name] = value
    return found
