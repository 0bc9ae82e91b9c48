"""The process on the other side of a connection, found by the kernel's word and not by its own."""

from __future__ import annotations

import ipaddress
import os
import select
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.errors import DeniedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.net.address import Address

__all__ = ["held", "process_of_connection"]


@contextmanager
def held(process: int) -> Iterator[Path]:
    """Give the root directory of a process, and see at the end that it was the same process all the time.

    Raises:
        DeniedError: the process has ended, or this service may not look into it.
    """
    try:
        handle = os.pidfd_open(process)
    except OSError as error:
        raise DeniedError(f"process {process} cannot be measured: {error.strerror}") from error
    try:
        root = Path(f"/proc/{process}/root")
        if not os.access(root, os.X_OK):
            raise DeniedError(
                f"process {process} cannot be measured: its files are not open to this service",
                hint="run the LAS as root, or as the user who runs the enclave",
            )
        yield root
        if select.select([handle], [], [], 0)[0]:
            raise DeniedError(f"process {process} ended while it was measured")
    finally:
        os.close(handle)


def process_of_connection(peer: Address, ours: Address) -> int:
    """Return the process that holds the other end of a TCP connection on this host.

    Raises:
        DeniedError: it is not on this host, or several processes share it.
    """
    inode = _inode(peer, ours)
    holders = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(descriptor.readlink()) == f"socket:[{inode}]":
                holders.add(int(descriptor.parts[2]))
    if len(holders) != 1:
        raise DeniedError(
            f"the connection from {peer} belongs to {len(holders)} processes of this host, expected one",
            hint="reach the LAS over its unix socket, or run it as root in the host's network and process namespaces",
        )
    return holders.pop()


def _inode(peer: Address, ours: Address) -> str:
    wanted = [_encode(peer), _encode(ours)]
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[1:3] == wanted:
                    return fields[9]
    raise DeniedError(f"the connection from {peer} does not come from this host")


def _encode(address: Address) -> str:
    """Write an address as the kernel does: 32-bit words in the order of the host, in hexadecimal."""
    packed = ipaddress.ip_address(address.host).packed
    words = [packed[at : at + 4][::-1] for at in range(0, len(packed), 4)]
    return f"{b''.join(words).hex().upper()}:{address.port:04X}"
