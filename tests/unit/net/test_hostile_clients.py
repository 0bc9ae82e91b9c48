"""Clients that stall, babble or vanish: none of them delays or harms another."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest

from bannock.net import _http
from bannock.net.client import connect
from bannock.net.stream import TlsStream
from bannock.net.tls import Identity, client_context
from tests.unit.net.echo import Echo, server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def echo() -> Echo:
    """The application."""
    return Echo()


@pytest.fixture
def port(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where a service with short patience listens."""
    monkeypatch.setattr(_http, "_HEAD_SECONDS", 0.5)
    monkeypatch.setattr(_http, "_STALL_SECONDS", 0.5)
    with server(echo, Identity.generate("service")) as running:
        yield running.port


def _raw(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


@contextlib.contextmanager
def _tls(port: int) -> Iterator[TlsStream]:
    stream = TlsStream(_raw(port), client_context(None), server_name="localhost", timeout=10)
    try:
        yield stream
    finally:
        stream.close()


def _prompt(port: int) -> float:
    started = time.monotonic()
    with connect("127.0.0.1", port, None, expected_peer=None) as opened:
        opened.request("GET", "/")
    return time.monotonic() - started


def _until_closed(stream: TlsStream) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := _some(stream):
            received += piece
    return received


def _some(stream: TlsStream) -> bytes:
    buffer = bytearray(4096)
    return bytes(buffer[: stream.receive_into(buffer)])


def _disconnects(echo: Echo) -> int:
    for _ in range(100):
        if echo.disconnects:
            break
        time.sleep(0.02)
    return echo.disconnects


def test_half_open_clients_delay_nobody(port: int) -> None:
    """Two hundred connections in the midst of their handshake do not hold up a client."""
    with contextlib.ExitStack() as stack:
        for number in range(200):
            raw = stack.enter_context(_raw(port))
            raw.sendall(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
        assert _prompt(port) < 2


def test_a_handshake_has_its_time(echo: Echo) -> None:
    """A client that does not finish its handshake is let go."""
    with server(echo, Identity.generate("service"), 0.5) as running, _raw(running.port) as raw:
        raw.sendall(b"\x16")
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(1) == b""
        assert 0.3 < time.monotonic() - started < 3


def test_plain_text_is_refused(port: int) -> None:
    """Bytes that are no TLS end the connection, and nothing of them reaches the application."""
    with _raw(port) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
        with contextlib.suppress(ConnectionResetError):
            while raw.recv(4096):
                pass
    assert _prompt(port) < 2


def test_a_slow_request_is_let_go(port: int) -> None:
    """A head that comes byte by byte has to be whole in time, and delays nobody meanwhile."""
    with _tls(port) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nx: ")

        def trickle() -> None:
            for _ in range(100):
                stream.sendall(b"y")
                assert _prompt(port) < 2
                time.sleep(0.02)

        with pytest.raises(ConnectionError):
            trickle()


def test_a_stalled_body_is_let_go(port: int, echo: Echo) -> None:
    """A body that stops coming ends the connection, and the application is told."""
    with _tls(port) as stream:
        stream.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf")
        assert _until_closed(stream) == b""
    assert _disconnects(echo) == 1


def test_an_endless_head_is_refused(port: int) -> None:
    """Headers without an end are refused, not gathered."""
    with _tls(port) as stream, pytest.raises(ConnectionError):
        stream.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * (64 << 20))
    assert _prompt(port) < 2


def test_garbage_inside_tls_is_answered(port: int) -> None:
    """What is no HTTP is told so."""
    with _tls(port) as stream:
        stream.sendall(b"\0\1\2\3 nonsense\r\n\r\n")
        assert _until_closed(stream).startswith(b"HTTP/1.1 400")


def test_a_client_that_vanishes_in_mid_body_harms_nobody(port: int, echo: Echo) -> None:
    """A cut connection is told to the application as a disconnect."""
    raw = _raw(port)
    stream = TlsStream(raw, client_context(None), server_name="localhost", timeout=10)
    stream.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nhalf")
    raw.shutdown(socket.SHUT_RDWR)
    stream.close()
    assert _disconnects(echo) == 1
    assert _prompt(port) < 2


def test_a_client_that_does_not_read_holds_up_itself_alone(port: int) -> None:
    """An answer that is not fetched waits, and others are served."""
    with _tls(port) as stream:
        stream.sendall(b"GET /?size=200000000 HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(0.2)
        assert _prompt(port) < 2


def test_a_stop_closes_what_is_open(echo: Echo) -> None:
    """Half-open, idle and stalled connections do not keep a service from stopping; what is answered is finished."""
    running = server(echo, Identity.generate("service"))
    running.start()
    idle = connect("127.0.0.1", running.port, None, expected_peer=None)
    with idle, _raw(running.port) as half_open, _tls(running.port) as stalled, _tls(running.port) as slow:
        half_open.sendall(b"\x16\x03")
        stalled.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        slow.sendall(b"GET /?sleep=0.5 HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(0.1)
        started = time.monotonic()
        running.stop()
        assert time.monotonic() - started < 8
        assert b"200 OK" in _until_closed(slow)
    running.stop()
