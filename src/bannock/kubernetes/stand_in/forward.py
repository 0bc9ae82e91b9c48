"""A port of this machine that leads to one of a pod. One thread for each way of each connection."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["forward_port"]

_BLOCK: Final = 1 << 16
_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.5


def forward_port(
    here: tuple[str, int], there: tuple[str, int], ended: threading.Event, ready: Callable[[int], None]
) -> None:
    """Hand connections on until it is enough.

    Args:
        here: where to listen; port 0: any.
        there: where to.
        ended: is set when it is enough.
        ready: is told the port.

    Raises:
        EnvironmentFault: the port is taken.
    """
    try:
        listener = socket.create_server(here)
    except OSError as error:
        raise EnvironmentFault(f"cannot listen at {here[0]}:{here[1]}: {error.strerror}") from error
    with listener:
        listener.settimeout(_POLL_SECONDS)
        ready(listener.getsockname()[1])
        while not ended.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=_connect, args=(client, there, ended), daemon=True).start()


def _connect(client: socket.socket, there: tuple[str, int], ended: threading.Event) -> None:
    with client, suppress(OSError), _reached(there, ended) as server:
        for each in (client, server):
            each.settimeout(None)
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _reached(there: tuple[str, int], ended: threading.Event) -> socket.socket:
    """Connect to a pod, which may be starting just now."""
    end = time.monotonic() + _SECONDS
    while True:
        try:
            return socket.create_connection(there, timeout=_SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > end or ended.wait(_POLL_SECONDS):
                raise


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_BLOCK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
