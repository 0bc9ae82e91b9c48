"""Who runs the end-to-end tests' commands."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e import machine
from tests.e2e.mesh_site import MeshSite
from tests.e2e.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.images.tar_layer import BuiltLayer
    from tests.containers import Engine


@pytest.fixture(scope="session")
def nobody() -> Iterator[machine.User]:
    """Give a user without rights."""
    with _open_directory() as directory:
        user = machine.nobody(directory)
        if user is None:
            pytest.skip("no interpreter of this version is open to users without rights")
        yield user


@pytest.fixture
def home_of_nobody(nobody: machine.User) -> Iterator[Path]:
    """Give the user without rights a home."""
    with _open_directory() as directory:
        yield machine.home_of(nobody, directory)


@pytest.fixture
def ourselves() -> machine.User:
    """Give the user who runs the tests."""
    return machine.ourselves()


@pytest.fixture
def home(ourselves: machine.User, tmp_path: Path) -> Path:
    """Give that user a home."""
    return machine.home_of(ourselves, tmp_path)


@contextmanager
def _open_directory() -> Iterator[Path]:
    """Make a directory that other users can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="bannock-tests-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture
def site(home: Path) -> Iterator[Site]:
    """Give a CAS and a LAS."""
    with Site.opened(home) as opened:
        yield opened


@pytest.fixture(scope="session")
def mesh_site(
    engine: Engine, runtime_layer: BuiltLayer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MeshSite]:
    """Give an engine with a CAS and a LAS, for services that are made of manifests."""
    base = tmp_path_factory.mktemp("mesh-site")
    layers = base / "cache" / "bannock" / "layers"
    layers.parent.mkdir(parents=True)
    layers.symlink_to(runtime_layer.path.parent)
    with MeshSite.opened(engine, base) as opened:
        yield opened
