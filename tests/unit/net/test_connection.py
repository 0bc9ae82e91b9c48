"""Client and server over real TLS on loopback: who is who, what is bound to a connection, and big bodies."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from OpenSSL import SSL

from bannock.errors import ConflictError, EnvironmentFault, PeerError
from bannock.net.client import Connection, connect
from bannock.net.server import Endpoint, ThreadedServer, bind_unix
from bannock.net.tls import Identity, client_context
from tests.unit.net.echo import Echo, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BIG = 50 << 20


@pytest.fixture(scope="module")
def identity() -> Identity:
    """Who the service is."""
    return Identity.generate("service")


@pytest.fixture(scope="module")
def client() -> Identity:
    """Who the client is."""
    return Identity.generate("client")


@pytest.fixture
def echo() -> Echo:
    """The application."""
    return Echo()


@pytest.fixture
def port(echo: Echo, identity: Identity) -> Iterator[int]:
    """Where the service listens."""
    with server(echo, identity) as running:
        yield running.port


@pytest.fixture
def connection(port: int, identity: Identity, client: Identity) -> Iterator[Connection]:
    """An open connection."""
    with connect("127.0.0.1", port, client, expected_peer=identity.key_hash) as opened:
        yield opened


def test_each_side_knows_the_key_of_the_other(connection: Connection, identity: Identity, client: Identity) -> None:
    """A self-signed client certificate is accepted, and its key is who the client is."""
    assert connection.peer_key_hash == identity.key_hash
    assert connection.request_json("GET", "/")["key_hash"] == str(client.key_hash)


def test_both_sides_export_the_same_bytes(connection: Connection, port: int, client: Identity) -> None:
    """The exporter value is that of the peer, and another one on every connection."""
    assert connection.request_json("GET", "/")["exporter"] == connection.exporter().hex()
    with connect("localhost", port, client, expected_peer=None) as other:
        assert other.exporter() != connection.exporter()


def test_a_client_without_a_certificate_is_nobody(port: int) -> None:
    """It is served, and its key hash is None."""
    with connect("127.0.0.1", port, None, expected_peer=None) as anonymous:
        assert anonymous.request_json("GET", "/")["key_hash"] is None


def test_one_connection_serves_many_requests(connection: Connection) -> None:
    """The connection is kept, with what the application keeps for it."""
    assert [connection.request_json("POST", "/", {})["requests"] for _ in range(5)] == [1, 2, 3, 4, 5]


def test_threads_share_a_connection(connection: Connection) -> None:
    """Requests of several threads take turns."""
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: connection.request_json("GET", "/")["requests"], range(40)))
    assert sorted(counts) == list(range(1, 41))


def test_big_bodies_pass_both_ways(connection: Connection) -> None:
    """Flow control holds for 50 MB in either direction."""
    assert connection.request_json("POST", "/")["received"] == 0
    assert b'"received": %d' % _BIG in connection.request("POST", "/", b"\x5a" * _BIG).body
    assert connection.request("GET", f"/?size={_BIG}").body == b"\xa5" * _BIG
    assert connection.request_json("GET", "/")["requests"] == 4


def test_many_clients_are_served_at_once(port: int, identity: Identity) -> None:
    """Fifty connections that each wait for their answer take about as long as one."""

    def ask(number: int) -> str:
        me = Identity.generate(f"client {number}")
        with connect("127.0.0.1", port, me, expected_peer=identity.key_hash) as opened:
            answer = opened.request_json("POST", "/?sleep=0.2", {"number": number})
            return "same" if answer["key_hash"] == str(me.key_hash) else "other"

    started = time.monotonic()
    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(ask, range(50))) == {"same"}
    assert time.monotonic() - started < 50 * 0.2 / 2


def test_another_peer_than_expected_is_refused(port: int, identity: Identity, client: Identity) -> None:
    """The message names the key that was found and the one that was expected."""
    with pytest.raises(PeerError) as caught:
        connect("127.0.0.1", port, None, expected_peer=client.key_hash)
    assert str(identity.key_hash) in caught.value.message
    assert str(client.key_hash) in caught.value.message


def test_nobody_there_is_a_fault_of_the_environment() -> None:
    """The message says who was looked for, where, and why it failed."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=f"cannot reach CAS at 127.0.0.1:{port}: connection refused"):
            connect("127.0.0.1", port, None, expected_peer=None)


def test_a_service_without_tls_is_refused(echo: Echo) -> None:
    """A server that answers in plain text is a peer that misbehaves."""
    with server(echo, None) as plain, pytest.raises(PeerError, match=r"cannot agree on TLS 1\.3"):
        connect("127.0.0.1", plain.port, None, expected_peer=None, timeout=5)


def test_a_silent_service_is_given_up(identity: Identity) -> None:
    """A service that accepts and says nothing costs no more than the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(EnvironmentFault, match="no answer in time"):
            connect("127.0.0.1", silent.getsockname()[1], None, expected_peer=identity.key_hash, timeout=0.3)
        assert time.monotonic() - started < 3


def test_a_service_that_ends_in_the_handshake_is_a_fault_of_the_environment(identity: Identity) -> None:
    """Who asks one that is just being stopped may ask again, as of one that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as ending:

        def end() -> None:
            peer, _ = ending.accept()
            peer.recv(1)
            peer.close()

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(end)
            with pytest.raises(EnvironmentFault, match="the peer cut the connection"):
                connect("127.0.0.1", ending.getsockname()[1], None, expected_peer=identity.key_hash, timeout=5)
            done.result(5)


def test_a_slow_answer_is_given_up(port: int) -> None:
    """An answer that does not come in time ends the connection."""
    with connect("127.0.0.1", port, None, expected_peer=None, timeout=0.3) as opened:
        with pytest.raises(EnvironmentFault, match="no answer in time"):
            opened.request("GET", "/?sleep=1.5")
        with pytest.raises(EnvironmentFault, match="is closed"):
            opened.request("GET", "/")


def test_a_lost_connection_is_not_renewed(echo: Echo, identity: Identity) -> None:
    """What was attested on a connection ends with it, so a client is told and nothing goes over another one."""
    with server(echo, identity) as running:
        opened = connect("127.0.0.1", running.port, None, expected_peer=None)
        opened.request("GET", "/")
    with pytest.raises(EnvironmentFault):
        opened.request("GET", "/")
    with pytest.raises(EnvironmentFault, match="is closed"):
        opened.request("GET", "/")
    opened.close()


def test_problems_are_raised(connection: Connection) -> None:
    """A status that tells of an error is raised as that error."""
    with pytest.raises(ConflictError, match="HTTP status 409"):
        connection.request_json("GET", "/?status=409")


def test_an_older_tls_is_refused(port: int) -> None:
    """A client that speaks TLS 1.2 at most gets no connection."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    with socket.create_connection(("127.0.0.1", port)) as raw:
        tls = SSL.Connection(context, raw)
        tls.set_connect_state()
        with pytest.raises(SSL.Error, match="alert protocol version"):
            tls.do_handshake()


def test_sessions_are_not_resumed(port: int, client: Identity) -> None:
    """A client that offers an old session has a full handshake again: both sides prove their keys."""
    states: list[bytes] = []
    context = client_context(client)
    context.set_info_callback(lambda connection, _where, _result: states.append(connection.get_state_string()))
    offered: SSL.Session | None = None
    full = []
    for _ in range(2):
        states.clear()
        with socket.create_connection(("127.0.0.1", port)) as raw:
            tls = SSL.Connection(context, raw)
            tls.set_connect_state()
            if offered is not None:
                tls.set_session(offered)
            tls.do_handshake()
            tls.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = b""
            while b"}" not in answer:
                answer += tls.recv(1 << 16)
            assert str(client.key_hash).encode() in answer
            offered = tls.get_session()
        full.append(any(b"read server certificate" in state for state in states))
    assert full == [True, True]


def test_a_unix_socket_tells_the_process(echo: Echo, tmp_path: Path) -> None:
    """On a unix socket the kernel says which process connected."""
    path = tmp_path / "service.socket"
    with ThreadedServer(Endpoint(app=echo, sock=bind_unix(path))), socket.socket(socket.AF_UNIX) as raw:
        assert path.stat().st_mode & 0o777 == 0o600
        raw.connect(str(path))
        raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while b"}" not in answer:
            answer += raw.recv(4096)
    assert b'"process": %d' % os.getpid() in answer


def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(echo: Echo, tmp_path: Path) -> None:
    """A socket file that nobody listens on is no obstacle; one that is in use is."""
    path = tmp_path / "service.socket"
    bind_unix(path).close()
    with ThreadedServer(Endpoint(app=echo, sock=bind_unix(path))), pytest.raises(EnvironmentFault, match="somebody"):
        bind_unix(path)
