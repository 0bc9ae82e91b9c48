"""The tutorial of ``scone``: its commands do what it says, for a new user, in a network of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from bannock.cli.scone import VERBS
from tests.documentation import Reader, page, tools

if TYPE_CHECKING:
    from pathlib import Path

_GUIDE = page("cli.md")


@pytest.mark.root
def test_outputs_are_real(tmp_path: Path) -> None:
    """Every command of the tutorial prints what stands below it, but for hashes and times."""
    assert len(_GUIDE.steps) > 30
    Reader(tmp_path / "home", {"PATH": tools(tmp_path / "tools")}, alone=True).follow(_GUIDE)


def test_every_verb_is_listed() -> None:
    """The table at the end has every command, as its help describes it, and no other."""
    rows = re.findall(r"^\| `scone ([a-z -]+)` \| (.*) \|$", _GUIDE.path.read_text(encoding="utf-8"), re.MULTILINE)
    expected = {" ".join(words): what for words, (_, what) in VERBS.items() if words[0] != "fspf"}
    assert dict(rows) == expected
    assert len(rows) == len(expected)
