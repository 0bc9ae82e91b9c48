"""A registry in this process that does as tests want: it keeps images, and lies, breaks off or leads elsewhere."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

from bannock.images.digests import digest_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["FakeRegistry", "Request", "Response", "running_fake"]


class Request(NamedTuple):
    """What came."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """What is answered; a length that is larger than the body breaks the connection after it."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass
class FakeRegistry:
    """What it has, what it was asked, and what it does first.

    Attributes:
        address: HOST:PORT.
        rule: answers before the registry does; None leaves it to the registry.
    """

    address: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    rule: Callable[[Request], Response | None] = lambda _: None

    def answer(self, request: Request) -> Response:
        """Do as a registry does."""
        self.asked.append(request)
        return self.rule(request) or self._answer(request)

    def _answer(self, request: Request) -> Response:
        what, _, name = request.path.rpartition("/")
        match request.method, what.rpartition("/")[2]:
            case "GET" | "HEAD", "blobs" if name in self.blobs:
                return Response(200, self.blobs[name])
            case "GET", "manifests" if name in self.manifests:
                media_type, data = self.manifests[name]
                return Response(200, data, {"Content-Type": media_type})
            case "POST", "uploads":
                return Response(202, headers={"Location": f"{request.path}upload?state=1"})
            case "PUT", "uploads":
                assert request.query["digest"] == [digest_of(request.body)]
                self.blobs[digest_of(request.body)] = request.body
                return Response(201)
            case "PUT", "manifests":
                for called in (name, digest_of(request.body)):
                    self.manifests[called] = (request.headers["Content-Type"], request.body)
                return Response(201, headers={"Docker-Content-Digest": digest_of(request.body)})
            case _:
                return Response(404, b'{"errors": [{"code": "UNKNOWN", "message": "no such thing"}]}')

    def logins(self) -> list[str | None]:
        """Say what came as a login with each request."""
        return [request.headers.get("Authorization") for request in self.asked]


@contextmanager
def running_fake(tls: ssl.SSLContext | None = None) -> Iterator[FakeRegistry]:
    """Run one."""
    registry = FakeRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            made = registry.answer(Request(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body))
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(made.body) if made.length is None else made.length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(made.body)
            self.close_connection |= made.length is not None

        do_GET = do_HEAD = do_POST = do_PUT = _any  # noqa: N815 - the names of the base class

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not trust us goes away
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    registry.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
