"""``bannock cas serve --workers N`` as an operator runs it: several processes, one CAS."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import EnvironmentFault
from bannock.net.client import connect
from bannock.net.tls import Identity
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG = """
[api]
api_listen = "127.0.0.1:0"
enclave_listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:{port}"
"""


class _Served:
    """A CAS that was started by the command."""

    def __init__(self, process: subprocess.Popen[str], banner: str, log: Path, metrics: int) -> None:
        self.process = process
        self.banner = banner
        self.log = log
        self.metrics = metrics
        self.port = int(re.findall(r"for clients at 127\.0\.0\.1:(\d+)", banner)[0])

    def children(self) -> list[int]:
        tasks = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(number) for number in Path(tasks).read_text().split()]

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def _serve(directory: Path, workers: int) -> Iterator[_Served]:
    directory.mkdir(mode=0o700)
    config, log, port = directory / "cas.toml", directory / "log", _free_port()
    config.write_text(_CONFIG.format(port=port))
    command = [sys.executable, "-m", "bannock.cli.bannock", "cas", "serve", "--conf", str(directory)]
    command += ["--config", str(config), "--workers", str(workers), "--log-format", "json"]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        banner = ""
        while "provisioning token" not in banner:
            line = process.stdout.readline()
            assert line, log.read_text()
            banner += line
        try:
            yield _Served(process, banner, log, port)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def _ask(served: _Served, identity: Identity, method: str, path: str, body: bytes = b"") -> int:
    for _ in range(100):
        try:
            with connect("127.0.0.1", served.port, identity, expected_peer=None) as connection:
                return connection.request(method, path, body).status
        except EnvironmentFault:
            time.sleep(0.05)
    pytest.fail("the CAS does not answer any more")


def test_several_processes_are_one_cas(tmp_path: Path) -> None:
    """They share key, sessions and counters; one that dies is replaced; the log is JSON and has no secret."""
    alice = Identity.generate("alice")
    with _serve(tmp_path / "conf", workers=3) as served:
        assert _ask(served, alice, "POST", "/v1/sessions", document().encode()) == 201
        keys = set()
        for _ in range(12):
            with connect("127.0.0.1", served.port, alice, expected_peer=None) as connection:
                keys.add(str(connection.peer_key_hash))
                assert connection.request("GET", "/v1/sessions/demo").status == 200
        assert keys == set(re.findall(r"^CAS (\w+)", served.banner))
        before = served.children()
        assert len(before) == 3
        os.kill(before[0], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while len(set(served.children()) - {before[0]}) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert {_ask(served, alice, "GET", "/v1/sessions/demo") for _ in range(12)} == {200}
        with urllib.request.urlopen(f"http://127.0.0.1:{served.metrics}/metrics") as answer:
            text = answer.read().decode()
    answered = re.findall(r'route="/v1/sessions/",status="200"\} (\d+)', text)
    assert [int(float(count)) for count in answered] == [24]
    assert "demo" not in text
    entries = served.entries()
    served_by = {entry["process"] for entry in entries if entry.get("path") == "/v1/sessions/demo"}
    assert len(served_by) > 1
    token = re.findall(r"provisioning token ([0-9a-f]{32})", served.banner)[0]
    assert token not in served.log.read_text()
    assert all(entry["level"] in ("info", "warning", "error") for entry in entries)


def test_processes_that_cannot_start_are_told(tmp_path: Path) -> None:
    """The command ends with an error, and leaves nothing running."""
    directory = tmp_path / "conf"
    (directory / "cas").mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    (directory / "cas" / "master.key").write_text("no key")
    (directory / "cas" / "master.key").chmod(0o600)
    config = directory / "cas.toml"
    config.write_text(_CONFIG.format(port=_free_port()))
    command = [sys.executable, "-m", "bannock.cli.bannock", "cas", "serve", "--conf", str(directory)]
    command += ["--config", str(config), "--workers", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 50
    assert "a process of the CAS did not start" in ended.stderr
    assert "master.key does not hold 64 hexadecimal digits" in ended.stderr
