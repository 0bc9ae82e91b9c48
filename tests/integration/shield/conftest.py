"""Mounted volumes for the tests of this directory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.shield.hosting import Host

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def public_path() -> Iterator[Path]:
    """Give a directory that every user can pass through, as the one of pytest is not."""
    path = Path(tempfile.mkdtemp(prefix="bannock-", dir="/tmp"))  # not TMPDIR, which may be private
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def host(public_path: Path) -> Iterator[Host]:
    """Give an empty volume, mounted by a process of its own; in the end that is killed, and all has to be whole."""
    with Host(public_path) as host:
        yield host
    host.check()
