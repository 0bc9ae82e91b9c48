"""The audit log of CAS processes that are killed, whose log is rotated, and that share one log."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig, load_config
from bannock.cas.audit.config import AuditLogConfig, ToFile
from bannock.cas.audit.findings import Outcome
from bannock.cas.audit.verification import numbers, split_lines, verify_log
from bannock.errors import BannockError
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.values import KeyHash
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = """
[api]
listen = "127.0.0.1:0"
[enclave]
listen = "127.0.0.1:0"
[audit_log]
path = "{path}"
mode = "signed"
"""


class _Process:
    """``bannock cas serve``."""

    def __init__(self, config: Path, home: Path) -> None:
        command = [sys.executable, "-m", "bannock.cli.bannock", "cas", "serve"]
        self._process = subprocess.Popen(
            [*command, "--config", str(config), "--conf", str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        said = "".join(self._process.stdout.readline() for _ in range(3))
        found = re.fullmatch(r"CAS (\w+)\n  for clients at (\S+)\n  for enclaves at (\S+)\n", said)
        assert found is not None, said
        self.key = KeyHash.from_base58(found[1])
        self.api = Address.parse(found[2], default_port=0)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self, number: signal.Signals) -> int:
        """Send a signal that ends it, and give the exit status."""
        self._process.send_signal(number)
        status = self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status


def test_logs_of_killed_processes(tmp_path: Path) -> None:
    """Killed and rotated at any moment, the log has all that was acknowledged, and entries too many one by one."""
    log, config = tmp_path / "log" / "cas_audit.log", tmp_path / "cas.toml"
    config.write_text(_CONFIG.format(path=log))
    alice = Identity.generate("alice")
    acknowledged: list[str] = []
    names = itertools.count()

    def work(running: _Process, enough: threading.Event, wanted: int) -> None:
        with connect(*running.api, alice, expected_peer=running.key) as client:
            for done in itertools.count(1):
                name = f"session{next(names)}"
                try:
                    answer = client.request("POST", "/session", document(name).encode())
                except BannockError:
                    return
                assert answer.status == 201
                acknowledged.append(name)
                if done == wanted:
                    enough.set()

    rotated: list[Path] = []
    for turn in range(2):
        running = _Process(config, tmp_path / "home")
        enough = threading.Event()
        workers = [threading.Thread(target=work, args=(running, enough, 5 + 4 * turn)) for _ in range(4)]
        for worker in workers:
            worker.start()
        assert enough.wait(30)
        rotated.append(log.rename(log.with_name(f"cas_audit.log.{turn}")))
        running.send(signal.SIGHUP)
        enough.clear()
        threading.Event().wait(0.05 + 0.07 * turn)
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
        for worker in workers:
            worker.join()
    with Cas(load_config(config, home=tmp_path / "home" / "cas")) as cas:
        lines = [line for path in (*rotated, log) if path.exists() for line in split_lines(path.read_bytes())]
        verdict = verify_log(lines, expected=[cas.key_hash], history=cas.audit.places(*numbers(lines)))
    assert verdict.outcome in {Outcome.CORRECT, Outcome.FAILED_TRANSACTION}, verdict.findings
    events = [event for line in lines for event in json.loads(line)["events"]]
    assert set(acknowledged) <= {event["session"] for event in events if event["event"] == "session_created"}
    assert "audit_log_rotated" in {event["event"] for event in events}


@pytest.mark.parametrize("processes", [2])
def test_processes_that_share_a_log(tmp_path: Path, processes: int) -> None:
    """Several on one database write one log, into one file, in one order."""
    log, config = tmp_path / "log" / "cas_audit.log", tmp_path / "cas.toml"
    config.write_text(_CONFIG.format(path=log))
    alice = Identity.generate("alice")
    all_running = [_Process(config, tmp_path / "home") for _ in range(processes)]

    def work(running: _Process, number: int) -> None:
        with connect(*running.api, alice, expected_peer=running.key) as client:
            for each in range(15):
                text = document(f"p{number}-{each}").encode()
                assert client.request("POST", "/session", text).status == 201

    workers = [threading.Thread(target=work, args=pair) for pair in zip(all_running, itertools.count(), strict=False)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [running.end(signal.SIGTERM) for running in all_running] == [0] * processes
    lines = split_lines(log.read_bytes())
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    with Cas(load_config(config, home=tmp_path / "home" / "cas")) as cas:
        lines = split_lines(log.read_bytes())
        verdict = verify_log(lines, expected=[cas.key_hash], history=cas.audit.places(*numbers(lines)))
    assert verdict.outcome is Outcome.CORRECT, verdict.findings


def test_threads_share_entries(config: CasConfig, tmp_path: Path) -> None:
    """On every database: changes of one transaction are one entry, several CASes have one chain, and a checkpoint."""
    filing = replace(config, audit_log=AuditLogConfig(sink=ToFile()), audit_path=tmp_path / "cas_audit.log")
    reads, threads = 40, 8
    with Cas(filing) as one, Cas(replace(filing, audit_path=tmp_path / "cas_audit.log")) as other:

        def work(cas: Cas) -> None:
            for number in range(reads):
                with cas.store.changing() as change:
                    change.audit("session_read", {"session": str(number)})

        workers = [threading.Thread(target=work, args=((one, other)[number % 2],)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        lines = split_lines((tmp_path / "cas_audit.log").read_bytes())
        verdict = verify_log(lines, expected=[one.key_hash], history=other.audit.places(*numbers(lines)))
        assert verdict.outcome is Outcome.CORRECT, verdict.findings
        assert [entry.event for entry in one.audit_log()].count("session_read") == reads * threads
        assert len(lines) < reads * threads
        assert len(lines) == one.audit_head().sequence
