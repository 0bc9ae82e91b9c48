"""The command ``scone`` in a home of its own, and a CAS that it can ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from bannock.cas import EmbeddedCas
from bannock.cli import scone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command line came to."""

    code: int
    out: str
    err: str


class Scone:
    """Runs command lines in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Answer:
        """Run one, whatever comes of it."""
        self._capsys.readouterr()
        code = scone.main(arguments)
        told = self._capsys.readouterr()
        return Answer(code=code, out=told.out, err=told.err)

    def done(self, *arguments: str) -> str:
        """Run one that has to succeed, and give what it prints."""
        answer = self(*arguments)
        assert answer.code == 0, answer.err
        return answer.out


@pytest.fixture(name="scone")
def _scone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scone:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SCONE_CLI_RETRIES", "0")
    monkeypatch.chdir(home)
    return Scone(capsys)


@pytest.fixture
def cas(tmp_path: Path) -> Iterator[EmbeddedCas]:
    """A CAS that listens."""
    with EmbeddedCas(tmp_path / "cas") as running:
        yield running
