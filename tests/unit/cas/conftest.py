"""A CAS in process, and clients of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> CasConfig:
    """Where the CAS keeps its files."""
    return CasConfig.in_directory(tmp_path / "cas")


@pytest.fixture
def cas(config: CasConfig) -> Iterator[Cas]:
    """An open CAS."""
    with Cas(config) as opened:
        yield opened


@pytest.fixture
def alice() -> KeyHash:
    """A client."""
    return KeyHash(b"a" * 32)


@pytest.fixture
def bob() -> KeyHash:
    """Another client."""
    return KeyHash(b"b" * 32)
