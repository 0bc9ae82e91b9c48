"""What holds for every command, every verb and every parser."""

from __future__ import annotations

import argparse
import json
import re
import shlex
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
#: What lists, looks or judges: programs want to read it, too.
_TELLING: Final = re.compile(
    r"(list|list-hosts|info|show|show-(machine|tcb-state|identification)|probe|explain|diff|forecast|doctor|attest|"
    r"check-host|check_prerequisites|(verify|attest)-audit-log|session test|fspf check)$"
)
#: What hands its arguments on to a program of others.
_HANDING_ON: Final = ("bannock k8s kubectl", "bannock k8s helm")
#: What may take long, and shows how far it is.
_LONG_WORK: Final = (
    "bannock decrypt", "bannock demo", "bannock encryptedpush", "bannock execute", "bannock runs cancel",
    "bannock runs resume", "scone fspf addf", "scone fspf check", "scone fspf create-volume", "scone fspf import",
    "sconectl apply", "sconify_iexec", "sconify_image",
)  # fmt: skip


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


_SUBSTITUTION: Final = re.compile(r"[$<]\(([^()]*)\)")
_ASSIGNED: Final = re.compile(r"[A-Z_]+=|export$|until$|eval$")


def _commands_in(text: str) -> Iterator[list[str]]:
    """Yield the command lines in examples, without what a shell takes for itself."""
    lines = re.sub(r" (\\|\||&&)\n +", lambda found: " " if found[1] == "\\" else f" {found[1]} ", text)
    for line in re.findall(r"^  (\S.*)$", lines, re.MULTILINE):
        within = [line]
        while within:
            found = within.pop()
            within += _SUBSTITUTION.findall(found)
            words: list[str] = []
            tokens = shlex.shlex(_SUBSTITUTION.sub("X", found), posix=True, punctuation_chars="();<>|&")
            tokens.commenters, tokens.whitespace_split = "", True
            for token in [*tokens, ";"]:
                if set(token) <= set(";<>|&"):
                    yield words
                    words = []
                elif words or not _ASSIGNED.match(token):
                    words.append(token)


def _parsed(words: list[str]) -> tuple[str, ...] | None:
    """Parse a command line if it is one of ours, and give the verb's words."""
    name, *rest = ["kubectl-provision", *words[2:]] if words[:2] == ["kubectl", "provision"] else words
    for verb in _VERBS:
        if (name, *rest[: len(verb.words)]) == (verb.command, *verb.words):
            behind = rest[len(verb.words) :]
            cut = next((number for number, word in enumerate(behind) if word in verb.parts), len(behind))
            if verb.name in _HANDING_ON:
                return (verb.command, *verb.words)
            parser = verb.parser
            (parser.parse_args if verb.name == "bannock run" else parser.parse_intermixed_args)(behind[:cut])
            if cut < len(behind):
                verb.parts[behind[cut]].parse_args(behind[cut + 1 :])
            return (verb.command, *verb.words)
    return None


@pytest.mark.parametrize("verb", _VERBS, ids=_name)
def test_examples_can_be_typed(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    """Every example is one of the verb, or of what it goes with, and its options are such as there are."""
    text = (verb.parser.epilog or "").removeprefix("examples:\n")
    seen = set()
    for words in filter(None, _commands_in(text)):
        try:
            # Help is told before anything else is looked at.
            seen.add(_parsed([word for word in words if word != "--help"]))
        except SystemExit:
            pytest.fail(f"{shlex.join(words)}: {capsys.readouterr().err}")
    typed = (verb.command, *verb.words)
    assert {typed, ("scone-signer", *typed[2:]), ("sconify_image",)} & seen, text


@pytest.mark.parametrize("name", MODULES)
def test_slips_in_verbs_are_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A verb that does not exist is an error; that of a word with one letter too few names it."""
    command = command_named(name)
    verbs = [words for words in command.verbs if words]
    for words in verbs:
        slip = words[-1][:-2] + words[-1][-1]
        assert command.run([*words[:-1], slip]) == InputError.exit_code, words
        assert "Hint: did you mean `" in capsys.readouterr().err, words


@pytest.mark.parametrize("verb", [verb for verb in _VERBS if _TELLING.search(verb.name)], ids=_name)
def test_what_is_told_can_be_read_by_programs(verb: Verb) -> None:
    """Whatever lists, looks or judges has --json."""
    assert "--json" in verb.parser._option_string_actions


@pytest.mark.parametrize("verb", [verb for verb in _VERBS if verb.name in _LONG_WORK], ids=_name)
def test_long_work_can_be_quiet(verb: Verb) -> None:
    """Whatever shows how far it is has --quiet."""
    assert "--quiet" in verb.parser._option_string_actions


def test_whoever_shows_progress_is_known() -> None:
    """No module shows progress, but those whose verbs are tested for --quiet."""
    showing = {
        path.stem
        for path in (_ROOT / "src" / "bannock" / "cli").glob("*.py")
        if re.search(
            r"with .*(show_progress|observed)\(|^        show_progress\(",
            path.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    }
    assert showing == {
        "decrypt", "demo", "encryptedpush", "execute", "fspf_addf", "fspf_check", "fspf_create_volume", "fspf_import",
        "fspf_options", "run_parts", "runs_cancel",
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    ["scone cas list", "scone self show", "bannock list-hosts", "bannock runs list", "bannock doctor software"],
)
def test_json_is_json(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing else is printed, also where there is nothing to list."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCONE_CLI_CONFIG", raising=False)
    monkeypatch.delenv("BANNOCK_HOME", raising=False)
    command, *words = arguments.split()
    assert command_named(command).run([*words, "--json"]) == 0
    json.loads(capsys.readouterr().out)
