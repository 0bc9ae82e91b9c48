"""What a machine is that runs containers: this one, or one behind a connection of ssh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import subprocess

    from bannock.images.engine_socket import EngineSocket
    from bannock.net.address import Address

__all__ = ["Finished", "Machine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a command ended, and what it printed."""

    code: int
    out: bytes
    err: str


class Machine(Protocol):
    """A host with a container engine, as long as it is open. For several threads.

    A connection that is lost shows as an EnvironmentFault of whatever was asked; :meth:`repair`, and go on.
    """

    @property
    def name(self) -> str:
        """Its alias."""
        ...

    @property
    def engine(self) -> EngineSocket:
        """The API of its container engine, at the same place over repairs.

        Raises:
            EnvironmentFault: it has none that we may use.
        """
        ...

    @property
    def las(self) -> str:
        """Where a container with the host's network finds the LAS."""
        ...

    @property
    def las_from_here(self) -> str:
        """Where this machine reaches the same LAS.

        Raises:
            EnvironmentFault: the connection is lost.
        """
        ...

    def reach(self, address: Address, at: Address | None = None) -> Address:
        """Return where the host reaches a TCP service of this machine; the same after a repair.

        Args:
            address: of the service.
            at: where the host has reached it before, if it has to be there again.

        Raises:
            EnvironmentFault: the connection is lost.
            PeerError: the host does not allow it, or not there.
        """
        ...

    def run(self, *command: str, stdin: bytes = b"", seconds: float = 60.0) -> Finished:
        """Run a program on the host; its exit code is part of the answer.

        Raises:
            EnvironmentFault: the connection is lost, or the program takes longer.
            PeerError: it prints more than is kept.
        """
        ...

    def stream(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program on the host whose input and output are pipes; the caller waits for it, or ends it."""
        ...

    def is_alive(self) -> bool:
        """Whether the host answers; asks it."""
        ...

    def repair(self, seconds: float = 60.0) -> None:
        """Connect again if the host does not answer.

        Raises:
            EnvironmentFault: it cannot be reached in this time.
            DeniedError, PeerError: it does not let us in any more, or is another one; at once.
        """
        ...
