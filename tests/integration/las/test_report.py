"""The LAS measures the process that asks, as that process sees its files, and nobody else."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import BannockError, DeniedError, EnvironmentFault, InputError, PeerError
from bannock.evidence.las_client import LasClient, short_socket_path
from bannock.evidence.platforms import SimulatedAttester
from bannock.evidence.verifier import verify
from bannock.identity.difference import difference
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build
from bannock.las.key import kept_key
from bannock.las.process import PeerProcess
from bannock.las.service import EmbeddedLas, Las
from bannock.las.web import web_application
from bannock.net.address import Address
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp
from tests.unit.identity.elves import elf

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATA: Final = bytes(range(64))
#: A manifest but for its last character.
_OPEN: Final = b'{"binary":"/bin/sh","paths":[],"settings":{},"sigstruct":""'
_ZEROS: Final = b"00" * 64
_SHELL: Final = EnclaveManifest(binary="/bin/sh", settings={"SCONE_HEAP": "512M"})
_NOBODY: Final = 65534

#: Connects, goes to another root, and asks for a report from there.
_FROM_ANOTHER_ROOT: Final = """
import http.client, json, os, socket, sys
from bannock import linux
path, root = sys.argv[1:]
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(path)
if os.geteuid() != 0:
    linux.unshare(linux.CLONE_NEWUSER)
os.chroot(root)
manifest = {"binary": "/bin/app", "paths": [], "settings": {}, "sigstruct": ""}
connection.request("POST", "/v1/report", json.dumps({"manifest": manifest, "report_data": "00" * 64}))
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""

#: Connects, gives the connection away, and ends.
_GIVES_AWAY: Final = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
with socket.socket(fileno=int(sys.argv[2])) as channel:
    socket.send_fds(channel, [b"x"], [connection.fileno()])
"""

_SERVE: Final = """
import sys
from pathlib import Path
from bannock.evidence.platforms import SimulatedAttester
from bannock.las.key import kept_key
from bannock.las.service import serve
attester = SimulatedAttester(kept_key(Path(sys.argv[1])))
serve(attester, listen=None, unix=Path(sys.argv[2]), ready=lambda: print("ready", flush=True))
"""


@pytest.fixture
def las(private_path: Path) -> Iterator[EmbeddedLas]:
    """An embedded LAS."""
    with EmbeddedLas(private_path) as embedded:
        yield embedded


@pytest.fixture
def tcp(private_path: Path) -> Iterator[ThreadedServer]:
    """A LAS on loopback."""
    app = web_application(_las(private_path))
    with ThreadedServer(Endpoint(app=app, sock=bind_tcp(Address("127.0.0.1", 0)))) as server:
        yield server


def _las(directory: Path) -> Las:
    return Las(SimulatedAttester(kept_key(directory)))


def _socket_of(las: EmbeddedLas) -> str:
    return las.address.removeprefix("unix:")


def test_report_is_evidence_for_what_is_here(las: EmbeddedLas) -> None:
    """The evidence verifies, is bound as asked, and its measurement is what anybody computes from the files."""
    evidence, tree = LasClient(las.address).report(_SHELL, _DATA)
    appraisal = verify(evidence, expected_report_data=_DATA, at=datetime.now(UTC))
    assert appraisal.claims.platform == "sim"
    assert appraisal.claims.measurement == tree.root
    assert appraisal.claims.signer.value == bytes(32)
    own = measure(_SHELL, RootedReader(Path("/")), runtime_build())
    assert difference(own, tree) == []
    assert own == tree


def test_process_on_loopback_is_found(tcp: ThreadedServer) -> None:
    """Over TCP the process is found by its socket, and the measurement is the same."""
    _, tree = LasClient(f"127.0.0.1:{tcp.port}").report(_SHELL, _DATA)
    assert tree == measure(_SHELL, RootedReader(Path("/")), runtime_build())


def test_ipv4_on_an_ipv6_listener_is_found(private_path: Path) -> None:
    """A listener for both families sees IPv4 peers by mapped addresses."""
    try:
        sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    except (OSError, ValueError):
        pytest.skip("no IPv6 here")
    with ThreadedServer(Endpoint(app=web_application(_las(private_path)), sock=sock)) as server:
        for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"):
            _, tree = LasClient(f"{host}:{server.port}").report(_SHELL, _DATA)
            assert tree.program


def test_shared_connection_is_refused(tcp: ThreadedServer) -> None:
    """A connection that two processes hold could be from either."""
    connection = http.client.HTTPConnection("127.0.0.1", tcp.port)
    connection.connect()
    with subprocess.Popen(["/bin/sleep", "60"], pass_fds=[connection.sock.fileno()]) as other:
        try:
            status, document = _post(connection, _request())
        finally:
            other.kill()
            connection.close()
    assert status == 403
    assert "2 processes" in document["detail"]


def test_files_are_those_of_the_process(las: EmbeddedLas, tmp_path: Path) -> None:
    """A process in another root is measured there, and links do not lead out of it."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "app").write_bytes(elf())
    status, document = _ask_from(las, root)
    assert status == 200
    assert document["tree"]["files"].keys() == {"/bin/app"}
    (root / "bin" / "app").unlink()
    (root / "bin" / "app").symlink_to("../../../../../../../../bin/sh")
    status, document = _ask_from(las, root)
    assert status == 400
    assert "/bin/app" in document["detail"]


def _ask_from(las: EmbeddedLas, root: Path) -> tuple[int, dict[str, dict[str, dict[str, str]]]]:
    program = [sys.executable, "-c", _FROM_ANOTHER_ROOT, _socket_of(las), str(root)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode and "OSError" in done.stderr:
        pytest.skip("no way to another root here")
    status, _, body = done.stdout.partition(" ")
    return int(status), json.loads(body)


def test_changed_byte_is_another_measurement(las: EmbeddedLas, tmp_path: Path) -> None:
    """A byte changed in the program changes the measurement, and the difference names the program."""
    program = tmp_path / "app"
    program.write_bytes(elf())
    manifest = EnclaveManifest(binary=str(program), settings={})
    _, before = LasClient(las.address).report(manifest, _DATA)
    changed = bytearray(elf())
    changed[-1] ^= 1
    program.write_bytes(changed)
    _, after = LasClient(las.address).report(manifest, _DATA)
    assert before.root != after.root
    assert difference(before, after) == [f"{program} changed"]


def test_connection_of_a_process_that_ended_is_refused(las: EmbeddedLas) -> None:
    """A connection outlives who made it; there is nothing to measure then, whoever has its number now."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run(
            [sys.executable, "-c", _GIVES_AWAY, _socket_of(las), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            check=True,
        )
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(fileno=descriptors[0])
    status, document = _post(connection, _request())
    connection.close()
    assert status == 403
    assert "ended" in document["detail"]


def test_process_that_ends_meanwhile_is_refused() -> None:
    """A report is made of a process that lives from the beginning of its measurement to the end."""
    with (
        subprocess.Popen(["/bin/sleep", "60"]) as child,
        PeerProcess(number=child.pid, handle=os.pidfd_open(child.pid)) as process,
    ):
        with pytest.raises(DeniedError, match="ended"):
            _end_during_measurement(process, child)
        with pytest.raises(DeniedError, match="ended"), process.root():
            pass


def _end_during_measurement(process: PeerProcess, child: subprocess.Popen[bytes]) -> None:
    with process.root() as root:
        assert (root / "bin").exists()
        child.kill()
        child.wait()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_process_of_somebody_else_is_refused() -> None:
    """A LAS that may not look into a process says so, and what to do."""
    with subprocess.Popen(["/bin/sleep", "60"]) as child, _as_nobody():
        try:
            with PeerProcess(number=child.pid, handle=os.pidfd_open(child.pid)) as process:
                with pytest.raises(DeniedError, match="permission denied") as caught, process.root():
                    pass
                assert "as root" in (caught.value.hint or "")
        finally:
            os.seteuid(0)
            child.kill()


@contextmanager
def _as_nobody() -> Iterator[None]:
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_missing_program_is_told(las: EmbeddedLas) -> None:
    """What is not there is an error that names it."""
    with pytest.raises(InputError, match="/no/such"):
        LasClient(las.address).report(EnclaveManifest(binary="/no/such", settings={}), _DATA)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"manifest":{},"report_data":""}',
        b" " * (600 << 10),
        b'{"manifest":%b},"report_data":"00"}' % _OPEN,
        b'{"manifest":%b},"report_data":"%b"}' % (_OPEN, b"0 " * 64),
        b'{"manifest":%b},"report_data":"%b"}' % (_OPEN, b"AA" * 64),
        b'{"manifest":%b},"report_data":["00"]}' % _OPEN,
        b'{"manifest":%b,"x":0},"report_data":"%b"}' % (_OPEN, _ZEROS),
        b'{"manifest":{"binary":"/bin/sh","paths":[0.5],"settings":{},"sigstruct":""},"report_data":"%b"}' % _ZEROS,
        b'{"manifest":{"binary":"/\\ud800","paths":[],"settings":{},"sigstruct":""},"report_data":"%b"}' % _ZEROS,
    ],
)
def test_malformed_request_is_refused(las: EmbeddedLas, body: bytes) -> None:
    """A request in any other form is the client's fault, and the service goes on."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(_socket_of(las))
    status, document = _post(connection, body)
    connection.close()
    assert status == 400
    assert document["type"] == "urn:bannock:error:invalid-input"
    LasClient(las.address).report(_SHELL, _DATA)


def _request() -> bytes:
    return json.dumps({"manifest": json.loads(_SHELL.to_json()), "report_data": _DATA.hex()}).encode()


def _post(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, dict[str, str]]:
    connection.request("POST", "/v1/report", body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_key_is_kept(private_path: Path) -> None:
    """A LAS is the same attester after a restart; its key is in a file that nobody else reads."""
    attesters = set()
    for _ in range(2):
        with EmbeddedLas(private_path) as las:
            evidence, _ = LasClient(las.address).report(_SHELL, _DATA)
        attesters.add(verify(evidence, expected_report_data=_DATA, at=datetime.now(UTC)).attester)
    assert len(attesters) == 1
    assert [path.stat().st_mode & 0o777 for path in private_path.iterdir()] == [0o600]


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"])
def test_key_that_is_none_is_refused(private_path: Path, content: bytes) -> None:
    """A file that holds no key is not written over, and not repeated."""
    path = private_path / "las-key.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match="no private key") as caught:
        _las(private_path)
    assert "secret" not in str(caught.value)
    assert path.read_bytes() == content


def test_open_key_is_refused(private_path: Path) -> None:
    """A key that others can read is no key any more."""
    _las(private_path)
    (private_path / "las-key.pem").chmod(0o644)
    with pytest.raises(InputError, match="open to others"):
        _las(private_path)


def test_simulation_is_said(private_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says plainly that sim protects nothing."""
    with caplog.at_level("WARNING", "bannock.las"):
        _las(private_path)
    assert "sim" in caplog.text
    assert "protect nothing" in caplog.text


def test_long_paths_are_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory for temporary files with a path that no socket takes does not matter, on either side."""
    long = tmp_path / ("d" * 100) / ("e" * 100)
    long.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with EmbeddedLas(tmp_path / "las") as las:
        assert len(las.address) > 200
        LasClient(las.address).report(_SHELL, _DATA)


def test_served_until_told_to_stop(tmp_path: Path) -> None:
    """A service of its own answers on its socket and ends with SIGTERM."""
    path = tmp_path / ("d" * 120) / "las.sock"
    path.parent.mkdir()
    program = [sys.executable, "-c", _SERVE, str(tmp_path / "las"), str(path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"
        LasClient(f"unix:{path}").report(_SHELL, _DATA)
        service.send_signal(signal.SIGTERM)
        _, told = service.communicate(timeout=30)
    assert service.returncode == 0
    assert "protect nothing" in told


def test_nobody_there_is_told(tmp_path: Path) -> None:
    """Without a LAS the error says where it was looked for and how to start one."""
    for address in (f"unix:{tmp_path}/none", f"unix:{tmp_path}/{'x' * 120}/none", "127.0.0.1:1"):
        with pytest.raises(EnvironmentFault):
            LasClient(address).report(_SHELL, _DATA)
    with pytest.raises(EnvironmentFault, match=r"127\.0\.0\.1:1") as caught:
        LasClient("127.0.0.1:1").report(_SHELL, _DATA)
    assert "bannock las serve" in (caught.value.hint or "")


@pytest.mark.parametrize("address", ["", "unix:", "unix:relative", "unix:/a\0b", "host:port", "a:b:c"])
def test_odd_address_is_refused(address: str) -> None:
    """An address in no known form is the user's mistake."""
    with pytest.raises(InputError):
        LasClient(address)


_GREETING: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 89\r\n\r\n"
    b'{"platform":"sim","rehearses":null,"quote":{"platform":"sim","key":""},"endorsements":""}'
)


def _answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}",
        _answer(b""),
        _answer(b"{}"),
        _answer(b"[" * 100_000),
        _answer(b'{"evidence":{},"tree":{}}'),
        _answer(b"x" * (17 << 20)),
        _answer(b"no", b"500 Oops"),
    ],
)
def test_what_is_no_las_raises_our_error(tmp_path: Path, answer: bytes) -> None:
    """Whatever answers in place of a LAS, the client raises errors of ours alone."""
    for greeting in (_GREETING, answer):
        with _answering(tmp_path / "socket", greeting, answer), pytest.raises(PeerError if answer else BannockError):
            LasClient(f"unix:{tmp_path}/socket").report(_SHELL, _DATA)


def test_silent_las_is_given_up_for_one_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is taken and never answered holds nobody up for as long as a measurement may take."""
    monkeypatch.setattr("bannock.evidence.las_client._GREETING_SECONDS", 0.2)
    with _answering(tmp_path / "socket", None, _GREETING, _answer(b"{}")):
        assert LasClient(f"unix:{tmp_path}/socket").platform().platform == "sim"
    with _answering(tmp_path / "silent", None, None, None), pytest.raises(EnvironmentFault, match="timed out"):
        LasClient(f"unix:{tmp_path}/silent").report(_SHELL, _DATA)


def test_report_of_something_else_is_refused(las: EmbeddedLas, tmp_path: Path) -> None:
    """A LAS that answers with evidence for other report data, or with another tree, is not believed."""
    client = LasClient(las.address)
    evidence, tree = client.report(_SHELL, _DATA)
    _, other = client.report(EnclaveManifest(binary="/bin/sh", settings={}), _DATA)
    for data, shown in ((bytes(64), tree), (_DATA, other)):
        answer = _answer(b'{"evidence":%b,"tree":%b}' % (evidence, shown.to_json()))
        with (
            _answering(tmp_path / f"{len(str(shown))}", _GREETING, answer),
            pytest.raises(PeerError, match="something else"),
        ):
            LasClient(f"unix:{tmp_path}/{len(str(shown))}").report(_SHELL, data)


def _request_on(connection: socket.socket) -> bytes:
    """Receive a request with all of its body; nothing at the end."""
    request = b""
    while b"\r\n\r\n" not in request or (request.startswith(b"POST") and not request.endswith(b'"}')):
        part = connection.recv(1 << 16)
        if not part:
            return b""
        request += part
    return request


@contextmanager
def _answering(path: Path, *answers: bytes | None) -> Iterator[None]:
    """Answer requests with given bytes, one after the other; None leaves a connection without an answer."""
    path.unlink(missing_ok=True)
    waiting = list(answers)
    with ExitStack() as silent, short_socket_path(path) as short, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short))
        listener.listen()
        listener.settimeout(0.05)
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                with suppress(TimeoutError):
                    connection, _ = listener.accept()
                    if waiting and waiting[0] is None:
                        waiting.pop(0)
                        silent.enter_context(connection)
                        continue
                    with connection, suppress(OSError):  # the client has heard enough
                        connection.settimeout(0.5)
                        while waiting and _request_on(connection):
                            connection.sendall(waiting.pop(0) or b"")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
