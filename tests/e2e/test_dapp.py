"""The two halves of a dapp's user, and between them whoever starts the application: somebody, or a worker of iExec."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import IntegrityError
from bannock.execution.transfer.service import TransferService
from bannock.execution.transfer.store import StoreLimits, TransferStore
from bannock.net.address import Address
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp
from tests.e2e import machine
from tests.iexec_worker import Worker
from tests.protected_images import FUSE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.containers import Engine
    from tests.curated_images import CuratedImages
    from tests.e2e.site import Site

pytestmark = [pytest.mark.docker, pytest.mark.fuse, pytest.mark.root]

_TEXTS: Final = {"f1.txt": "Hello world\n", "f2.txt": "Hello together\n"}


@dataclass(frozen=True)
class Example:
    """The directories of the public example, and the services."""

    place: Path
    site: Site
    engine: Engine
    image: str
    transfer: str

    def bannock(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as its user."""
        done = subprocess.run(
            machine.ourselves().command(*words, "--conf", str(self.place / "KEYS")),
            env={**self.engine.environment, "HOME": str(self.place)},
            cwd=self.place,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def push(self, *more: str) -> str:
        """Take the first step."""
        cas = self.site.cas.key_hash
        services = ("-s", str(self.site.client_address), "--cas-key", str(cas), "-r", self.transfer)
        words = ("encryptedpush", "--application", self.image, "--inputDataFolder", "INPUTS", *services)
        return self.bannock(*words, "--cas-enclave", str(self.site.enclave_address), *more).stdout

    def application(self) -> str:
        """Tell what iExec has to know of the application."""
        words = machine.ourselves().command("iexec-app", "--application", self.image, "--owner", f"0x{'6b' * 20}")
        return subprocess.run(
            words, env=self.engine.environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def started(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Take the second step, as whoever has a host."""
        options = [*self.site.container_options("unused/unused"), *FUSE]
        return self.engine.in_container(self.image, *words, options=options, check=False)

    def fetch(self, url: str) -> Path:
        """Fetch what a container has printed, as the page says."""
        path = self.place / "ZIP" / "encryptedOutputFiles.zip"
        subprocess.run(["/usr/bin/curl", "-sSfL", "--noproxy", "*", "--output", str(path), url.strip()], check=True)
        return path

    def decrypted(self) -> dict[str, str]:
        """Take the third step."""
        self.bannock("decrypt", "--encrypted", "ZIP", "--output", "OUTPUTS")
        return {path.name: path.read_text() for path in (self.place / "OUTPUTS").iterdir()}


@pytest.fixture
def example(site: Site, engine: Engine, curated: CuratedImages, tmp_path: Path) -> Iterator[Example]:
    """Make the directories, and start a transfer service."""
    for name in ("INPUTS", "OUTPUTS", "ZIP"):
        (tmp_path / name).mkdir()
    for name, text in _TEXTS.items():
        (tmp_path / "INPUTS" / name).write_text(text)
    (tmp_path / "files").mkdir()
    app = TransferService(TransferStore(tmp_path / "files", StoreLimits(), now=0.0), clock=lambda: 1.0)
    with ThreadedServer(Endpoint(app=app, sock=bind_tcp(Address("127.0.0.1", 0)))) as server:
        transfer = f"http://127.0.0.1:{server.port}"
        yield Example(tmp_path, site, engine, curated.of("copy_dapp"), transfer)


def test_the_steps_of_the_page(example: Example) -> None:
    """Encrypt and send; start the container with what that has printed; fetch; decrypt. Nobody between reads any."""
    command = example.push().split()
    assert [command[index] for index in (0, 2, 4)] == ["--sessionID", "--secretManagementService", "--url"]
    done = example.started(*command, "--push", example.transfer)
    assert done.returncode == 0, done.stderr
    example.fetch(done.stdout)
    for path in (example.place / "files", example.place / "ZIP"):
        stored = [file.read_bytes() for file in path.rglob("*") if file.is_file()]
        assert stored
        assert not [data for data in stored if b"Hello" in data]
    assert example.decrypted() == _TEXTS
    # A second run would write into outputs that are no longer in the state that was sent.
    again = example.started(*command, "--push", example.transfer)
    assert again.returncode != 0
    assert again.stdout == ""


def test_outputs_that_were_changed(example: Example) -> None:
    """What is not what the application has written is not decrypted, and leaves nothing."""
    done = example.started(*example.push().split(), "--push", example.transfer)
    archive = example.fetch(done.stdout)
    whole = archive.read_bytes()
    middle = len(whole) // 2
    archive.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    refused = example.bannock("decrypt", "--encrypted", "ZIP", "--output", "OUTPUTS", check=False)
    assert refused.returncode == IntegrityError.exit_code, refused.stderr
    assert list((example.place / "OUTPUTS").iterdir()) == []


def test_a_worker_of_iexec(example: Example, tmp_path: Path) -> None:
    """Inputs come as a file of the task, arguments name the session, and the result is in /iexec_out."""
    example.push("--iexec", "order.json")
    params = json.loads((example.place / "order.json").read_text())["params"]
    app = json.loads(example.application())["app"]
    assert app["mrenclave"]["heapSize"] == 1 << 30
    options = [*example.site.container_options("unused/unused"), *FUSE]
    task = Worker(example.engine, tmp_path / "tasks", options).run(app, params, example.image)
    assert task.succeeded, task.log
    task.result.rename(example.place / "ZIP" / "result.zip")
    assert example.decrypted() == _TEXTS
