"""A log that is sent to a server: what arrives there, and what happens when the server does not play along."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig
from bannock.cas.audit.config import AuditLogConfig, OnFull, ToServer
from bannock.cas.audit.findings import Outcome
from bannock.cas.audit.sink import HttpSink
from bannock.cas.audit.verification import numbers, verify_log
from bannock.errors import EnvironmentFault, NotFoundError, causes
from bannock.net.tls import Identity
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.values import KeyHash


@dataclass
class LogServer:
    """A server that keeps what is sent to it."""

    certificate: str
    port: int = 0
    status: int = 200
    hang_up: bool = False
    before: Callable[[], object] = bool
    taken: list[bytes] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)

    @property
    def sink(self) -> ToServer:
        """What to configure."""
        url = f"https://localhost:{self.port}/append?stream=cas"
        return ToServer(url=url, server_ca_certificate=self.certificate)

    @property
    def events(self) -> list[str]:
        """The events that arrived, but for reports."""
        told = [event["event"] for line in self.taken for event in json.loads(line)["events"]]
        return [event for event in told if event != "audit_log_attestation_report"]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that do not trust us."""


@contextlib.contextmanager
def _listening(server: LogServer, context: ssl.SSLContext) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            server.before()
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.headers["content-type"] == "application/json"
            if server.status == 200:
                server.taken.append(body)
                server.paths.add(self.path)
            self.send_response(server.status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
            self.close_connection = server.hang_up

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with _Server(("127.0.0.1", server.port), Handler) as http:
        http.daemon_threads = True
        http.socket = context.wrap_socket(http.socket, server_side=True)
        server.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """What the server proves itself with."""
    identity = Identity.generate("logs", names=["localhost"])
    (tmp_path / "server.pem").write_bytes(identity.to_pem().reveal())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


@pytest.fixture
def server(tmp_path: Path, context: ssl.SSLContext) -> Iterator[LogServer]:
    """A server with an authority of its own."""
    pem = (tmp_path / "server.pem").read_text()
    server = LogServer(certificate=pem[pem.index("-----BEGIN CERTIFICATE") :])
    with _listening(server, context):
        yield server


@pytest.fixture
def sender(config: CasConfig, server: LogServer) -> Iterator[Cas]:
    """A CAS that sends its log there."""
    with Cas(replace(config, audit_log=AuditLogConfig(sink=server.sink))) as opened:
        yield opened


def _outcome(cas: Cas, server: LogServer) -> Outcome:
    known = cas.audit.places(*numbers(server.taken))
    return verify_log(server.taken, expected=[cas.key_hash], history=known).outcome


def test_entries_arrive_one_by_one(sender: Cas, server: LogServer, alice: KeyHash) -> None:
    """Each is the body of a POST request to the URL, and the log is correct."""
    sender.sessions.post(document(), alice)
    assert server.events == ["cas_started", "session_created"]
    assert server.paths == {"/append?stream=cas"}
    assert _outcome(sender, server) is Outcome.CORRECT


def test_a_server_that_lets_go_of_connections(sender: Cas, server: LogServer, alice: KeyHash) -> None:
    """A connection that was closed meanwhile is made anew."""
    server.hang_up = True
    for name in ("one", "two", "three"):
        sender.sessions.post(document(name), alice)
    assert server.events == ["cas_started", *["session_created"] * 3]
    assert _outcome(sender, server) is Outcome.CORRECT


def test_a_server_that_refuses(sender: Cas, server: LogServer, alice: KeyHash) -> None:
    """Nothing is done that is not logged; afterwards all goes on."""
    server.status = 507
    with pytest.raises(EnvironmentFault, match="nothing is done that cannot be logged") as caught:
        sender.sessions.post(document(), alice)
    told = [str(cause) for cause in causes(caught.value)]
    assert (
        f"the audit log server https://localhost:{server.port} did not take an entry: it answers with status 507"
        in told
    )
    with pytest.raises(NotFoundError):
        sender.reading.values("demo")
    server.status = 200
    sender.sessions.post(document(), alice)
    assert _outcome(sender, server) is Outcome.CORRECT


def test_a_server_that_is_away(config: CasConfig, server: LogServer, context: ssl.SSLContext, alice: KeyHash) -> None:
    """Operations that may lose their entries go on, and the log says which it lost."""
    wish = AuditLogConfig(sink=server.sink, on_full=OnFull.DROP_AND_COUNT)
    away = LogServer(certificate=server.certificate)
    with _listening(away, context), Cas(replace(config, audit_log=replace(wish, sink=away.sink))) as cas:
        cas.sessions.post(document("one"), alice)
        away.status = 503
        cas.sessions.post(document("two"), alice)
        cas.sessions.post(document("three"), alice)
        away.status = 200
        cas.store.journal._paused_until = 0.0
        cas.sessions.post(document("four"), alice)
        assert away.events == ["cas_started", "session_created", "audit_log_entries_dropped", "session_created"]
        dropped = json.loads(away.taken[-1])["events"][0]
        assert (dropped["count"], dropped["first"], dropped["last"]) == ("2", "3", "4")
        assert _outcome(cas, away) is Outcome.ROLLBACK_OR_MISSING


def test_a_server_that_nobody_trusts(cas: Cas, server: LogServer, alice: KeyHash) -> None:
    """Its certificate has to be issued by the authority that the owner names; the log stays where it is."""
    other = Identity.generate("logs", names=["localhost"]).certificate_pem.decode()
    for authority in (other, None):
        with pytest.raises(EnvironmentFault) as caught:
            cas.audit.configure(AuditLogConfig(sink=replace(server.sink, server_ca_certificate=authority)))
        assert any("certificate verify failed" in str(cause).lower() for cause in causes(caught.value))
    assert server.taken == []
    cas.sessions.post(document(), alice)


def test_a_new_server_gets_what_was_before(cas: Cas, server: LogServer, alice: KeyHash) -> None:
    """The log is complete there, and is sent once."""
    cas.sessions.post(document(), alice)
    cas.audit.configure(AuditLogConfig(sink=server.sink))
    cas.audit.configure(AuditLogConfig(sink=server.sink))
    assert server.events == ["cas_started", "session_created", "audit_log_enabled"]
    assert _outcome(cas, server) is Outcome.CORRECT


def test_a_server_that_is_silent(
    sender: Cas, server: LogServer, alice: KeyHash, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One operation waits for it, those that come at once after it do not."""
    sink = sender.store.journal._sink
    assert isinstance(sink, HttpSink)
    sink._connection.timeout = 0.1
    sink._connection.close()
    silent = threading.Event()
    monkeypatch.setattr(server, "before", silent.wait)
    for reason in ("no answer in time", "it did not answer a moment ago"):
        with pytest.raises(EnvironmentFault) as caught:
            sender.sessions.post(document(), alice)
        assert any(str(cause).endswith(reason) for cause in causes(caught.value))
    silent.set()
    sink._silent_until = 0.0
    sender.sessions.post(document(), alice)
    assert _outcome(sender, server) in {Outcome.CORRECT, Outcome.FAILED_TRANSACTION}
