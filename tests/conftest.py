"""What holds for every test: a clean environment, private directories, and nothing left running."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import containers

if TYPE_CHECKING:
    from collections.abc import Iterator

_FUSE = "/dev/fuse"
_LETTING_GO_SECONDS = 1.0


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees settings of whoever runs it."""
    for name in os.environ:
        if name.startswith(("SCONE_", "BANNOCK_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """A test ends the threads and the processes that it starts."""
    threads, children = set(threading.enumerate()), _children()
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in threads and _is_left(thread)]
    assert not left, f"threads left: {left}"
    assert _children() <= children, "processes left"


@pytest.fixture
def private_path(tmp_path: Path) -> Path:
    """A directory that only its owner can look into."""
    path = tmp_path / "private"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[containers.Engine]:
    """Give a Docker engine; tests that ask for it are marked ``docker``."""
    with containers.running_engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[containers.Registry]:
    """Give a registry of images."""
    with containers.running_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="session")
def bases(engine: containers.Engine, tmp_path_factory: pytest.TempPathFactory) -> containers.BaseImages:
    """Give images to build on."""
    return containers.BaseImages.in_directory(engine, tmp_path_factory.mktemp("bases"))


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        # A thread may end while we look.
        with suppress(FileNotFoundError, ProcessLookupError):
            found |= set(map(int, task.read_text().split()))
    return found


def _is_left(thread: threading.Thread) -> bool:
    """Whether a thread does not end by itself at once, as one does whose owner has let it go without waiting."""
    while thread.ident is None:  # it is just being started
        time.sleep(0.001)
    thread.join(_LETTING_GO_SECONDS)
    return thread.is_alive()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine or this user cannot do, with the reason."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")
    if item.get_closest_marker("fuse") and not os.access(_FUSE, os.R_OK | os.W_OK):
        pytest.skip(f"needs {_FUSE}")
