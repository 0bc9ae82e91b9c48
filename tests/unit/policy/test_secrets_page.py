"""The page on secrets: its sessions are sessions, and its table of formats is the one of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bannock.policy import parse_session
from bannock.policy.template import FORMATS, SecretKind

_PAGE = (Path(__file__).parents[3] / "docs" / "secrets.md").read_text(encoding="utf-8")
_SESSIONS = re.findall(r"^```yaml\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", _SESSIONS)
def test_sessions_of_the_page(text: str) -> None:
    """Each is in the session language, without a warning."""
    assert parse_session(text, variables={"AZURE_SECRET": "s"}).warnings == ()


def test_the_page_has_sessions() -> None:
    """They were found."""
    assert len(_SESSIONS) == 5


def _formats(cell: str) -> set[str]:
    """Read a cell; ``X or Y with A, B or C`` is every pair."""
    if " with " in cell:
        first, second = (re.findall(r"`(:[a-z0-9]+)`", part) for part in cell.split(" with "))
        return {(one + two).removeprefix(":") for one in first for two in second}
    return {suffix.removeprefix(":") for suffix in re.findall(r"`(:[a-z0-9:-]+)`", cell)}


def test_the_table_of_formats() -> None:
    """Every kind has its row, and in it every suffix that there is."""
    rows = re.findall(r"^\| (`[^|]*`) \|[^|]*\|[^|]*\|([^|]*)\|$", _PAGE, re.MULTILINE)
    told = {SecretKind(kind): _formats(cell) for kinds, cell in rows for kind in re.findall(r"`([a-z0-9-]+)`", kinds)}
    known = {
        kind: {suffix for suffix in formats if suffix and not suffix.startswith(".")}
        for kind, formats in FORMATS.items()
    }
    assert told == known
