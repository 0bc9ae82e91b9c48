"""What holds for every command, every verb and every parser."""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bannock import __version__
from bannock.cli.commands import MODULES, command_named, commands, verbs_of
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.cli.commands import Verb
    from bannock.cli.options import Parser

_ROOT: Final = Path(__file__).parents[3]
_VERBS: Final = [verb for command in commands() for verb in verbs_of(command)]
_LONG: Final = re.compile(r"--[A-Za-z][\w-]*")
_HELP_MAX: Final = 160


def _parsers() -> Iterator[tuple[str, Parser]]:
    for verb in _VERBS:
        yield verb.name, verb.parser
        for part, parser in verb.parts.items():
            yield f"{verb.name} … {part}", parser


_PARSERS: Final = dict(_parsers())


def _name(verb: Verb) -> str:
    return verb.name


def _actions(parser: Parser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.help is not argparse.SUPPRESS]


def test_console_scripts_are_listed() -> None:
    """The table of commands is that of the package."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {name: f"{module}:entry" for name, module in MODULES.items()}
    assert [command.name for command in commands()] == list(MODULES)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("word", ["--version", "-V", "version"])
def test_versions_are_told_alike(name: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command tells its version in one line."""
    assert command_named(name).run([word]) == 0
    assert capsys.readouterr().out == f"{name} {__version__}\n"


@pytest.mark.parametrize("verb", _VERBS, ids=_name)
def test_verbs_are_explained(verb: Verb) -> None:
    """A verb has a line that says what it does, a description, and examples."""
    assert verb.summary
    assert not verb.summary.endswith(".")
    assert verb.parser.description
    assert "examples:\n  " in (verb.parser.epilog or "")


@pytest.mark.parametrize("name", _PARSERS)
def test_options_are_explained(name: str) -> None:
    """Every option and every argument says what it is, in few words and without a full stop."""
    for action in _actions(_PARSERS[name]):
        what = action.option_strings or action.dest
        assert action.help, what
        assert len(action.help) <= _HELP_MAX, what
        assert not action.help.endswith("."), what


@pytest.mark.parametrize("name", _PARSERS)
def test_usage_names_the_command(name: str) -> None:
    """What is shown as the usage begins with what a user types."""
    typed = name.partition(" … ")[0].replace("kubectl-", "kubectl ").replace("scone-signer", "scone signer")
    assert _PARSERS[name].format_usage().startswith(f"usage: {typed}")


@pytest.mark.parametrize("verb", _VERBS, ids=_name)
def test_slips_in_options_are_understood(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that does not exist is a usage error in the form of all errors; the nearest one is named."""
    with pytest.raises(SystemExit) as ended:
        verb.parser.error("unrecognized arguments: --hepl")
    assert ended.value.code == InputError.exit_code
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("usage: ")
    assert told[-2] == "Error: unrecognized arguments: --hepl"
    assert told[-1].startswith("Hint: did you mean --help? ")


@pytest.mark.parametrize("name", MODULES)
def test_slips_in_verbs_are_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A verb that does not exist is an error; that of a word with one letter too few names it."""
    command = command_named(name)
    verbs = [words for words in command.verbs if words]
    for words in verbs:
        slip = words[-1][:-2] + words[-1][-1]
        assert command.run([*words[:-1], slip]) == InputError.exit_code, words
        assert "Hint: did you mean `" in capsys.readouterr().err, words
