"""One house for all tests of the console that only look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.console.house import House

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A CAS that enclaves came to."""
    running = House(tmp_path_factory.mktemp("house"))
    running.run()
    yield running
    running.close()
