"""The connection to a host, with a real sshd at its other end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.errors import DeniedError, EnvironmentFault, NotFoundError, PeerError
from bannock.execution.hosts.connection import SshConnection
from bannock.execution.hosts.greeting import Welcome
from bannock.execution.hosts.sockets import socket_directory
from bannock.net.address import Address
from tests.ssh_host import SshHost, added, running_ssh_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bannock.execution.hosts.book import HostBook

_SECONDS = 30.0


@pytest.fixture
def book(private_path: Path, ssh_host: SshHost) -> HostBook:
    """A configuration that knows the sshd as ``caroline``."""
    return added(private_path, ssh_host)


@pytest.fixture
def connection(book: HostBook) -> Iterator[SshConnection]:
    """A connection to it."""
    with SshConnection(book.target("caroline"), pin=True) as connection:
        yield connection


class _Echo:
    """A service that answers each connection with what it is called, and then all that it is sent."""

    def __init__(self, listener: socket.socket, name: bytes) -> None:
        self._listener, self._name = listener, name
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                with stream:
                    stream.sendall(self._name)


def _said(family: int, address: str | tuple[str, int]) -> bytes:
    with socket.socket(family) as stream:
        stream.settimeout(_SECONDS)
        stream.connect(address)
        return stream.recv(100)


def test_commands(connection: SshConnection, ssh_host: SshHost) -> None:
    """A command gets its words as they are, its input, and gives its output, its errors and its exit code."""
    done = connection.run("sh", "-c", 'pwd; printf "%s|" "$@"; cat; echo oh >&2; exit 255', "sh", "a b", "$HOME;'\"")
    assert done.code == 255
    assert done.out.decode() == f"{ssh_host.home}\na b|$HOME;'\"|"
    assert done.err == "oh\n"
    assert connection.run("cat", stdin=b"\0" * 100_000).out == b"\0" * 100_000


def test_streams(connection: SshConnection) -> None:
    """A command's input and output can be pipes."""
    with connection.stream("tr", "a", "b") as process:
        assert process.communicate(b"a" * 1_000_000)[0] == b"b" * 1_000_000
    assert process.returncode == 0


def test_a_command_that_takes_too_long(connection: SshConnection) -> None:
    """A command that does not end is given up, and the connection goes on."""
    with pytest.raises(EnvironmentFault, match="takes longer than"):
        connection.run("sleep", "60", seconds=0.5)
    assert connection.run("true").code == 0


def test_tunnels_both_ways(connection: SshConnection, tmp_path: Path) -> None:
    """Unix sockets and TCP services of the host are reached from here, and services of here from the host."""
    far = socket.socket(socket.AF_UNIX)
    far.bind(str(tmp_path / "far.sock"))
    far.listen()
    with _Echo(far, b"far"):
        tunnel = connection.tunnel(tmp_path / "far.sock")
        assert connection.tunnel(tmp_path / "far.sock") == tunnel
        assert tunnel.parent.stat().st_mode & 0o077 == 0
        assert _said(socket.AF_UNIX, str(tunnel)) == b"far"
    near = socket.create_server(("127.0.0.1", 0))
    with _Echo(near, b"near"):
        here = Address("127.0.0.1", near.getsockname()[1])
        there = connection.reach(here)
        assert there != here
        assert connection.reach(here) == there
        assert _said(socket.AF_INET, there) == b"near"
        assert _said(socket.AF_UNIX, str(connection.tunnel(here))) == b"near"


def test_repair_after_a_cut(connection: SshConnection, ssh_host: SshHost, tmp_path: Path) -> None:
    """A lost connection is an error, and once it is repaired all tunnels are where they were."""
    far = socket.socket(socket.AF_UNIX)
    far.bind(str(tmp_path / "far.sock"))
    far.listen()
    near = socket.create_server(("127.0.0.1", 0))
    with _Echo(far, b"far"), _Echo(near, b"near"):
        tunnel = connection.tunnel(tmp_path / "far.sock")
        there = connection.reach(Address("127.0.0.1", near.getsockname()[1]))
        assert connection.is_alive()
        ssh_host.cut()
        with pytest.raises(EnvironmentFault, match="connection to host caroline was lost"):
            connection.run("true")
        assert not connection.is_alive()
        connection.repair(_SECONDS)
        assert connection.run("true").code == 0
        assert _said(socket.AF_UNIX, str(tunnel)) == b"far"
        assert _said(socket.AF_INET, there) == b"near"


def test_repair_of_what_the_host_still_holds(connection: SshConnection, ssh_host: SshHost) -> None:
    """Where the host has not noticed that we are gone, its side of the old connection is ended for the new one."""
    near = socket.create_server(("127.0.0.1", 0))
    with _Echo(near, b"near"):
        there = connection.reach(Address("127.0.0.1", near.getsockname()[1]))
        before = ssh_host.sessions()
        assert connection._master is not None
        # Stopped, it neither answers nor lets go, as a machine whose network is gone.
        master = connection._master
        master.send_signal(signal.SIGSTOP)
        try:
            connection._master = None
            connection.repair(_SECONDS)
            assert _said(socket.AF_INET, there) == b"near"
        finally:
            master.kill()
            master.communicate()
        _wait(lambda: not before & ssh_host.sessions())


def test_a_place_of_a_run_before(book: HostBook) -> None:
    """A client that goes on with a run is reached at the port where the one before it was."""
    near = socket.create_server(("127.0.0.1", 0))
    here = Address("127.0.0.1", near.getsockname()[1])
    with _Echo(near, b"near"):
        with SshConnection(book.target("caroline"), pin=True) as first:
            there = first.reach(here)
        with SshConnection(book.target("caroline")) as second:
            assert second.reach(here, there) == there
            assert _said(socket.AF_INET, there) == b"near"
            with SshConnection(book.target("caroline"), patience=0.2) as third:
                with pytest.raises(PeerError, match="does not allow the tunnel"):
                    third.reach(here, there)
                assert third.is_alive()


def test_the_first_key_is_pinned(book: HostBook, ssh_host: SshHost) -> None:
    """The key of the first contact is kept, and no other one is taken afterwards."""
    target = book.target("caroline")
    with pytest.raises(PeerError, match="has shown no key so far"), SshConnection(target):
        pass
    assert book.pinned("caroline") == ()
    with SshConnection(target, pin=True):
        assert book.pinned("caroline") == (ssh_host.fingerprint(),)
    with SshConnection(target) as connection:
        assert connection.is_alive()


def test_another_key_is_refused(private_path: Path, tmp_path: Path) -> None:
    """A host that shows another key than before is refused, even where first keys are believed."""
    with running_ssh_host(tmp_path) as host:
        book = added(private_path, host)
        with SshConnection(book.target("caroline"), pin=True):
            pass
        host.stop()
        host.have_new_key()
        host.start()
        for pin in (False, True):
            with pytest.raises(PeerError, match="another key") as caught:
                SshConnection(book.target("caroline"), pin=pin).__enter__()
            assert caught.value.reasons == (f"it shows {host.fingerprint()}",)


def test_who_is_not_let_in(book: HostBook, ssh_host: SshHost) -> None:
    """A host that does not know the key refuses, and the user is told what grants access."""
    ssh_host.forget_everybody()
    with pytest.raises(DeniedError, match="does not take the key") as caught:
        SshConnection(book.target("caroline"), pin=True).__enter__()
    assert "add-host --alias caroline" in str(caught.value.hint)


def test_a_host_that_is_away(private_path: Path, tmp_path: Path) -> None:
    """A host that cannot be reached is said to be so, and repairing ends at the time that it is given."""
    with running_ssh_host(tmp_path) as host:
        book = added(private_path, host)
        with SshConnection(book.target("caroline"), pin=True) as connection:
            host.stop()
            host.cut()
            began = time.monotonic()
            with pytest.raises(EnvironmentFault, match="cannot reach host caroline"):
                connection.repair(1.0)
            assert time.monotonic() - began < 10
            host.start()
            connection.repair(_SECONDS)
            assert connection.run("true").code == 0


def test_tunnels_that_the_host_forbids(private_path: Path, tmp_path: Path) -> None:
    """A host whose sshd allows no tunnels is told apart from one that was lost."""
    with running_ssh_host(tmp_path, "AllowTcpForwarding no") as host:
        book = added(private_path, host)
        with SshConnection(book.target("caroline"), pin=True) as connection:
            with pytest.raises(PeerError, match="does not allow the tunnel") as caught:
                connection.reach(Address("127.0.0.1", 9))
            assert "AllowTcpForwarding" in str(caught.value.hint)


def test_a_key_with_the_least_rights(book: HostBook, ssh_host: SshHost, tmp_path: Path) -> None:
    """What the line of add-host grants is enough."""
    public = ssh_host.authorized_keys.read_text()
    ssh_host.forget_everybody()
    ssh_host.grant(f"restrict,port-forwarding {public}")
    far = socket.socket(socket.AF_UNIX)
    far.bind(str(tmp_path / "far.sock"))
    far.listen()
    with SshConnection(book.target("caroline"), pin=True) as connection, _Echo(far, b"far"):
        assert _said(socket.AF_UNIX, str(connection.tunnel(tmp_path / "far.sock"))) == b"far"
        connection.reach(Address("127.0.0.1", 9))


_CLIENT = """\
import sys, time
from pathlib import Path
from bannock.execution.hosts.book import HostBook
from bannock.execution.hosts.connection import SshConnection
from bannock.net.address import Address
with SshConnection(HostBook(Path(sys.argv[1])).target("caroline"), pin=True) as connection:
    print(connection.reach(Address("127.0.0.1", 9)).port, flush=True)
    time.sleep(600)
"""


def test_nothing_is_left_of_a_client_that_was_killed(book: HostBook, ssh_host: SshHost, private_path: Path) -> None:
    """When a client is killed, its ssh ends by itself, here and on the host, and its port there is free."""
    assert book.all()
    with subprocess.Popen(
        [sys.executable, "-c", _CLIENT, str(private_path)], stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        port = int(client.stdout.readline())
        assert ssh_host.sessions()
        (master,) = _children(client.pid)
        client.kill()
    _wait(lambda: not ssh_host.sessions())
    _wait(lambda: not Path(f"/proc/{master}").exists() or "(ssh) Z" in Path(f"/proc/{master}/stat").read_text())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def _children(pid: int, of: int | str = "") -> list[int]:
    """Give the children of a process, or those that one thread of it has started."""
    found = [int(child) for child in Path(f"/proc/{of or pid}/task/{pid}/children").read_text().split()]
    return [child for child in found if Path(f"/proc/{child}/comm").read_text() == "ssh\n"]


def _wait(done: Callable[[], bool]) -> None:
    end = time.monotonic() + _SECONDS
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_terminal_s_interrupt_is_the_client_s_alone(connection: SshConnection) -> None:
    """Ssh is in no group of processes that Ctrl-C reaches, so that there is a connection to clean up over."""
    assert connection._master is not None
    assert os.getsid(connection._master.pid) != os.getsid(0)


def test_the_host_lets_go_of_a_client_that_says_nothing_more(book: HostBook, ssh_host: SshHost) -> None:
    """Where a client has vanished without a word, its ports on the host are free again after a while."""
    near = socket.create_server(("127.0.0.1", 0))
    here = Address("127.0.0.1", near.getsockname()[1])
    with _Echo(near, b"near"), SshConnection(book.target("caroline"), pin=True) as first:
        there = first.reach(here)
        assert first._master is not None
        target = book.target("caroline")
        # What the host runs for it, with less patience than it has otherwise.
        words = [*target.words(seconds=10), "-T", *target.place, Welcome().next(silence=1)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as silent:
            assert silent.stdout is not None
            assert silent.stdout.readline().startswith(b"bannock-is-here")
            began = time.monotonic()
            assert silent.wait(timeout=_SECONDS) != 0
            assert time.monotonic() - began < 10
        assert first.is_alive()
        assert _said(socket.AF_INET, there) == b"near"
    _wait(lambda: not ssh_host.sessions())


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of temporary files with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # it is short
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)


def test_sockets_are_not_below_long_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own place for temporary files may be longer than a socket's path can be."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with socket_directory() as used, socket.socket(socket.AF_UNIX) as server:
        assert long not in used.parents
        server.bind(str(used / "control.1234567890123456"))
        assert used.stat().st_mode & 0o077 == 0


def test_directories_of_killed_clients_are_removed(short: Path) -> None:
    """What a killed client has left is removed by the next one; what is in use, or not ours to remove, is not."""
    left, other = short / "bannock-ssh-left", short / "bannock-ssh-other"
    for path in (left, other):
        path.mkdir()
    (left / "lock").touch()
    with socket_directory() as used:
        for path in (left, other, used):
            os.utime(path, (0, 0))
        with socket_directory() as second:
            assert second.exists()
            assert not left.exists()
            assert used.exists()
            assert other.exists()
    assert sorted(short.iterdir()) == [other]


def test_a_connection_that_is_made_ahead(book: HostBook, ssh_host: SshHost) -> None:
    """A host that will be needed is connected to meanwhile; what is not needed is left again."""
    with book.ahead("caroline"):
        with book.open("caroline", {}) as machine:
            assert machine.run("true").code == 0
            assert len(_masters()) == 1
        assert not _masters()
        with book.open("caroline", {}) as machine:
            assert machine.is_alive()
    with book.ahead("caroline"):
        _wait(lambda: bool(_masters()))
    assert not _masters()
    ssh_host.forget_everybody()
    with book.ahead("caroline"), pytest.raises(DeniedError, match="does not take the key"), book.open("caroline", {}):
        pass
    with book.ahead("nobody"), book.ahead("local"), pytest.raises(NotFoundError), book.open("nobody", {}):
        pass


def _masters() -> list[int]:
    """Give our own processes that keep a connection."""
    return [child for task in Path("/proc/self/task").iterdir() for child in _children(int(task.name), of="self")]
