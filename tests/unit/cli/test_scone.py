"""The command ``scone``: its verbs and its help."""

from __future__ import annotations

import importlib
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest

from bannock.cli import scone
from bannock.errors import InputError


def test_console_script() -> None:
    """Installing the package gives the command."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"]["scone"] == "bannock.cli.scone:entry"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"], ["fspf", "--help"], ["fspf", "-h"], ["fspf", "help"]])
def test_overview_names_every_verb(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """The command and its group explain themselves, with examples."""
    assert scone.main(arguments) == 0
    told = capsys.readouterr().out
    group = arguments[:1] if arguments[:1] == ["fspf"] else []
    assert all(" ".join(words) in told for words in scone.VERBS if [*words][: len(group)] == group)
    assert "examples:" in told


@pytest.mark.parametrize("words", scone.VERBS, ids=" ".join)
def test_every_verb_teaches(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """The help of a verb says what it does and shows examples, also by way of ``fspf help VERB``."""
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(scone.VERBS[words][0]).main(["--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert f"usage: scone {' '.join(words)} " in told
    assert "examples:" in told
    with suppress(SystemExit):
        scone.main([*words[:-1], "help", words[-1]])
    assert capsys.readouterr().out == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fspf"], "`scone fspf` needs a command: create, addr, addf, encrypt, create-volume, show, check, import"),
        (["fspf", "creat"], "did you mean `scone fspf create`?"),
        (["fspf", "ecnrypt", "f"], "did you mean `scone fspf encrypt`?"),
        (["fspf", "nothing"], "there is no command `scone fspf nothing`"),
        (["fpsf", "create"], "did you mean `scone fspf create`?"),
    ],
)
def test_slips_are_understood(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    """What is not a verb is an error that names the nearest one, or all of the group."""
    assert scone.main(arguments) == InputError.exit_code
    assert told in capsys.readouterr().err
