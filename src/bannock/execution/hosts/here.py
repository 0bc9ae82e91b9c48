"""This machine as a host: its own container engine."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault
from bannock.execution.hosts.machine import Finished
from bannock.images.engine_socket import EngineSocket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.net.address import Address

__all__ = ["LOCAL", "LocalMachine"]

#: The alias that this machine goes by.
LOCAL: Final = "local"


class LocalMachine:
    """This machine.

    Args:
        environment: where ``DOCKER_HOST`` may name the engine's socket.
        las: where containers find the LAS.
    """

    name: Final = LOCAL

    def __init__(self, environment: Mapping[str, str], las: str) -> None:
        self.engine = EngineSocket.of(environment)
        self.las = self.las_from_here = las

    def reach(self, address: Address, at: Address | None = None) -> Address:
        """As :meth:`Machine.reach`: a service of this machine is where it is."""
        if at is not None and at != address:
            raise EnvironmentFault(f"a service of this machine is at {address}, and was at {at} before")
        return address

    def run(self, *command: str, stdin: bytes = b"", seconds: float = 60.0) -> Finished:
        """As :meth:`Machine.run`."""
        try:
            done = subprocess.run(list(command), input=stdin, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFault(f"{command[0]} takes longer than {seconds:.0f} s") from error
        except OSError as error:
            raise EnvironmentFault(f"cannot start {command[0]}: {error.strerror}") from error
        return Finished(code=done.returncode, out=done.stdout, err=done.stderr.decode(errors="replace"))

    def stream(self, *command: str) -> subprocess.Popen[bytes]:
        """As :meth:`Machine.stream`."""
        try:
            return subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentFault(f"cannot start {command[0]}: {error.strerror}") from error

    def is_alive(self) -> bool:
        """As :meth:`Machine.is_alive`."""
        return True

    def repair(self, seconds: float = 60.0) -> None:
        """As :meth:`Machine.repair`: there is nothing to repair."""
