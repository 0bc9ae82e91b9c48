"""The command: its verbs, and how it tells errors."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from bannock import __version__
from bannock.cli import bannock
from bannock.errors import BannockError, InputError, RollbackError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _with_verb(monkeypatch: pytest.MonkeyPatch, action: Callable[[Sequence[str]], int]) -> None:
    """Put a verb of the test's own among those of the command."""
    module = type(sys)("tests_verb")
    module.__dict__["main"] = action
    monkeypatch.setitem(sys.modules, "tests_verb", module)
    monkeypatch.setitem(bannock.VERBS, ("verb",), ("tests_verb", "for tests"))


def _raising(error: BaseException) -> Callable[[Sequence[str]], int]:
    def action(_: Sequence[str]) -> int:
        raise error

    return action


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_overview_names_every_verb(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Without a verb, the command explains itself."""
    assert bannock.main(arguments) == 0
    told = capsys.readouterr().out
    assert all(" ".join(words) in told for words in bannock.VERBS)
    assert "examples:" in told


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints one line."""
    assert bannock.main(["--version"]) == 0
    assert capsys.readouterr().out == f"bannock {__version__}\n"


@pytest.mark.parametrize("words", bannock.VERBS, ids=" ".join)
def test_every_verb_teaches(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """The help of a verb says what it does and shows examples."""
    module = importlib.import_module(bannock.VERBS[words][0])
    with pytest.raises(SystemExit) as caught:
        module.main(["--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert f"usage: bannock {' '.join(words)} " in told
    assert "examples:" in told


@pytest.mark.parametrize(
    ("arguments", "suggested"),
    [
        (["exeute"], "bannock execute"),
        (["las"], "bannock las serve"),
        (["transfer", "srve"], "bannock transfer serve"),
        (["serve", "cas"], "bannock cas serve"),
        (["hosts"], "bannock list-hosts"),
        (["trnsfer"], "bannock transfer serve"),
        (["session", "create", "session.yml"], "scone session create"),
        (["cas", "attest", "localhost"], "scone cas attest"),
    ],
)
def test_slips_are_understood(capsys: pytest.CaptureFixture[str], arguments: list[str], suggested: str) -> None:
    """An unknown verb is an error that names the nearest one."""
    assert bannock.main(arguments) == InputError.exit_code
    assert f"did you mean `{suggested}`?" in capsys.readouterr().err


def test_a_word_of_several_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """All that it may be of are named."""
    assert bannock.main(["list"]) == InputError.exit_code
    assert "did you mean `bannock runs list` or `bannock k8s list`?" in capsys.readouterr().err


def test_options_stand_behind_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """One that stands before is told where it belongs."""
    assert bannock.main(["--json", "list-hosts"]) == InputError.exit_code
    told = capsys.readouterr().err
    assert "Error: `bannock` has no option --json\n" in told
    assert "bannock COMMAND --json" in told


def test_verb_gets_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the verb is the verb's, and its exit code is the command's."""
    got: list[str] = []

    def action(arguments: Sequence[str]) -> int:
        got.extend(arguments)
        return 7

    _with_verb(monkeypatch, action)
    assert bannock.main(["verb", "--a", "b"]) == 7
    assert got == ["--a", "b"]


def test_errors_are_told_to_people(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Message, cause and hint go to standard error, no traceback; the class gives the exit code."""
    error = RollbackError("the volume is old", hint="restore it")
    error.__cause__ = BannockError("the root")
    _with_verb(monkeypatch, _raising(error))
    assert bannock.main(["verb"]) == RollbackError.exit_code
    told = capsys.readouterr()
    assert told.err == "Error: the volume is old\n  Caused by: the root\nHint: restore it\n"
    assert told.out == ""


def test_bugs_are_no_tracebacks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that is not ours is told as a bug of ours."""
    _with_verb(monkeypatch, _raising(ZeroDivisionError("division by zero")))
    assert bannock.main(["verb"]) == 70
    told = capsys.readouterr().err
    assert "something that cannot be has happened: ZeroDivisionError" in told
    assert "Traceback" not in told
    assert "BANNOCK_DEBUG=1" in told


def test_traceback_for_developers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """BANNOCK_DEBUG=1 shows where an error comes from."""
    monkeypatch.setenv("BANNOCK_DEBUG", "1")
    _with_verb(monkeypatch, _raising(InputError("bad")))
    assert bannock.main(["verb"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_verb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    """The first signal lets the verb clean up, which a second one does not disturb; handlers are restored."""
    cleaned: list[bool] = []

    def action(_: Sequence[str]) -> int:
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned.append(True)
        return 0

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    _with_verb(monkeypatch, action)
    assert bannock.main(["verb"]) == code
    assert cleaned == [True]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert capsys.readouterr().err == "Interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["help", "cas", "serve"], "usage: bannock cas serve "),
        (["cas", "help", "serve"], "usage: bannock cas serve "),
        (["cas", "--help"], "usage: bannock cas COMMAND"),
        (["help", "cas"], "usage: bannock cas COMMAND"),
    ],
)
def test_help_is_found_before_a_verb(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    """Help may be asked for in front of a verb, and for a group of verbs."""
    with suppress(SystemExit):
        assert bannock.main(arguments) == 0
    assert told in capsys.readouterr().out


def test_help_behind_a_verb_is_the_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word `help` that follows a verb is an argument like any other."""
    got: list[str] = []

    def action(arguments: Sequence[str]) -> int:
        got.extend(arguments)
        return 0

    _with_verb(monkeypatch, action)
    assert bannock.main(["verb", "--", "help"]) == 0
    assert got == ["--", "help"]
