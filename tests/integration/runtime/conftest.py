"""What tests of the runtime speak to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.las.service import EmbeddedLas
from tests.integration.runtime.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Give a CAS and a LAS."""
    with EmbeddedLas(tmp_path / "las") as las:
        running = Services(tmp_path, las)
        yield running
        running.stop()
