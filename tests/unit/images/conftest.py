"""What tests of images share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.images.blobs import Scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    """A place for layers."""
    with Scratch(tmp_path / "scratch") as made:
        yield made
