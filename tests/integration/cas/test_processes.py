"""Three processes are one CAS on one PostgreSQL: killed at random under load, they lose and confuse nothing."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas
from bannock.errors import BannockError, ConflictError, EnvironmentFault, PeerError
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.problem import from_problem
from bannock.net.tls import Identity
from bannock.values import FspfTag, KeyHash
from tests.integration.cas.enclaves import enclave
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.cas import CasConfig
    from bannock.net.client import Connection

_KILLS = 5
#: What has to be acknowledged between two kills.
_DONE_BETWEEN = 10
_PATIENCE_SECONDS = 60.0

#: Starts a CAS for each line that it reads, at once: what has to be imported is imported already.
_STARTER = """
import os, signal, sys
from pathlib import Path
from bannock.cas import load_config, serve
import bannock.cas.store, bannock.cas.service

def ready(cas, addresses):
    os.write(1, f"{os.getpid()} {cas.key_hash.value.hex()} {addresses[0]} {addresses[1]}\\n".encode())

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(0)
        serve(load_config(Path(line.strip()), home=Path(line.strip()).parent), ready=ready)
        os._exit(0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    """One CAS in a process of its own."""

    pid: int
    key_hash: KeyHash
    api: Address
    enclaves: Address

    def end(self, number: signal.Signals) -> None:
        """Send a signal, and wait for the end."""
        os.kill(self.pid, number)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while Path(f"/proc/{self.pid}").exists():
            assert time.monotonic() < deadline, "a process does not end"
            time.sleep(0.005)


class _Group:
    """Three processes, which are killed and started again."""

    def __init__(self, config: CasConfig, directory: Path) -> None:
        assert config.postgresql is not None
        self._file = directory / "cas.toml"
        self._file.write_text(
            f'database = "{config.postgresql.reveal().decode()}"\nmaster_key = "{config.master_key}"\n'
            '[api]\nlisten = "127.0.0.1:0"\n[enclave]\nlisten = "127.0.0.1:0"\n'
        )
        self._starter = subprocess.Popen(
            [sys.executable, "-c", _STARTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.running = self._start(3)
        (self.key_hash,) = {each.key_hash for each in self.running}

    def kill(self, number: int) -> None:
        """Kill one, and start another one in its place."""
        self.running[number].end(signal.SIGKILL)
        (self.running[number],) = self._start(1)

    def close(self) -> None:
        """End all."""
        for each in self.running:
            each.end(signal.SIGTERM)
        self._starter.communicate()

    def _start(self, count: int) -> list[_Process]:
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.write(f"{self._file}\n" * count)
        self._starter.stdin.flush()
        started = []
        for _ in range(count):
            pid, key, api, enclaves = self._starter.stdout.readline().split()
            api_address, enclave_address = (Address.parse(text, default_port=0) for text in (api, enclaves))
            key_hash = KeyHash.from_hex(key)
            started.append(_Process(pid=int(pid), key_hash=key_hash, api=api_address, enclaves=enclave_address))
        return started


@pytest.fixture
def group(postgresql_config: CasConfig, tmp_path: Path) -> Iterator[_Group]:
    """Three processes that start at once, on a database that is empty."""
    started = _Group(postgresql_config, tmp_path)
    yield started
    started.close()


class _Load:
    """What clients do meanwhile, and what they were told."""

    def __init__(self, group: _Group, seed: int) -> None:
        self.group = group
        self.seed = seed
        self.identity = Identity.generate("alice")
        self.enough = threading.Event()
        self.done = 0
        self.acknowledged: dict[str, str] = {}  # hash → hash of its predecessor
        self.tried: set[str] = set()
        self.created: dict[str, str] = {}  # session → hash
        self.seen: list[str] = []
        self.states: dict[str, FspfTag | None] = {}
        self.next_states: dict[str, FspfTag | None] = {}

    def post(self, client: Connection, text: str) -> str:
        answer = client.request("POST", "/session", text.encode())
        if answer.status != 201:
            raise from_problem(answer.status, answer.body)
        self.done += 1
        return str(json.loads(answer.body)["hash"])

    def until_enough(self, who: int, work: str) -> None:
        """Do a kind of work with one process after the other, whichever lives."""
        choice = random.Random(self.seed * 100 + who)  # noqa: S311 - the same load each time
        while not self.enough.is_set():
            process = choice.choice(self.group.running)
            try:
                if work == "commit":
                    self.commit(process, f"volume-{who}", choice)
                    continue
                with connect(*process.api, self.identity, expected_peer=self.group.key_hash) as client:
                    for _ in range(choice.randrange(1, 20)):
                        if self.enough.is_set():
                            break
                        getattr(self, work)(client, who)
            except ConflictError:
                pass
            except (EnvironmentFault, PeerError):
                time.sleep(0.02)

    def create(self, client: Connection, who: int) -> None:
        name = f"created-{who}-{len(self.created)}-{os.urandom(3).hex()}"
        self.created[name] = self.post(client, document(name))

    def update(self, client: Connection, who: int) -> None:
        predecessor = client.request_json("GET", "/v1/sessions/shared")["hash"]
        marker = f"{who}-{os.urandom(4).hex()}"
        self.tried.add(marker)
        digest = self.post(client, document("shared", predecessor=predecessor, variable=marker))
        assert digest not in self.acknowledged
        self.acknowledged[digest] = predecessor

    def look(self, client: Connection, _who: int) -> None:
        self.seen.append(client.request_json("GET", "/v1/sessions/shared")["hash"])

    def commit(self, process: _Process, session: str, choice: random.Random) -> None:
        with enclave(process.enclaves, self.group.key_hash) as app:
            (volume,) = app.attest(session=session).volumes
            assert volume.tag in {self.states[session], self.next_states[session]}, "a state was lost"
            self.states[session] = volume.tag
            for _ in range(choice.randrange(1, 20)):
                if self.enough.is_set():
                    break
                self.next_states[session] = tag = FspfTag(os.urandom(16))
                app.commit(self.states[session], tag)
                self.states[session] = tag
                self.done += 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_processes_that_are_killed_lose_nothing(group: _Group, postgresql_config: CasConfig, seed: int) -> None:
    """Every acknowledged change is there, each as a whole, none was made on top of something else than it named.

    Four clients make sessions and update one and the same; one reads it over and over; two enclaves commit states.
    """
    load = _Load(group, seed)
    with connect(*group.running[0].api, load.identity, expected_peer=group.key_hash) as client:
        first = load.post(client, document("shared"))
        for who in (5, 6):
            load.post(client, document(f"volume-{who}"))
            load.states[f"volume-{who}"] = load.next_states[f"volume-{who}"] = None
    kinds = ["create", "update", "update", "update", "look", "commit", "commit"]
    with ThreadPoolExecutor(len(kinds)) as pool:
        workers = [pool.submit(load.until_enough, who, work) for who, work in enumerate(kinds)]
        victims = random.Random(seed)  # noqa: S311 - the same victims each time
        try:
            for _ in range(_KILLS):
                goal, deadline = load.done + _DONE_BETWEEN, time.monotonic() + _PATIENCE_SECONDS
                while load.done < goal and not any(worker.done() for worker in workers):
                    assert time.monotonic() < deadline, "the processes that live do nothing"
                    time.sleep(0.005)
                group.kill(victims.randrange(3))
        finally:
            load.enough.set()
        for worker in workers:
            worker.result()
    with Cas(postgresql_config) as cas:
        _require_history(cas, load, first)
        _require_all_there(cas, load)


def _require_history(cas: Cas, load: _Load, first: str) -> None:
    """Accept versions of the shared session that each follow the one that they name, and hold all acknowledged."""
    with cas.store.reading() as view:
        version = view.session("shared")
        order: dict[str, int] = {}
        while version is not None:
            assert version.digest not in order
            order[version.digest] = version.generation
            found = re.search(r"^predecessor: (\w+)$", version.text, flags=re.MULTILINE)
            if found is None:
                break
            marker = re.search(r'VARIABLE: "([^"]+)"', version.text)
            assert marker is not None
            assert marker[1] in load.tried
            if version.digest in load.acknowledged:
                assert load.acknowledged[version.digest] == found[1]
            before = view.session("shared", digest=found[1])
            assert before is not None
            assert before.generation == version.generation - 1
            version = before
    assert list(order)[-1] == first
    assert set(load.acknowledged) <= set(order), "an acknowledged update was lost"
    assert len(load.acknowledged) > 5
    seen = [order[digest] for digest in load.seen]
    assert seen == sorted(seen), "an older version was answered after a newer one"
    assert len(set(seen)) > 3


def _require_all_there(cas: Cas, load: _Load) -> None:
    """Accept a store that has what was acknowledged, and an audit log that tells of exactly what is there."""
    told: dict[str, int] = {}
    last: dict[str, str] = {}
    for entry in cas.audit_log():
        name = entry.facts.get("session")
        if entry.event in {"session_created", "session_updated"} and isinstance(name, str):
            told[name] = told.get(name, 0) + 1
        if entry.event == "volume_fspf_tag_updated":
            last[str(name)] = str(entry.facts["to"])
    with cas.store.reading() as view:
        for name, digest in load.created.items():
            stored = view.session(name)
            assert stored is not None
            assert stored.digest == digest
        for name, count in told.items():
            stored = view.session(name)
            assert stored is not None
            assert stored.generation == count, "the log tells of something else than there is"
            assert view.secret_values(name).secrets
            assert view.volume(name, "output") is not None
        for name, tag in load.states.items():
            state = view.volume(name, "output")
            assert state is not None
            assert state.tag in {tag, load.next_states[name]}
            assert last.get(name, "None") == str(state.tag)
    assert len(load.created) > 5


def test_one_that_stops_in_a_change_does_not_hold_up_the_others(postgresql_config: CasConfig) -> None:
    """A process that is stopped, or loses the network, in the midst of a change loses that change, and nobody else."""

    def stop_within(cas: Cas) -> None:
        with cas.store.changing() as change:
            change.audit("test", {"half": "done"})
            connection = change._connection
            assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "15s"
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '300ms'")
            time.sleep(1.0)

    with Cas(postgresql_config) as one, Cas(postgresql_config) as two:
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(stop_within, one)
            time.sleep(0.2)
            two.sessions.post(document(), KeyHash(b"a" * 32))
            assert isinstance(stopped.exception(), BannockError)
        events = [entry.event for entry in one.audit_log()]
        assert "session_created" in events
        assert "test" not in events
