"""What a CAS has acknowledged it still has after it was killed, and ``serve`` starts and stops as it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig
from bannock.errors import EnvironmentFault
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.values import FspfTag, KeyHash
from tests.integration.cas.enclaves import enclave
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from pathlib import Path

_FIRST = FspfTag.from_hex("bb" * 16)
_MAIN = f"fspf_path: /main.fspf\n    fspf_key: {'aa' * 32}\n    fspf_tag: {_FIRST}"

_PROGRAM = """
import sys
from pathlib import Path
from bannock.cas import load_config, serve

def ready(cas, addresses):
    print(cas.key_hash.value.hex(), *addresses, flush=True)

serve(load_config(Path(sys.argv[1]), home=Path(sys.argv[2])), ready=ready)
"""


class _Process:
    """A CAS in a process of its own."""

    def __init__(self, directory: Path) -> None:
        config = directory / "cas.toml"
        config.write_text('[api]\nlisten = "127.0.0.1:0"\n[enclave]\nlisten = "127.0.0.1:0"\n')
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(config), str(directory / "cas")], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        key, api, enclaves = self._process.stdout.readline().split()
        self.key_hash = KeyHash.from_hex(key)
        self.api = Address.parse(api, default_port=0)
        self.enclaves = Address.parse(enclaves, default_port=0)

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and give the exit status."""
        self._process.send_signal(number)
        status = self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status


@pytest.mark.parametrize("round_", range(3))
def test_nothing_acknowledged_is_lost_when_it_is_killed(tmp_path: Path, round_: int) -> None:
    """Killed in the midst of commits of four services, everything is in the state acknowledged last, or the next.

    Two services commit a volume, two their main protection file.
    """
    running = _Process(tmp_path)
    alice = Identity.generate("alice")
    names = [f"demo-{number}" for number in range(4)]
    with connect(*running.api, alice, expected_peer=running.key_hash) as client:
        for name in names:
            assert client.request("POST", "/session", document(name, fspf=_MAIN).encode()).status == 201
    acknowledged: dict[str, FspfTag | None] = {name: _FIRST if name in names[2:] else None for name in names}
    tried = dict(acknowledged)
    enough = threading.Event()

    def work(name: str) -> None:
        try:
            with enclave(running.enclaves, running.key_hash) as app:
                app.attest(session=name)
                commit = app.commit_fspf if name in names[2:] else app.commit
                for number in range(100_000):
                    tried[name] = tag = FspfTag(os.urandom(16))
                    commit(acknowledged[name], tag)
                    acknowledged[name] = tag
                    if number == 10 + 10 * round_:
                        enough.set()
        except EnvironmentFault:
            pass

    workers = [threading.Thread(target=work, args=(name,)) for name in names]
    for worker in workers:
        worker.start()
    assert enough.wait(30)
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    for worker in workers:
        worker.join()
    with Cas(CasConfig.in_directory(tmp_path / "cas")) as cas:
        assert cas.key_hash == running.key_hash
        committed = [entry for entry in cas.audit_log() if entry.event.endswith("_fspf_tag_updated")]
        for name in names:
            with cas.store.reading() as view:
                state = view.fspf(name, "app") if name in names[2:] else view.volume(name, "output")
            found = state.tag if state is not None else None
            assert found in {acknowledged[name], tried[name]}
            assert str(found) == [entry.facts["to"] for entry in committed if entry.facts["session"] == name][-1]


def test_it_stops_when_it_is_told_to(tmp_path: Path) -> None:
    """SIGTERM ends it in order, with connections open, and it starts again as the same."""
    running = _Process(tmp_path)
    with connect(*running.api, None, expected_peer=running.key_hash):
        assert running.end(signal.SIGTERM) == 0
    again = _Process(tmp_path)
    assert again.key_hash == running.key_hash
    assert again.end(signal.SIGINT) == 0


def test_two_first_starts_at_once_make_one_cas(tmp_path: Path) -> None:
    """Processes that start in one empty directory at the same time have the same keys."""
    program = "import sys\nfrom pathlib import Path\nfrom bannock.cas import Cas, CasConfig\n"
    program += "print(Cas(CasConfig.in_directory(Path(sys.argv[1]))).key_hash)"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "cas")], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({process.communicate(timeout=60)[0] for process in processes}) == 1
    assert [process.returncode for process in processes] == [0] * 4
