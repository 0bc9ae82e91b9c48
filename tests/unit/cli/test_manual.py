"""Manual pages: one for each command and each verb, and such that `man` shows them."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from bannock.cli import bannock
from bannock.cli.commands import commands
from bannock.cli.exit_codes import error_codes
from bannock.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manual."""
    directory = tmp_path_factory.mktemp("man")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "86400")
        assert bannock.main(["man", str(directory)]) == 0
    return directory


def test_every_verb_has_a_page(pages: Path) -> None:
    """Named as `git` does it, by the words with hyphens between."""
    for command in commands():
        for words in command.verbs:
            text = (pages / "man1" / f"{'-'.join((command.name, *words))}.1").read_text(encoding="ascii")
            assert ".SH NAME" in text
            assert ".SH EXIT STATUS" in text
    assert (pages / "man1" / "bannock.1").read_text(encoding="ascii").startswith('.TH "BANNOCK" 1 "1970-01-02"')


def test_codes_have_a_page(pages: Path) -> None:
    """Every class of errors is on it."""
    text = (pages / "man7" / "bannock-exit-codes.7").read_text(encoding="ascii")
    for row in error_codes():
        assert row.error is not None
        assert rf"{row.code} ({row.error.kind})".replace("-", r"\-") in text


def test_pages_are_well_formed(pages: Path) -> None:
    """The strictest reader of manual pages has nothing to say."""
    if (mandoc := shutil.which("mandoc")) is None:
        pytest.skip("mandoc is not installed")
    files = sorted(map(str, pages.glob("man*/*")))
    done = subprocess.run([mandoc, "-T", "lint", "-W", "warning", *files], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_pages_are_shown(pages: Path) -> None:
    """What stands in the help is on the page, and nothing of it is taken for a request."""
    if (mandoc := shutil.which("mandoc")) is None:
        pytest.skip("mandoc is not installed")
    page = pages / "man1" / "scone-session-sign.1"
    shown = subprocess.run(
        [mandoc, "-T", "ascii", "-O", "width=100", str(page)], capture_output=True, text=True, check=True
    ).stdout
    plain = " ".join("".join(_plain(shown)).split())
    assert "scone session sign FILE add-signature [-h] SIGNER [SIGNATURE]" in plain
    assert "openssl dgst -sha384 -sign key.pem | scone session sign session.yml add-signature key.pub" in plain
    assert "-n, --name NAME the name of the session" in plain


def _plain(shown: str) -> list[str]:
    """Take back what makes bold and underlined signs on printers."""
    signs: list[str] = []
    for sign in shown:
        if sign == "\b":
            signs.pop()
        else:
            signs.append(sign)
    return signs


def test_dates_have_to_be_dates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A build that gives the date gives one that can be read."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert bannock.main(["man", str(tmp_path)]) == InputError.exit_code
