"""Host arguments: what a session leaves to the host, and nothing else of the host's."""

from __future__ import annotations

import pytest

from bannock.errors import InputError
from bannock.policy.host_arguments import (
    REST,
    fill_arguments,
    fill_environment,
    host_name,
    host_position,
    require_host_arguments,
)


@pytest.mark.parametrize(
    ("word", "position"),
    [
        ("@@1", 1),
        ("@@12", 12),
        ("@@*", REST),
        ("@@0", None),
        ("@@01", None),
        ("@@", None),
        ("-x@@1", None),
        ("@1", None),
    ],
)
def test_positions(word: str, position: int | None) -> None:
    """A host argument is a whole word, and positions count from one."""
    assert host_position(word) == position


@pytest.mark.parametrize(
    ("name", "meant"), [("@@NAME", "NAME"), (r"\@\@NAME", "NAME"), ("NAME", None), ("@@", None), ("@NAME", None)]
)
def test_names(name: str, meant: str | None) -> None:
    """A variable is left to the host by the two signs before its name, escaped or not."""
    assert host_name(name) == meant


def test_arguments_of_the_reference() -> None:
    """``print-arg-env arg1 @@1 @@2`` with the host's ``arg2 arg3``."""
    argv = ("print-arg-env", "arg1", "@@1", "@@2")
    assert fill_arguments(argv, (2, 3), ("arg2", "arg3")) == ("print-arg-env", "arg1", "arg2", "arg3")


def test_positions_are_those_of_the_host() -> None:
    """Not the order of the command decides; what is not asked for is left out."""
    assert fill_arguments(("app", "@@3", "@@1"), (1, 2), ("a", "b", "c", "d")) == ("app", "c", "a")


def test_all_the_rest() -> None:
    """``@@*`` is every argument that is not named by its position; that may be none."""
    assert fill_arguments(("app", "@@2", "--", "@@*", "end"), (1, 3), ("a", "b", "c")) == (
        "app",
        "b",
        "--",
        "a",
        "c",
        "end",
    )
    assert fill_arguments(("app", "@@*"), (1,), ()) == ("app",)


def test_what_looks_like_one_and_is_none_stays() -> None:
    """The value of a secret is not the session's word."""
    assert fill_arguments(("app", "@@1", "@@1"), (2,), ("host",)) == ("app", "@@1", "host")


def test_the_host_cannot_add_an_argument() -> None:
    """What the host gives and the session does not ask for never gets to the program; nor is it looked at again."""
    assert fill_arguments(("app",), (), ("--insecure",)) == ("app",)
    assert fill_arguments(("app", "@@1"), (1,), ("@@2", "evil")) == ("app", "@@2")


def test_missing_arguments_are_fatal() -> None:
    """Every one that is missing is named."""
    with pytest.raises(InputError, match=r"asks for the host arguments @@2, @@4, and 1 were given"):
        fill_arguments(("app", "@@1", "@@4", "@@2"), (1, 2, 3), ("a",))


@pytest.mark.parametrize(
    ("argv", "left", "message"),
    [
        (("app", "@@1", "@@1"), (1, 2), "@@1 twice"),
        (("app", "@@*", "@@*"), (1, 2), r"@@\* twice"),
        (("app", "plain"), (1,), "not of the form"),
        (("app",), (1,), "not of the form"),
        (("app", "@@1"), (-1,), "not of the form"),
    ],
)
def test_duplicates_and_nonsense_are_refused(argv: tuple[str, ...], left: tuple[int, ...], message: str) -> None:
    """A duplicate position is fatal."""
    with pytest.raises(InputError, match=message):
        require_host_arguments(argv, left)


def test_environment() -> None:
    """A variable that the host has not is empty, and one that is not asked for stays with the host."""
    given = {"NAME": "42", "LD_PRELOAD": "/evil.so", "MINE": "host"}
    assert fill_environment({"MINE": "session"}, ("NAME", "OTHER"), given) == {
        "MINE": "session",
        "NAME": "42",
        "OTHER": "",
    }
