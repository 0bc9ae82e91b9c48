"""The service's side: ASGI applications behind listeners with TLS 1.3 (or without), each request with its peer.

``scope["extensions"]["bannock"]`` is the :class:`~bannock.net.peer.Peer` of a request. An application runs on the
thread of the event loop and gets no lifespan events.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from uvicorn.server import ServerState

from bannock.errors import EnvironmentFault
from bannock.net._http import HttpProtocol, http_config
from bannock.net.peer import Peer
from bannock.net.tls import key_hash_of, server_context
from bannock.net.transport import HANDSHAKE_SECONDS, TlsProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from cryptography.x509 import Certificate
    from OpenSSL import SSL

    from bannock.net._http import App
    from bannock.net.address import Address
    from bannock.net.tls import Identity

__all__ = ["Endpoint", "ThreadedServer", "bind_tcp", "bind_unix", "run", "serve"]

_BACKLOG: Final = 1024
#: How long requests that are being answered may go on when a service stops.
_GRACE_SECONDS: Final = 5.0
_START_SECONDS: Final = 30.0
#: Long enough for the event loop to tell protocols that their transport is there, or closed.
_TURN_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An application and where it listens; without an identity it speaks plain HTTP.

    The identity may be asked for at each connection; its key stays the same, its certificate may change.
    """

    app: App
    sock: socket.socket
    identity: Identity | Callable[[], Identity] | None = None
    handshake_seconds: float = HANDSHAKE_SECONDS


def bind_tcp(address: Address, *, shared: bool = False) -> socket.socket:
    """Make a socket that is bound to a TCP address.

    Args:
        address: where.
        shared: whether other processes of this user may do the same; the kernel spreads connections over those that
            listen.

    Raises:
        EnvironmentFault: the address is in use, or not of this machine.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.bind(place)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise EnvironmentFault(f"cannot listen on {address}: {error.strerror}") from error
    return sock


def bind_unix(path: Path, *, mode: int = 0o600) -> socket.socket:
    """Make a unix socket at a path, in place of one that nobody listens on any more.

    Raises:
        EnvironmentFault: somebody listens there, or the path cannot be had.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            with contextlib.suppress(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))
                raise EnvironmentFault(f"cannot listen on {path}: somebody else does")
            path.unlink()
        sock.bind(str(path))
        path.chmod(mode)
    except OSError as error:
        sock.close()
        raise EnvironmentFault(f"cannot listen on {path}: {error.strerror or error}") from error
    except BaseException:
        sock.close()
        raise
    return sock


class _Shown:
    """The TLS context of a listener, made anew when its identity is another one."""

    def __init__(self, identity: Identity | Callable[[], Identity]) -> None:
        self._source = identity if callable(identity) else lambda: identity
        self._identity = self._source()
        self._context = server_context(self._identity)

    def context(self) -> SSL.Context:
        now = self._source()
        if now is not self._identity:
            self._identity, self._context = now, server_context(now)
        return self._context


@contextlib.asynccontextmanager
async def serve(
    app: App,
    sock: socket.socket,
    *,
    identity: Identity | Callable[[], Identity] | None = None,
    handshake_seconds: float = HANDSHAKE_SECONDS,
) -> AsyncIterator[None]:
    """Answer requests on a bound socket, which belongs to the listener, until the context is left.

    Requests that are being answered then have a few seconds to end; every connection is closed.
    """
    config = http_config(app)
    state = ServerState()
    opened: set[TlsProtocol] = set()
    shown = _Shown(identity) if identity is not None else None

    def http_protocol(certificate: Certificate | None = None, exporter: bytes | None = None) -> HttpProtocol:
        key_hash = None if certificate is None else key_hash_of(certificate)
        return HttpProtocol(config, state, Peer(key_hash=key_hash, certificate=certificate, exporter=exporter))

    def protocol() -> asyncio.Protocol:
        if shown is None:
            return http_protocol()
        return TlsProtocol(shown.context(), http_protocol, opened, handshake_seconds)

    loop = asyncio.get_running_loop()
    if sock.family == socket.AF_UNIX:
        server: asyncio.Server = await loop.create_unix_server(protocol, sock=sock, backlog=_BACKLOG)
    else:
        server = await loop.create_server(protocol, sock=sock, backlog=_BACKLOG)
    try:
        yield
    finally:
        # Closing the server while it accepts loses the connection without closing it (CPython issue 109564).
        loop.remove_reader(sock.fileno())
        await asyncio.sleep(_TURN_SECONDS)
        server.close()
        await _let_go(state, opened)


async def _let_go(state: ServerState, opened: set[TlsProtocol]) -> None:
    for tls in [tls for tls in opened if not tls.established]:
        tls.abort()
    for connection in list(state.connections):
        connection.shutdown()
    if state.tasks:
        _, late = await asyncio.wait(state.tasks, timeout=_GRACE_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
    deadline = asyncio.get_running_loop().time() + _GRACE_SECONDS
    # What was answered is still being sent to slow clients.
    while state.connections and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - uvicorn has no event
        await asyncio.sleep(_TURN_SECONDS)
    for http in list(state.connections):
        http.transport.abort()
    await asyncio.sleep(_TURN_SECONDS)


def _serve_one(endpoint: Endpoint) -> contextlib.AbstractAsyncContextManager[None]:
    return serve(endpoint.app, endpoint.sock, identity=endpoint.identity, handshake_seconds=endpoint.handshake_seconds)


async def _serve_all(endpoints: tuple[Endpoint, ...], ready: Callable[[], None], stop: asyncio.Event) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for endpoint in endpoints:
            await stack.enter_async_context(_serve_one(endpoint))
        ready()
        await stop.wait()


def run(*endpoints: Endpoint, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGINT or SIGTERM; on the main thread of a program.

    Args:
        endpoints: what to serve.
        ready: called once all of them listen.
    """

    async def until_signal() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await _serve_all(endpoints, ready, stop)

    asyncio.run(until_signal())


class ThreadedServer:
    """Endpoints served by a thread of their own, for a program that does something else; a context manager."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self._endpoints = endpoints
        self._ports = tuple(
            0 if endpoint.sock.family == socket.AF_UNIX else int(endpoint.sock.getsockname()[1])
            for endpoint in endpoints
        )
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="bannock-server", daemon=True)

    @property
    def port(self) -> int:
        """The TCP port of the first endpoint."""
        return self._ports[0]

    @property
    def ports(self) -> tuple[int, ...]:
        """The TCP port of each endpoint, 0 for a unix socket."""
        return self._ports

    def start(self) -> None:
        """Return once all endpoints listen.

        Raises:
            EnvironmentFault: they cannot.
        """
        self._thread.start()
        if not self._ready.wait(_START_SECONDS) or self._failure is not None:
            raise EnvironmentFault("the service did not start") from self._failure

    def stop(self) -> None:
        """Close every connection and return when all is closed; a second time it does nothing."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(_serve_all(self._endpoints, self._ready.set, self._stop))
            except BaseException as error:  # noqa: BLE001 - told by start() on the thread that asked for it
                self._failure = error
                self._ready.set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
