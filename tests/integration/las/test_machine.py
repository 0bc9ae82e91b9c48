"""A LAS on a machine that something vouches for: its key and quote, and how it knows processes again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import EnvironmentFault
from bannock.evidence.envelope import Envelope
from bannock.evidence.las_client import LasClient
from bannock.evidence.quotes import TdxQuote
from bannock.evidence.report import Report
from bannock.identity.manifest import EnclaveManifest
from bannock.las.process import PeerProcess
from bannock.las.renewal import Renewal
from bannock.las.service import EmbeddedLas
from tests.integration.las.make_believe import CountingSource, make_believe_attester
from tests.integration.runtime.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable

_NOBODY: Final = 65534
_SHELL: Final = EnclaveManifest(binary="/bin/sh", settings={})
_RUN: Final = [sys.executable, "-I", "-m", "bannock.cli.bannock", "run", "--mount", "memory", "--", "/bin/sh"]
_SERVE: Final = """
import sys
from pathlib import Path
from bannock.las.service import serve
from tests.integration.las.make_believe import make_believe_attester
serve(make_believe_attester(), listen=None, unix=Path(sys.argv[1]), ready=lambda: print("ready", flush=True))
"""


class _Anybody:
    def require_runtime(self, process: PeerProcess) -> None:
        process.require_alive()


def _report_of(evidence: bytes) -> Report:
    return Report.from_json(Envelope.from_json(evidence).report)


def test_a_real_runtime_gets_a_report(tmp_path: Path) -> None:
    """Started as users start it, it is what a LAS that insists takes it for; what the CAS says then is about else."""
    with EmbeddedLas(tmp_path / "las", make_believe_attester(rehearses="tdx")) as las:
        services = Services(tmp_path, las)
        try:
            environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SCONE"))},
                "SCONE_CAS_ADDR": str(services.address),
                "SCONE_LAS_ADDR": las.address,
                "SCONE_CONFIG_ID": "demo/app",
            }
            done = subprocess.run(_RUN, env=environment, capture_output=True, text=True, check=False)
            assert "malformed" in done.stderr or "quote" in done.stderr
            assert "is not the runtime" not in done.stderr
            insists = subprocess.run(
                _RUN, env={**environment, "SCONE_MODE": "HW"}, capture_output=True, text=True, check=False
            )
        finally:
            services.stop()
    assert "SCONE_MODE=hw asks for hardware" in insists.stderr
    assert "sim (rehearses tdx)" in insists.stderr
    assert insists.returncode == EnvironmentFault.exit_code


def test_an_instance_is_one_start_of_a_process(tmp_path: Path) -> None:
    """It is the same for every LAS and every time, and another one for another process."""
    found = []
    for _ in range(2):
        with EmbeddedLas(tmp_path / "las") as las:
            found += [_report_of(LasClient(las.address).report(_SHELL, bytes(64))[0]).instance for _ in range(2)]
    assert len(set(found)) == 1
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        with PeerProcess(number=child.pid, handle=os.pidfd_open(child.pid)) as process:
            other = process.instance()
        child.kill()
    assert other not in found
    assert len(other) == 32


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be nobody")
def test_a_process_that_hid_its_memory_is_known_by_its_connection() -> None:
    """What was measured on a connection that was kept stands; nothing else does."""
    asker = Path(__file__).parent / "hidden_asker.py"
    done = subprocess.run(
        [sys.executable, str(asker), str(_NOBODY)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "kept: the same report",
        "other manifest: DeniedError",
        "kept again: the same report",
        "new: DeniedError",
    ]


def test_key_and_quote_are_renewed_together(tmp_path: Path) -> None:
    """Evidence of both times holds together in itself; nothing of the key is on the disk."""
    source = CountingSource()
    attester = make_believe_attester(source)
    with EmbeddedLas(tmp_path / "las", attester, _Anybody()) as las:
        client = LasClient(las.address)
        before = Envelope.from_json(client.report(_SHELL, bytes(64))[0])
        attester.renew()
        after = Envelope.from_json(client.report(_SHELL, bytes(64))[0])
        assert client.platform().quote == after.quote
    assert isinstance(before.quote, TdxQuote)
    assert isinstance(after.quote, TdxQuote)
    assert before.quote.key != after.quote.key
    assert before.quote.quote != after.quote.quote
    assert source.asked == 2
    assert not list(tmp_path.rglob("*.pem"))


def test_renewal_that_fails_leaves_what_is_in_force(caplog: pytest.LogCaptureFixture) -> None:
    """A machine that gives no quote for a while goes on with the one that it gave."""
    source = CountingSource()
    attester = make_believe_attester(source)
    quote, _ = attester.vouched()
    source.failure = EnvironmentFault("the device is busy")
    with Renewal(attester, hours=1) as renewal:
        renewal.now()
        _until(lambda: "the device is busy" in caplog.text)
        assert attester.vouched()[0] == quote
        source.failure = None
        renewal.now()
        _until(lambda: attester.vouched()[0] != quote)


def test_renewal_comes_by_itself() -> None:
    """As often as was asked for."""
    source = CountingSource()
    with Renewal(make_believe_attester(source), hours=0.05 / 3600):
        _until(lambda: source.asked > 3)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_signal_renews(tmp_path: Path) -> None:
    """SIGHUP does so at once, and the service goes on."""
    path = tmp_path / "las.sock"
    command = [sys.executable, "-c", _SERVE, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as service:
        try:
            assert service.stdout is not None
            assert service.stdout.readline() == b"ready\n"
            client = LasClient(f"unix:{path}")
            before = client.platform()
            assert (before.platform, before.rehearses) == ("tdx", None)
            service.send_signal(signal.SIGHUP)
            _until(lambda: client.platform().quote != before.quote)
        finally:
            service.terminate()
    assert service.returncode == 0


def test_connections_end_with_their_processes(tmp_path: Path) -> None:
    """A LAS holds on to nobody who has gone: neither handles nor connections pile up."""
    with EmbeddedLas(tmp_path / "las") as las:
        before = _descriptors()
        for _ in range(5):
            with LasClient(las.address, keep=True) as client:
                client.report(_SHELL, bytes(64))
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(las.address.removeprefix("unix:"))
        _until(lambda: _descriptors() <= before)


#: Connects and asks as somebody else, and has its process become one that the LAS would report on.
_BECOMES_ANOTHER: Final = """
import http.client, json, os, socket, sys, time
from bannock import linux
from bannock.evidence.las_client import asking_name
path, channel, data, pause = sys.argv[1:]
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(path)
with socket.socket(fileno=int(channel)) as other:
    socket.send_fds(other, [b"x"], [connection.sock.fileno()])
with linux.named_thread(asking_name(bytes.fromhex(data))):
    manifest = {"binary": "/bin/sh", "paths": [], "settings": {}, "sigstruct": ""}
    connection.request("POST", "/v1/report", json.dumps({"manifest": manifest, "report_data": data}))
    time.sleep(float(pause))
    os.execv("/bin/sleep", ["sleep", "60"])
"""


class _Slowly:
    """Takes its time over a process, and finds nothing wrong."""

    def require_runtime(self, process: PeerProcess) -> None:
        time.sleep(1)
        process.require_alive()


@pytest.mark.parametrize("pause", ["0", "0.3"])
def test_a_process_that_becomes_another_program_gets_no_report(tmp_path: Path, pause: str) -> None:
    """Whoever had the connection before cannot have the program measured that their process has become."""
    with EmbeddedLas(tmp_path / "las", make_believe_attester(), _Slowly()) as las:
        ours, theirs = socket.socketpair()
        path = las.address.removeprefix("unix:")
        command = [sys.executable, "-c", _BECOMES_ANOTHER, path, str(theirs.fileno()), "07" * 64, pause]
        with ours, theirs, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as child:
            try:
                _, (descriptor, *_), _, _ = socket.recv_fds(ours, 1, 1)
                with socket.socket(fileno=descriptor) as stolen:
                    answer = b""
                    while b"}" not in answer:
                        answer += stolen.recv(1 << 16)
            finally:
                child.kill()
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"has not asked for this report" in answer
