"""The process on the other side of a connection, found by the kernel's word and not by its own.

Linux only: pidfd_open(2), /proc.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import select
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import DeniedError
from bannock.identity.reader import Rights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.net.address import Address
    from bannock.net.peer import Peer

__all__ = ["PeerProcess"]

_ROOT: Final = 0
#: Of the fields of /proc/PID/stat after the name: when the process started, in ticks since the machine did.
_START_FIELD: Final = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerProcess:
    """A process that is held by a pidfd, so that no other one takes its place; a context manager.

    Attributes:
        number: its process id, in our namespace.
        handle: the pidfd, which belongs to this object.
    """

    number: int
    handle: int

    @classmethod
    def of_unix(cls, peer: Peer) -> Self:
        """Take the process that connected to a unix socket.

        Raises:
            DeniedError: it has ended, or is not visible here.
        """
        if not peer.process or peer.process_handle is None:
            raise DeniedError(
                "the process that connected has ended, or is not visible to this service",
                hint="run the LAS in the host's process namespace",
            )
        return cls(number=peer.process, handle=os.dup(peer.process_handle))

    @classmethod
    def of_tcp(cls, peer: Address, ours: Address) -> Self:
        """Find the process that holds the other end of a TCP connection on this host.

        Raises:
            DeniedError: it is not on this host, or several processes share it, or it cannot be seen.
        """
        inode = _inode(peer, ours)
        number = _holder(inode, peer)
        try:
            found = cls(number=number, handle=os.pidfd_open(number))
        except OSError as error:
            raise DeniedError(f"process {number} cannot be measured: {_reason(error)}") from error
        try:
            # Held now; if it still has the connection, it is the one that was found.
            if not _holds(number, inode):
                raise DeniedError(f"process {number} gave its connection away while it was looked for")
            found.require_alive()
        except BaseException:
            found.close()
            raise
        return found

    @contextmanager
    def root(self) -> Iterator[Path]:
        """Give the root directory of the process, as a path that stays good whatever the process does.

        Raises:
            DeniedError: this service may not look into the process, or it ended before the context was left.
        """
        try:
            root = os.open(f"/proc/{self.number}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self.require_alive()
            raise DeniedError(
                f"process {self.number} cannot be measured: {_reason(error)}",
                hint="run the LAS as root, or as the user who runs the enclave",
            ) from error
        try:
            # While the process that is held lives, its number is nobody else's: so this is its root.
            self.require_alive()
            yield Path(f"/proc/self/fd/{root}")
            self.require_alive()
        finally:
            os.close(root)

    def rights(self) -> Rights | None:
        """Return whose rights over files this service has to heed when it reads for the process; None for its own.

        A service with all rights would else tell everybody which files there are, and digests of their content.

        Raises:
            DeniedError: the process has ended.
        """
        try:
            status = Path(f"/proc/{self.number}/status").read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise DeniedError(f"process {self.number} cannot be measured: {_reason(error)}") from error
        self.require_alive()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        # Of the four (real, effective, saved, file system) the last one counts for files (proc_pid_status(5)).
        user, group = (int(fields[name].split()[-1]) for name in ("Uid", "Gid"))
        if user in (_ROOT, os.geteuid()):
            return None
        return Rights(user, frozenset({group, *map(int, fields["Groups"].split())}))

    def thread_names(self) -> frozenset[str]:
        """Return the names that the threads of the process go by.

        Raises:
            DeniedError: the process has ended.
        """
        names = set()
        try:
            for thread in Path(f"/proc/{self.number}/task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):
                    names.add((thread / "comm").read_text(encoding="utf-8", errors="replace").removesuffix("\n"))
        except OSError as error:
            raise DeniedError(f"process {self.number} cannot be measured: {_reason(error)}") from error
        self.require_alive()
        return frozenset(names)

    def instance(self) -> bytes:
        """Return 32 bytes that name this start of this process, and tell nobody elsewhere anything about it.

        The same as long as it lives, whichever LAS of this machine is asked; never those of another process.

        Raises:
            DeniedError: the process has ended.
        """
        try:
            # The name in parentheses may hold anything; the start is the 20th field after it (proc_pid_stat(5)).
            status = Path(f"/proc/{self.number}/stat").read_bytes()
            started = status.rpartition(b")")[2].split()[_START_FIELD]
            boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
            namespace = Path("/proc/self/ns/pid").stat().st_ino
        except OSError as error:
            raise DeniedError(f"process {self.number} cannot be measured: {_reason(error)}") from error
        self.require_alive()
        # Nobody but who is on this machine knows its boot id.
        return hmac.digest(boot, b"bannock instance 1\0%d %d %b" % (namespace, self.number, started), "sha256")

    def require_alive(self) -> None:
        """Raise DeniedError if the process has ended."""
        # A pidfd becomes readable when its process ends (pidfd_open(2)). poll(2) takes descriptors beyond 1023, too.
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        if poll.poll(0):
            raise DeniedError(f"process {self.number} has ended, so it cannot be measured")

    def close(self) -> None:
        """Let go of the process."""
        os.close(self.handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _inode(peer: Address, ours: Address) -> str:
    """Return the inode of the peer's socket, from the tables of proc_net(5): of our network namespace, or of another.

    Containers have networks of their own on the same host. Somebody may make up a connection there that looks like the
    peer's, so a connection that is found twice belongs to nobody.
    """
    pairs = [
        [_encoded(address, peer.port), _encoded(own, ours.port)]
        for address, own in zip(_spellings(peer.host), _spellings(ours.host), strict=False)
    ]
    found = _listed(Path("/proc/self/net"), pairs)
    if not found:
        for tables in _other_networks():
            found |= _listed(tables, pairs)
    if len(found) == 1:
        return found.pop()
    if found:
        raise DeniedError(f"the connection from {peer} is found in {len(found)} networks of this host, expected one")
    raise DeniedError(
        f"the connection from {peer} does not come from a process of this host",
        hint="reach the LAS over its unix socket, or run it as root in the host's network and process namespaces",
    )


def _listed(tables: Path, pairs: list[list[str]]) -> set[str]:
    """Return the inodes of the sockets that have one of these pairs of addresses."""
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (tables / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[1:3] in pairs and fields[9] != "0":
                    found.add(fields[9])
    return found


def _other_networks() -> Iterator[Path]:
    """Give the tables of each network namespace that has a process, but for our own."""
    known = set()
    with suppress(OSError):
        known.add(Path("/proc/self/ns/net").readlink())
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            # Of a process that has ended meanwhile, or that we may not look into, there is none.
            with suppress(OSError):
                namespace = (process / "ns" / "net").readlink()
                if namespace not in known:
                    known.add(namespace)
                    yield process / "net"


def _spellings(host: str) -> list[bytes]:
    """Return an address as bytes; one that maps IPv4 into IPv6 in both of its forms."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return [address.packed] if mapped is None else [address.packed, mapped.packed]


def _encoded(address: bytes, port: int) -> str:
    """Write an address as the kernel does: 32-bit words in the order of the host, in hexadecimal."""
    words = (int.from_bytes(address[at : at + 4], sys.byteorder) for at in range(0, len(address), 4))
    return f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"


def _holder(inode: str, peer: Address) -> int:
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    holders = [number for number in numbers if _holds(number, inode)]
    if len(holders) != 1:
        raise DeniedError(
            f"the connection from {peer} belongs to {len(holders)} processes that this service can see, expected one",
            hint="reach the LAS over its unix socket, or run it as root in the host's process namespace",
        )
    return holders[0]


def _holds(process: int, inode: str) -> bool:
    # Of all descriptors of all processes: with paths as objects it takes three times as long.
    wanted, directory = f"socket:[{inode}]", f"/proc/{process}/fd"
    try:
        descriptors = os.listdir(directory)  # noqa: PTH208
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(f"{directory}/{descriptor}") == wanted:  # noqa: PTH115
                return True
        except OSError:
            continue
    return False


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
