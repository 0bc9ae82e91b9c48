"""Forms of options that several verbs share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.runtime.settings import Mount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Parser", "add_mount", "conf_directory", "pairs"]

_MOUNT_HELP: Final = (
    "how volumes come under the application: by FUSE, opened in memory, or FUSE where it is to be had (auto, default)"
)


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
