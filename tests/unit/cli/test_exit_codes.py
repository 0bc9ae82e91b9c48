"""The table of exit codes: complete, true, and what docs/errors.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

import bannock.errors
from bannock.cas.audit.findings import Outcome
from bannock.cli.commands import commands
from bannock.cli.exit_codes import OF_VERBS, OTHERS, error_codes, table
from bannock.errors import BannockError
from bannock.execution.runs import course

_PAGE = Path(__file__).parents[3] / "docs" / "errors.md"


def test_the_page_has_the_table() -> None:
    """docs/errors.md shows the table as it is made."""
    assert table() in _PAGE.read_text(encoding="utf-8"), "put what `table()` gives into docs/errors.md"


def test_every_class_of_errors_is_in_it() -> None:
    """Each class has one row."""
    classes = [getattr(bannock.errors, name) for name in bannock.errors.__all__]
    wanted = {each for each in classes if isinstance(each, type) and issubclass(each, BannockError)}
    assert {row.error for row in error_codes()} == wanted


def test_codes_have_one_meaning_each() -> None:
    """No two rows have the same code, and all are such that a shell can tell."""
    codes = [row.code for row in (*error_codes(), *OTHERS)]
    assert len(set(codes)) == len(codes)
    assert all(code in range(256) for code in codes)


@pytest.mark.parametrize("verb", OF_VERBS)
def test_verbs_of_it_exist(verb: str) -> None:
    """Every command that it names is one."""
    assert verb in {" ".join((command.name, *words)) for command in commands() for words in command.verbs}


@pytest.mark.parametrize("verb", ["scone cas verify-audit-log", "scone cas attest-audit-log"])
def test_verdicts_on_logs(verb: str) -> None:
    """The exit codes of a verification are all there."""
    assert [row.code for row in OF_VERBS[verb]] == sorted(Outcome)


def test_runs_end_as_it_says() -> None:
    """What a run ends with whose time was over is what the table says."""
    assert course._TIMED_OUT in {row.code for row in OTHERS}
