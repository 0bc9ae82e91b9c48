"""A machine behind a connection of ssh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bannock.errors import EnvironmentFault
from bannock.evidence.las_client import LAS_PORT
from bannock.images.engine_socket import EngineSocket
from bannock.net.address import Address

if TYPE_CHECKING:
    import subprocess

    from bannock.execution.hosts.connection import SshConnection
    from bannock.execution.hosts.machine import Finished
    from bannock.execution.hosts.record import HostRecord

__all__ = ["RemoteMachine"]


class RemoteMachine:
    """A host that is connected.

    Args:
        record: what is kept of it.
        connection: to it, open for as long as this is used.
    """

    def __init__(self, record: HostRecord, connection: SshConnection) -> None:
        self.name = record.alias
        self.las = record.las
        self._record = record
        self._connection = connection

    @property
    def engine(self) -> EngineSocket:
        """As :meth:`Machine.engine`: the socket that the record names, or the first that there is and we may use."""
        place = self._record.engine or self._connection.welcome.engine
        if not place:
            closed = self._connection.welcome.closed_engines
            raise EnvironmentFault(
                f"host {self.name} has no container engine that {self._record.user} may use"
                + (f": {', '.join(closed)} is for others" if closed else ""),
                hint=f"bannock check-host {self.name} tells what is missing",
            )
        return EngineSocket(self._connection.tunnel(Path(place)))

    @property
    def las_from_here(self) -> str:
        """As :meth:`Machine.las_from_here`."""
        return f"unix:{self._connection.tunnel(Address.parse(self.las, default_port=LAS_PORT))}"

    def reach(self, address: Address, at: Address | None = None) -> Address:
        """As :meth:`Machine.reach`."""
        return self._connection.reach(address, at)

    def run(self, *command: str, stdin: bytes = b"", seconds: float = 60.0) -> Finished:
        """As :meth:`Machine.run`."""
        return self._connection.run(*command, stdin=stdin, seconds=seconds)

    def stream(self, *command: str) -> subprocess.Popen[bytes]:
        """As :meth:`Machine.stream`."""
        return self._connection.stream(*command)

    def is_alive(self) -> bool:
        """As :meth:`Machine.is_alive`."""
        return self._connection.is_alive()

    def repair(self, seconds: float = 60.0) -> None:
        """As :meth:`Machine.repair`."""
        self._connection.repair(seconds)
