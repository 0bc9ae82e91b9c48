"""TLS in front of an asyncio protocol: the protocol sees a transport that carries plain text.

OpenSSL works on memory here, so a peer that stalls in the middle of anything holds up nobody but itself. All of it
runs on the thread of its event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL

from bannock.errors import PeerError
from bannock.net.tls import exporter_of, peer_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cryptography.x509 import Certificate

    #: Makes the protocol of a connection from its peer's certificate and from its exporter value.
    ProtocolFactory = Callable[[Certificate | None, bytes], asyncio.Protocol]

__all__ = ["HANDSHAKE_SECONDS", "TlsProtocol"]

#: A client that has not finished its handshake by then is let go.
HANDSHAKE_SECONDS: Final = 10.0
#: A TLS record carries no more (RFC 8446, section 5.1).
_RECORD_BYTES: Final = 1 << 14
#: What is encrypted, or handed to the socket, at once.
_CHUNK_BYTES: Final = 1 << 18

_log = logging.getLogger(__name__)


class TlsProtocol(asyncio.Protocol):
    """The outer protocol of one connection: shakes hands, then hands plain text to the inner protocol."""

    def __init__(
        self, context: SSL.Context, factory: ProtocolFactory, opened: set[TlsProtocol], handshake_seconds: float
    ) -> None:
        self._tls = SSL.Connection(context, None)
        self._tls.set_accept_state()
        self._factory = factory
        self._opened = opened
        self._handshake_seconds = handshake_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._raw: asyncio.Transport
        self._inner: asyncio.Protocol | None = None
        self._shim: _PlainTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock of the handshake; the client speaks first."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio gives stream protocols nothing else
        self._raw = transport
        self._opened.add(self)
        self._timer = asyncio.get_running_loop().call_later(self._handshake_seconds, self._out_of_time)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the inner protocol, if there is one yet."""
        self._stop_timer()
        self._opened.discard(self)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    @property
    def established(self) -> bool:
        """Whether the handshake is done."""
        return self._shim is not None

    def abort(self) -> None:
        """Drop the connection, in whatever state it is."""
        self._raw.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the ciphertext to OpenSSL and pass on what comes of it."""
        self._tls.bio_write(data)
        if self._shim is None:
            self._shake_hands()
        if self._shim is not None:
            self._shim.pump()

    def pause_writing(self) -> None:
        """Pass the back-pressure of the socket on."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass the end of it on."""
        if self._inner is not None:
            self._inner.resume_writing()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            _flush(self._tls, self._raw)
            return
        except SSL.Error as error:
            _log.debug("handshake refused: %s", error)
            _flush(self._tls, self._raw)
            self._raw.close()
            return
        _flush(self._tls, self._raw)
        self._stop_timer()
        try:
            self._inner = self._factory(peer_certificate(self._tls), exporter_of(self._tls))
        except PeerError as error:
            _log.info("connection refused: %s", error)
            self._raw.close()
            return
        self._shim = _PlainTransport(self._tls, self._raw, self._inner)
        self._inner.connection_made(self._shim)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _out_of_time(self) -> None:
        _log.debug("handshake abandoned: it was not finished in %s s", self._handshake_seconds)
        self._raw.abort()


class _PlainTransport(asyncio.Transport):
    """What the inner protocol sees: writes are encrypted, reads are decrypted, back-pressure is the socket's."""

    def __init__(self, tls: SSL.Connection, raw: asyncio.Transport, inner: asyncio.Protocol) -> None:
        super().__init__()
        self._tls = tls
        self._raw = raw
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._paused = False
        self._flush_due = False

    def pump(self) -> None:
        """Decrypt and pass on what has come, as long as the protocol wants to read."""
        while not self._paused and not self._closing:
            try:
                data = self._tls.recv(_RECORD_BYTES)
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                self.close()
                return
            except SSL.Error as error:
                _log.debug("connection broken: %s", error)
                self.abort()
                return
            self._inner.data_received(data)
        _flush(self._tls, self._raw)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing or self._raw.is_closing():
            return
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK_BYTES):
            if start:
                _flush(self._tls, self._raw)
            self._tls.sendall(view[start : start + _CHUNK_BYTES])
        if len(view) > _RECORD_BYTES:
            _flush(self._tls, self._raw)
        elif not self._flush_due:
            # The head and the body of an answer come one right after the other, and one packet carries both.
            self._flush_due = True
            self._loop.call_soon(self._flush_soon)

    def _flush_soon(self) -> None:
        self._flush_due = False
        if not self._raw.is_closing():
            _flush(self._tls, self._raw)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(SSL.Error):
            self._tls.shutdown()
        _flush(self._tls, self._raw)
        self._raw.close()

    def abort(self) -> None:
        self._closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._closing or self._raw.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if not self._raw.is_closing():
            self._raw.resume_reading()
            # What OpenSSL holds already raises no event of the socket. Not at once: the protocol may be in a callback.
            self._loop.call_soon(self.pump)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        # Whoever asks only wants to know whether there is TLS; the context is not the standard library's.
        return self._tls if name == "sslcontext" else self._raw.get_extra_info(name, default)


def _flush(tls: SSL.Connection, raw: asyncio.Transport) -> None:
    while True:
        try:
            raw.write(tls.bio_read(_CHUNK_BYTES))
        except SSL.WantReadError:
            return
