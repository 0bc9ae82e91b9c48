"""A CAS that is killed while an enclave runs: the enclave attests anew, and nothing that was committed is lost."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e import machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLICATION = """
{name: slow, program: bin/slow.sh, service: slow, input: inputs, output: outputs, session: session.yaml}
"""
SESSION = """
name: $SESSION
version: "0.3.10"
security: {attestation: {tolerate: [simulation]}}
services:
  - name: slow
    image_name: slow
    mrenclaves: [$MRENCLAVE]
    command: /app/bin/slow.sh
    pwd: /encryptedOutputs
    environment: {PATH: /usr/bin:/bin}
images:
  - name: slow
    volumes: [{name: inputs, path: /encryptedInputs}, {name: outputs, path: /encryptedOutputs}]
volumes:
  - {name: inputs, fspf_key: $INPUT_FSPF_KEY, fspf_tag: $INPUT_FSPF_TAG}
  - {name: outputs, fspf_key: $OUTPUT_FSPF_KEY, fspf_tag: $OUTPUT_FSPF_TAG}
"""
#: Waits, between two changes, until the test takes away a file of the host that it sees through its private root.
PROGRAM = """#!/bin/sh
echo early > early
: > "$(cat /encryptedInputs/started)"
while [ -e "$(cat /encryptedInputs/started)" ]; do sleep 0.05; done
echo late > late
"""


class CasProcess:
    """A CAS of its own that can be killed and started again at the same addresses."""

    def __init__(self, home: Path) -> None:
        self._home = home
        ports = [_free_port(), _free_port()]
        (home / "cas.toml").write_text(
            f'[api]\nlisten = "127.0.0.1:{ports[0]}"\n[enclave]\nlisten = "127.0.0.1:{ports[1]}"\n'
        )
        self.start()

    def start(self) -> None:
        """Start it, and read what it says."""
        command = machine.ourselves().command(
            "cas", "serve", "--config", "cas.toml", "--conf", str(self._home / "cas")
        )
        self._process = subprocess.Popen(
            command, cwd=self._home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        said = "".join(self._process.stdout.readline() for _ in range(3))
        found = re.fullmatch(r"CAS (\w+)\n  for clients at (\S+)\n  for enclaves at (\S+)\n", said)
        assert found is not None, said
        self.key, self.client, self.enclave = found.groups()

    def kill(self) -> None:
        """End it as a power failure does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def cas(tmp_path: Path) -> Iterator[CasProcess]:
    """Give a CAS, and end it."""
    process = CasProcess(tmp_path)
    yield process
    process.kill()


@pytest.mark.root
@pytest.mark.parametrize("mount", [pytest.param("fuse", marks=pytest.mark.fuse), "memory"])
def test_an_enclave_survives_the_restart_of_its_cas(cas: CasProcess, home: Path, tmp_path: Path, mount: str) -> None:
    """Changes made before and after CAS was killed are both in the outputs."""
    _survives(cas, machine.ourselves(), home, tmp_path, mount)


@pytest.mark.root
def test_an_enclave_survives_it_without_root(cas: CasProcess, nobody: machine.User, home_of_nobody: Path) -> None:
    """It has hidden its memory, and its LAS knows it by its connection."""
    place = home_of_nobody / "place"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    _survives(cas, nobody, home_of_nobody, place, "memory")


def _survives(cas: CasProcess, user: machine.User, home: Path, place: Path, mount: str) -> None:
    bundle, source, started = place / "bundle", place / "in", place / "started"
    (bundle / "bin").mkdir(parents=True)
    (bundle / "application.yaml").write_text(APPLICATION)
    (bundle / "session.yaml").write_text(SESSION)
    (bundle / "bin/slow.sh").write_text(PROGRAM)
    (bundle / "bin/slow.sh").chmod(0o755)
    source.mkdir()
    (source / "started").write_text(str(started))
    arguments = [
        *("execute", "--application", str(bundle), "--input", str(source), "--output", str(home / "out")),
        *("--mount", mount, "--cas", cas.client, "--cas-enclave", cas.enclave, "--cas-key", cas.key),
    ]
    done: list[subprocess.CompletedProcess[str]] = []
    run = threading.Thread(target=lambda: done.append(machine.run(user, arguments, home=home)))
    run.start()
    try:
        deadline = time.monotonic() + 60
        while not started.exists() and run.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert started.exists(), done
        cas.kill()
        cas.start()
    finally:
        started.unlink(missing_ok=True)
        run.join()
    assert done[0].returncode == 0, done[0].stderr
    assert sorted(path.name for path in (home / "out").iterdir()) == ["early", "late"]
