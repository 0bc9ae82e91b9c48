"""The user's guide of the file shield: its commands do what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bannock.cli.scone import VERBS
from tests.documentation import Reader, page, tools

if TYPE_CHECKING:
    from pathlib import Path

_GUIDE = page("fspf.md")


def test_outputs_are_real(tmp_path: Path) -> None:
    """Every command of the guide prints what stands below it, but for keys and tags."""
    assert len(_GUIDE.steps) > 12
    Reader(tmp_path / "here", {"PATH": tools(tmp_path / "tools", ["scone"])}).follow(_GUIDE)


def test_every_verb_is_explained() -> None:
    """The guide speaks of every verb, and of none that is not there."""
    text = _GUIDE.path.read_text(encoding="utf-8")
    spoken = set(re.findall(r"(?:scone fspf|`)(?: ?)(create-volume|[a-z]+)\b", text))
    verbs = {words[1] for words in VERBS if words[0] == "fspf"}
    assert verbs <= spoken
    assert set(re.findall(r"scone fspf ([a-z][a-z-]*)", text)) <= verbs
