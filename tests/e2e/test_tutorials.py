"""Pages for new users: whoever follows them from the top to the end gets what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.documentation import Reader, page, tools

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.fuse]


def test_ten_minutes(tmp_path: Path) -> None:
    """A program with a secret and a volume, and what becomes of attacks."""
    Reader(tmp_path / "home", {"PATH": tools(tmp_path / "tools")}, alone=True).follow(page("start.md"))
