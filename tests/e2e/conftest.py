"""Who runs the end-to-end tests' commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e import machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> machine.User:
    """Give a user without rights."""
    directory = tmp_path_factory.mktemp("nobody")
    user = machine.nobody(directory)
    if user is None:
        pytest.skip("no interpreter of this version is open to users without rights")
    for path in (directory, *directory.parents):
        if path.owner() == "root" and path.is_relative_to("/tmp") and path != path.parent:  # noqa: S108
            path.chmod(path.stat().st_mode | 0o011)
    return user


@pytest.fixture
def ourselves() -> machine.User:
    """Give the user who runs the tests."""
    return machine.ourselves()


@pytest.fixture
def home(ourselves: machine.User, tmp_path: Path) -> Path:
    """Give that user a home."""
    return machine.home_of(ourselves, tmp_path)
