"""A vendor, and genuine collateral."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.unit.evidence.collateral.vendor_server import VendorServer, make_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVIDENCE: Final = Path(__file__).parents[3] / "data" / "evidence"


@pytest.fixture
def genuine() -> Callable[[str], bytes]:
    """Read a genuine sample by its path."""
    return lambda name: (EVIDENCE / name).read_bytes()


@pytest.fixture(scope="session")
def server_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of ``localhost``."""
    return make_certificate(tmp_path_factory.mktemp("vendor") / "server.pem")


@pytest.fixture
def vendor(server_certificate: Path) -> Iterator[VendorServer]:
    """A running vendor that has nothing yet."""
    with VendorServer(certificate=server_certificate) as running:
        yield running
