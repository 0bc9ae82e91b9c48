"""A blocking TLS stream over a socket, with as much of the socket interface as :mod:`http.client` uses.

One thread at a time. Time limits are the kernel's (``SO_RCVTIMEO``), because OpenSSL reads the socket by itself: each
wait for the peer is limited, not the sum of them.
"""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import struct
import time
from typing import TYPE_CHECKING, Final, TypeVar

from OpenSSL import SSL

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

__all__ = ["TlsStream"]

_Result = TypeVar("_Result")

#: Many TLS records of 16 KiB (RFC 8446, section 5.1): fewer calls into OpenSSL, and a bound on each.
_SEND_BYTES: Final = 1 << 20
_READ_BUFFER_BYTES: Final = 1 << 16


class TlsStream:
    """The client's side of an established TLS connection; closed when it and all its readers are."""

    def __init__(self, raw: socket.socket, context: SSL.Context, *, server_name: str, timeout: float) -> None:
        """Shake hands over a connected socket, which belongs to the stream from now on.

        Raises:
            OSError: the handshake fails or takes too long.
        """
        self._raw = raw
        self._open_files = 1
        raw.settimeout(None)
        self.set_timeout(timeout)
        self.tls = SSL.Connection(context, raw)
        self.tls.set_connect_state()
        if any(character.isalpha() for character in server_name) and ":" not in server_name:
            self.tls.set_tlsext_host_name(server_name.encode("ascii"))
        self._patiently(self.tls.do_handshake)

    def set_timeout(self, timeout: float) -> None:
        """Say how many seconds each wait for the peer may take from now on."""
        self._timeout = timeout
        interval = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            piece = view[:_SEND_BYTES]
            view = view[self._patiently(functools.partial(self.tls.send, piece)) :]

    def receive_into(self, buffer: WriteableBuffer) -> int:
        """Receive something; 0 only where the peer has said that it is done, so a cut connection is no end."""
        try:
            return self._patiently(lambda: self.tls.recv_into(memoryview(buffer).cast("B")))
        except SSL.ZeroReturnError:
            return 0

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Open a reader; the connection stays open until the reader is closed too."""
        self._open_files += 1
        return io.BufferedReader(_Reader(self), _READ_BUFFER_BYTES)

    def close(self) -> None:
        """Say goodbye and close, once nobody reads any more."""
        self._open_files -= 1
        if self._open_files == 0:
            with contextlib.suppress(SSL.Error):  # where the peer has gone, there is nobody to say goodbye to
                self.tls.shutdown()
            self._raw.close()

    def _patiently(self, step: Callable[[], _Result]) -> _Result:
        """Do one step of OpenSSL, again where a signal cut it short, and tell its errors as the socket's."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return step()
            except (SSL.WantReadError, SSL.WantWriteError):
                if time.monotonic() >= deadline:
                    raise TimeoutError("timed out") from None
            except SSL.ZeroReturnError:
                raise
            except SSL.SysCallError as error:
                number, text = error.args
                raise ConnectionResetError(max(number, 0), "the peer cut the connection", str(text)) from None
            except SSL.Error as error:
                reasons = ", ".join(entry[-1] for entry in error.args[0]) if error.args else ""
                raise ConnectionError(f"TLS failed: {reasons or 'no reason given'}") from None


class _Reader(io.RawIOBase):
    def __init__(self, stream: TlsStream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._stream.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._stream.close()
