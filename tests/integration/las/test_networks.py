"""Over TCP a LAS finds processes of other network namespaces, as containers have them, and takes no copy for one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import DeniedError
from bannock.las.process import PeerProcess
from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

_PEER: Final = Address("127.0.0.1", 40001)
_OURS: Final = Address("127.0.0.1", 40002)
#: Makes a network with nothing but a loopback device, and a connection in it with the addresses of another one.
_CONNECTS: Final = """
import fcntl, os, socket, struct, sys
from bannock import linux
linux.unshare(0x40000000)
with socket.socket() as any_socket:
    up = struct.pack("16sh", b"lo", 1)
    fcntl.ioctl(any_socket, 0x8914, up)
source, target = int(sys.argv[1]), int(sys.argv[2])
with socket.create_server(("127.0.0.1", target)) as server:
    connection = socket.create_connection(("127.0.0.1", target), source_address=("127.0.0.1", source))
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def _connection_elsewhere(peer: Address = _PEER) -> Iterator[int]:
    """Make a connection in a network of its own, and give the process that holds it."""
    command = [sys.executable, "-c", _CONNECTS, str(peer.port), str(_OURS.port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def test_a_process_in_another_network_is_found() -> None:
    """The process of a container that has a network of its own is the one at the other end."""
    other = Address("127.0.0.1", 40003)
    with (
        _connection_elsewhere(other),
        _connection_elsewhere() as number,
        PeerProcess.of_tcp(_PEER, _OURS) as found,
    ):
        assert found.number == number


def test_a_connection_that_is_there_twice_is_refused() -> None:
    """Who makes up the same connection in a network of their own gets nothing, nor does anybody else."""
    with ExitStack() as connections:
        for _ in range(2):
            connections.enter_context(_connection_elsewhere())
        with pytest.raises(DeniedError, match="found in 2 networks of this host"):
            PeerProcess.of_tcp(_PEER, _OURS)


def test_a_connection_that_is_nowhere_is_refused() -> None:
    """What comes from another host, or through a translation of addresses, is nobody's."""
    with _connection_elsewhere(), pytest.raises(DeniedError, match="does not come from a process of this host"):
        PeerProcess.of_tcp(Address("127.0.0.1", 40004), _OURS)
