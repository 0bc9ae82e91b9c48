"""What holds for every test: a clean environment, private directories, and nothing left running.

Tests may run in several processes; tests/scheduling.py says which stay together.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from bannock.images.layer import cached_layer
from tests import containers
from tests import ssh_host as ssh_hosts
from tests.curated_images import CuratedImages
from tests.protected_images import ProtectedImages
from tests.scheduling import Together, group_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.remote import Producer

    from bannock.images.tar_layer import BuiltLayer

_FUSE = "/dev/fuse"
_LETTING_GO_SECONDS = 1.0

# How long an example takes is the machine's affair: others run beside it.
settings.register_profile("bannock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bannock")


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


@pytest.fixture(scope="session")
def runtime_layer(tmp_path_factory: pytest.TempPathFactory) -> BuiltLayer:
    """Give the runtime's layer, which starts programs."""
    return _layer(tmp_path_factory, whole=False)


@pytest.fixture(scope="session")
def whole_layer(tmp_path_factory: pytest.TempPathFactory) -> BuiltLayer:
    """Give the layer that has all commands."""
    return _layer(tmp_path_factory, whole=True)


@pytest.fixture(scope="session")
def protected(
    engine: containers.Engine,
    bases: containers.BaseImages,
    runtime_layer: BuiltLayer,
    tmp_path_factory: pytest.TempPathFactory,
) -> ProtectedImages:
    """Give images with a program that starts as an enclave."""
    return ProtectedImages(engine, bases, runtime_layer, tmp_path_factory.mktemp("protected"))


@pytest.fixture(scope="session")
def curated(
    engine: containers.Engine,
    bases: containers.BaseImages,
    runtime_layer: BuiltLayer,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> CuratedImages:
    """Give the curated images."""
    layers = tmp_path_factory.mktemp("curated")
    (layers / "runtime.tar.gz").symlink_to(runtime_layer.path)

    def have_whole() -> None:
        layer: BuiltLayer = request.getfixturevalue("whole_layer")
        if not (layers / "whole.tar.gz").exists():
            (layers / "whole.tar.gz").symlink_to(layer.path)

    return CuratedImages(engine, bases, layers, have_whole)


def _layer(places: pytest.TempPathFactory, *, whole: bool) -> BuiltLayer:
    """Make a layer, once for all processes that run tests."""
    base = places.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "layers"
    shared.mkdir(exist_ok=True)
    with (shared / f"lock-{whole}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cached_layer(shared, whole=whole)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssh_hosts.SshHost]:
    """Give an sshd that runs; see :func:`ssh_host`."""
    with ssh_hosts.running_ssh_host(tmp_path_factory.mktemp("sshd")) as host:
        yield host


@pytest.fixture
def ssh_host(sshd: ssh_hosts.SshHost) -> Iterator[ssh_hosts.SshHost]:
    """Give an sshd on this machine that lets nobody in so far, and loses all connections at the end."""
    sshd.forget_everybody()
    yield sshd
    sshd.cut()


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    """Say which tests stay together."""
    # What goes first is said below, not by the number of tests.
    config.option.loadscopereorder = False
    return Together(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no process waits for it at the end: Docker, then files with slow tests."""
    files = {item.path: item.nodeid.partition("::")[0] for item in items}
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (group_of(files[item.path]) == files[item.path], item.path not in slow))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine or this user cannot do, with the reason."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")
    if item.get_closest_marker("toolchains") and "TOOLCHAINS" not in os.environ:
        pytest.skip("make test-toolchains runs it")
    if item.get_closest_marker("fuse") and not os.access(_FUSE, os.R_OK | os.W_OK):
        pytest.skip(f"needs {_FUSE}")
