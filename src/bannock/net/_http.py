"""HTTP/1.1 by uvicorn, with the peer in each scope and a bound on what a silent or endless client can hold.

uvicorn itself waits for ever for the rest of a request; what is added here is a clock that runs while the client
owes us bytes, and a count of the bytes that led to nothing.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bannock.net.peer import EXTENSION, IDLE_SECONDS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import TypeAlias

    from uvicorn.server import ServerState

    from bannock.net.peer import Peer

    _Message: TypeAlias = MutableMapping[str, Any]
    #: An ASGI application.
    App: TypeAlias = Callable[
        [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]
    ]

__all__ = ["HttpProtocol", "http_config"]

#: A request line with its headers has to come within this time, once it has begun …
_HEAD_SECONDS: Final = 20.0
#: … and each next piece of a body within this.
_STALL_SECONDS: Final = 60.0
#: Bytes without a finished head, or after the body, before a client is refused; one read of the socket more
#: may come.
_HEAD_BYTES_MAX: Final = 64 << 10

_PEER_CREDENTIALS: Final = struct.Struct("3i")
#: SO_PEERPIDFD, since Linux 6.5 (include/uapi/asm-generic/socket.h); not in Python's socket module yet.
_PEER_HANDLE: Final = 77


def http_config(app: App) -> Config:
    """Settle all of uvicorn's settings that matter: no log of its own, no trust in headers of proxies."""
    config = Config(
        app,
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    return config


class HttpProtocol(HttpToolsProtocol):
    """The protocol of one connection."""

    def __init__(self, config: Config, server_state: ServerState, peer: Peer) -> None:
        super().__init__(config, server_state, {})
        self.access_log = False
        self._peer = peer
        self._clock: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._allowed_seconds = IDLE_SECONDS
        self._fruitless_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it
        """Learn who is there, and wait for a first request."""
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family == socket.AF_UNIX:
            credentials = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
            self._peer.process = _PEER_CREDENTIALS.unpack(credentials)[0]
            self._peer.process_handle = _handle(raw, self._peer.process)
        super().connection_made(transport)
        self._expect_within(IDLE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and let go of the peer."""
        self._expect_nothing()
        self._stop_clock()
        if self._peer.process_handle is not None:
            os.close(self._peer.process_handle)
            self._peer.process_handle = None
        super().connection_lost(exc)
        self._peer.over = True
        if self._peer.ended is not None:
            self._peer.ended()

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless too much has come to nothing."""
        if self._fruitless_bytes > _HEAD_BYTES_MAX:
            self.send_400_response("The head of the request is too long.")
            return
        self._fruitless_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Put the peer where the application looks for it."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self._peer}  # type: ignore[dict-item]  # any object is allowed by ASGI
        self._fruitless_bytes = 0
        self._expect_within(_HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        """Wait for the body."""
        super().on_headers_complete()
        self._fruitless_bytes = 0
        self._expect_within(_STALL_SECONDS)

    def on_body(self, body: bytes) -> None:
        """Wait for more of it."""
        super().on_body(body)
        self._fruitless_bytes = 0
        self._expect_within(_STALL_SECONDS)

    def on_message_complete(self) -> None:
        """Wait for nothing: it is our turn."""
        super().on_message_complete()
        self._fruitless_bytes = 0
        self._expect_nothing()

    def on_response_complete(self) -> None:
        """Let the connection rest as long as the application allows."""
        self.timeout_keep_alive = self._peer.idle_seconds  # type: ignore[assignment]  # it goes to call_later alone
        super().on_response_complete()

    def _expect_within(self, seconds: float) -> None:
        """Set the time by which something has to have come.

        The clock is left running where it ends before that time, and then looks again: setting one anew at each step
        of each request costs more than the rest of the request.
        """
        self._allowed_seconds = seconds
        self._deadline = self.loop.time() + seconds
        if self._clock is None or self._clock.when() > self._deadline:
            self._set_clock(self._deadline)

    def _expect_nothing(self) -> None:
        self._deadline = None

    def _set_clock(self, when: float) -> None:
        self._stop_clock()
        self._clock = self.loop.call_at(when, self._look)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _look(self) -> None:
        self._clock = None
        if self._deadline is None:
            return
        if self.loop.time() < self._deadline:
            self._set_clock(self._deadline)
        elif self.flow.read_paused:  # it is we who do not read
            self._expect_within(self._allowed_seconds)
        else:
            self.transport.abort()


def _handle(raw: socket.socket, process: int) -> int | None:
    """Return a pidfd of the process that connected; None if it has ended."""
    try:
        return raw.getsockopt(socket.SOL_SOCKET, _PEER_HANDLE)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            return None
    try:
        # Older kernels: the number may have gone to another process since it connected, a moment ago.
        return os.pidfd_open(process)
    except OSError:
        return None
