"""Runs of images that meet with a full disk, a CAS that is away, and an engine that starts anew."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig
from bannock.cas.serving import endpoints
from bannock.cli import bannock
from bannock.errors import EnvironmentFault
from bannock.images.containers import Volumes
from bannock.net.address import Address
from bannock.net.server import ThreadedServer
from tests.image_runs import COPY, RunHome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.containers import Engine
    from tests.protected_images import ProtectedImages

pytestmark = [pytest.mark.docker, pytest.mark.root]

_SMALL: str = "2m"
_AWAY_SECONDS = 1.5


@pytest.fixture
def home(engine: Engine, protected: ProtectedImages, tmp_path: Path) -> RunHome:
    """A user with an input."""
    home = RunHome(tmp_path, engine, protected.of("busybox", "/bin/busybox"))
    (home.input / "f1.txt").write_text("Hello World\n")
    return home


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Volumes of runs on the host are on a small disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={_SMALL}", "none", str(disk)], check=True)
    create = Volumes.create

    def create_small(self: Volumes, name: str, labels: Mapping[str, str]) -> None:
        create(self, name, labels, {"type": "none", "o": "bind", "device": str(disk)})

    monkeypatch.setattr(Volumes, "create", create_small)
    yield disk
    subprocess.run(["/bin/umount", str(disk)], check=True)


def run_here(home: RunHome, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run ``bannock`` in this process, which the test has changed."""
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    return bannock.main(list(arguments))


def test_inputs_that_do_not_fit_on_the_host(
    home: RunHome, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The host's engine says that its disk is full, and nothing is left."""
    (home.input / "large").write_bytes(bytes(4 << 20))
    assert run_here(home, monkeypatch, *home.arguments(COPY)) != 0
    assert "no space left on device" in capsys.readouterr().err
    assert small_disk.exists()
    assert home.left() == []


def test_outputs_that_do_not_fit_on_the_host(
    home: RunHome, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program gets an error, and what it had written before comes back."""
    script = f"{COPY}; sleep 2; dd if=/dev/zero of=/encryptedOutputs/large bs=1M count=4"
    assert run_here(home, monkeypatch, *home.arguments(script)) != 0
    assert "space" in capsys.readouterr().err
    assert small_disk.exists()
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    assert home.left() == []


@contextmanager
def cas_on(directory: Path, client: int, enclave: int) -> Iterator[Cas]:
    """A CAS on two ports."""
    config = replace(
        CasConfig.in_directory(directory),
        api=Address("127.0.0.1", client), enclave=Address("127.0.0.1", enclave),
    )  # fmt: skip
    cas = Cas(config)
    try:
        with ThreadedServer(*endpoints(cas, config)):
            yield cas
    finally:
        cas.close()


def test_a_cas_that_is_away(home: RunHome, tmp_path: Path) -> None:
    """Without the CAS a run comes as far as its session, and is resumed without a second upload when it is back."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = one.getsockname()[1], other.getsockname()[1]
    with cas_on(tmp_path / "cas", *ports) as cas:
        key = str(cas.key_hash)
    options = ("--cas", f"127.0.0.1:{ports[0]}", "--cas-enclave", f"127.0.0.1:{ports[1]}", "--cas-key", key)
    failed = home.execute(COPY, *options)
    assert failed.returncode == EnvironmentFault.exit_code, failed.stderr
    (run,) = home.runs()
    assert run["state"] == "uploaded"
    assert f"bannock runs resume {run['run']}" in failed.stderr
    with cas_on(tmp_path / "cas", *ports):
        done = home.resume(run["run"])
    assert done.returncode == 0, done.stderr
    assert "upload" not in done.stderr
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    assert home.left() == []


class Relay:
    """A socket that passes everything on to an engine's, until it is cut; a context manager."""

    def __init__(self, path: Path, engine: Path) -> None:
        self.path = path
        self._engine = engine
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Listen."""
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._start(self._accept, self._listener)

    def stop(self) -> None:
        """Be gone, with all connections."""
        self.path.unlink(missing_ok=True)
        for each in (*([self._listener] if self._listener else []), *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()
        for thread in self._threads:
            thread.join(10)
        self._threads.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                ours, _ = listener.accept()
            except OSError:
                return
            theirs = socket.socket(socket.AF_UNIX)
            theirs.connect(str(self._engine))
            self._open += [ours, theirs]
            self._start(self._pass_on, ours, theirs)
            self._start(self._pass_on, theirs, ours)

    def _start(self, what: object, *arguments: socket.socket) -> None:
        assert callable(what)
        thread = threading.Thread(target=what, args=arguments)
        thread.start()
        self._threads.append(thread)

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_an_engine_that_starts_anew(home: RunHome, tmp_path: Path) -> None:
    """An engine that ends, and its containers with it, is waited for, and the program is run again."""
    relay = Relay(tmp_path / "engine.sock", home.engine.socket)
    relay.start()
    try:
        script = f"{COPY}; if test -e /encryptedOutputs/before; then exit 0; fi; "
        script += "echo 1 > /encryptedOutputs/before; sleep 2; sleep 432.5"
        home.variables["DOCKER_HOST"] = f"unix://{relay.path}"
        process = home.start(*home.arguments(script))
        home.wait_for_program("432.5")
        name = home.containers()[0]
        relay.stop()
        # An engine asks its containers to end when it ends itself.
        home.engine.run("stop", name)
        # Who watches looks again after a while: longer than that, it is away.
        time.sleep(_AWAY_SECONDS)
        relay.start()
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
        assert "host local is away" in told
        assert "it is started again" in told
        assert (home.output / "before").read_text() == "1\n"
        assert home.left() == []
    finally:
        relay.stop()
