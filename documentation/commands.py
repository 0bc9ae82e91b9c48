"""The reference of all commands, made of their parsers."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Final
from unittest import mock

from bannock.cli.commands import commands, verbs_of
from documentation.markdown import cell, fenced, prose, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.cli.command import Command
    from bannock.cli.commands import Verb

__all__ = ["command_pages"]

_COLUMNS: Final = "100"
_EXAMPLES: Final = "examples:"


def command_pages() -> Iterator[tuple[str, str]]:
    """Yield the name of each command, and the page of it."""
    with mock.patch.dict(os.environ, {"COLUMNS": _COLUMNS, "NO_COLOR": "1"}):
        for command in commands():
            yield command.name, _page(command)


def _page(command: Command) -> str:
    verbs = list(verbs_of(command))
    parts = [f"# {command.name}\n"]
    if [verb.words for verb in verbs] == [()]:
        parts += _verb(verbs[0])
    else:
        parts += [f"{words(command.purpose)}\n", "| command | what it does |\n|---|---|"]
        parts += [f"| [`{verb.name}`](#{_anchor(verb)}) | {cell(verb.summary)} |" for verb in verbs]
        parts += ["", fenced(command.examples) if command.examples.strip() else ""]
        for verb in verbs:
            parts += [f"## {verb.name} {{ #{_anchor(verb)} }}\n", *_verb(verb)]
    parts.append("Exit codes are listed in [errors and exit codes](../errors.md).\n")
    return "\n".join(parts)


def _anchor(verb: Verb) -> str:
    return "-".join(verb.words)


def _verb(verb: Verb) -> Iterator[str]:
    yield from _parser(verb.parser)
    for word, parser in verb.parts.items():
        yield f"**… `{word}`**\n"
        yield from _parser(parser)


def _parser(parser: argparse.ArgumentParser) -> Iterator[str]:
    if parser.description:
        yield prose(parser.description)
    yield fenced(parser.format_usage().removeprefix("usage: "))
    rows = [row for action in parser._actions if (row := _row(parser, action)) is not None]  # noqa: SLF001
    if rows:
        yield "| | |\n|---|---|\n" + "\n".join(rows) + "\n"
    epilog = (parser.epilog or "").strip()
    examples = epilog.removeprefix(_EXAMPLES).strip("\n")
    if examples.strip():
        yield fenced(examples) if epilog.startswith(_EXAMPLES) else prose(examples)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str | None:
    """Write what an option or an argument means; of some nothing is told."""
    if action.help is argparse.SUPPRESS or isinstance(action, argparse._HelpAction):  # noqa: SLF001
        return None
    formatter = parser._get_formatter()  # noqa: SLF001 - what argparse itself makes help of
    name = formatter._format_action_invocation(action)  # noqa: SLF001
    meaning = formatter._expand_help(action) if action.help else ""  # noqa: SLF001
    return f"| `{name}` | {cell(meaning)} |"
