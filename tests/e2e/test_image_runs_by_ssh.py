"""Runs of images on a host behind ssh: real sshd, real engine; connections that are lost, and all ways of volumes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from bannock.evidence.platforms import SimulatedAttester
from bannock.execution.transfer.service import TransferService
from bannock.execution.transfer.store import StoreLimits, TransferStore
from bannock.las.key import kept_key
from bannock.las.service import Las
from bannock.las.web import web_application
from bannock.net.address import Address
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp
from tests.image_runs import COPY, RunHome
from tests.ssh_host import added, running_ssh_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.containers import Engine
    from tests.protected_images import ProtectedImages
    from tests.ssh_host import SshHost

pytestmark = [pytest.mark.docker, pytest.mark.root]

_LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SshHost]:
    """A host of this test's own, that may be cut off."""
    directory = tmp_path / "host"
    directory.mkdir()
    with running_ssh_host(directory) as running:
        yield running


@pytest.fixture
def home(engine: Engine, protected: ProtectedImages, host: SshHost, tmp_path: Path) -> Iterator[RunHome]:
    """A user with an input, who has added the host; a LAS answers there."""
    directory = tmp_path / "home"
    las = Las(SimulatedAttester(kept_key(tmp_path / "las")))
    with ThreadedServer(Endpoint(app=web_application(las), sock=bind_tcp(_LOOPBACK))) as server:
        home = RunHome(
            directory, engine, protected.of("busybox", "/bin/busybox"), "caroline",
            ("--las", f"127.0.0.1:{server.port}"),
        )  # fmt: skip
        (home.input / "f1.txt").write_text("Hello World\n")
        added(home.conf, host, engine=str(engine.socket))
        yield home


def test_outputs_come_back(home: RunHome) -> None:
    """Everything goes over ssh: the engine's API, both volumes, and the CAS of the client."""
    done = home.execute(COPY)
    assert done.returncode == 0, done.stderr
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    assert home.left() == []


def test_a_lost_connection_is_made_again(home: RunHome, host: SshHost) -> None:
    """The program goes on meanwhile, and finds the CAS again at the same place."""
    process = home.start(*home.arguments(f"{COPY}; sleep 2.718; echo 2 > /encryptedOutputs/second"))
    home.wait_for_program("2.718")
    host.cut()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "host caroline is away" in told
    assert (home.output / "second").read_text() == "2\n"
    assert home.left() == []


def test_a_host_that_was_away_for_long_is_asked_again(home: RunHome, host: SshHost) -> None:
    """Cancelling needs the host, and says so; when it is back, the run is resumed to its end."""
    process = home.start(*home.arguments(f"{COPY}; sleep 2.719"))
    home.wait_for_program("2.719")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    host.stop()
    host.cut()
    name = str(home.runs()[0]["run"])
    refused = home.cancel(name)
    assert refused.returncode != 0
    assert f"run {name} cannot be removed from host caroline" in refused.stderr
    assert "--forget" in refused.stderr
    host.start()
    done = home.resume(name)
    assert done.returncode == 0, done.stderr
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    # Who was killed cannot remove its own sockets.
    assert [path for path in home.left() if "/bannock-ssh-" not in path] == []


@pytest.mark.parametrize("way", ["directory", "service"])
def test_volumes_travel_otherwise(home: RunHome, tmp_path: Path, way: str) -> None:
    """The carrier pulls the inputs and pushes the outputs; afterwards nothing is left there."""
    shared = tmp_path / "shared"
    shared.mkdir()
    store = TransferStore(shared, StoreLimits(), now=0.0)
    with ThreadedServer(Endpoint(app=TransferService(store), sock=bind_tcp(_LOOPBACK))) as server:
        named = f"dir:{shared}" if way == "directory" else f"http://127.0.0.1:{server.port}"
        done = home.execute(COPY, "--transfer", named)
    assert done.returncode == 0, done.stderr
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    assert home.left() == []
    assert [path for path in shared.rglob("*") if path.is_file()] == []


def test_frames_on_two_hosts(home: RunHome, host: SshHost) -> None:
    """Pieces are spread over hosts; one that cannot do its part is passed over; all outputs come together."""
    added(home.conf, host, "berta", engine="/nobody/is/there.sock")
    script = "seq $FRAME_FIRST $FRAME_LAST | while read n; do echo $n > /encryptedOutputs/$n; done"
    done = home.execute(script, "--split", "FRAME=1..6/2", host="caroline,berta")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in home.output.iterdir()) == ["1", "2", "3", "4", "5", "6"]
    assert "FRAME-1-2: exit code 0 on caroline" in done.stdout
    assert home.left() == []
