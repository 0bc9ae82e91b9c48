"""Builds by container engines, and engines that do not do as they say."""

from __future__ import annotations

import base64
import http.server
import io
import json
import socketserver
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bannock.errors import InputError, PeerError
from bannock.images.credentials import Credentials
from bannock.images.engine_build import build_image
from bannock.images.engine_socket import EngineSocket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ID = "sha256:" + "ab" * 32
_GOOD: list[dict[str, Any]] = [{"stream": "Step 1/1 : FROM x\n"}, {"aux": {"ID": _ID}}, {"stream": "Successfully\n"}]


class _FakeEngine:
    """An engine that answers a build with these events."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Any] = list(_GOOD)
        self.asked: dict[str, list[str]] = {}
        self.sent = b""
        self.logins: dict[str, Any] = {}
        engine = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                engine.asked = parse_qs(urlsplit(self.path).query)
                engine.sent = self.rfile.read(int(self.headers["Content-Length"]))
                engine.logins = json.loads(base64.urlsafe_b64decode(self.headers["X-Registry-Config"]))
                self.send_response(200)
                self.end_headers()
                for event in engine.events:
                    self.wfile.write((event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\r\n")

            def log_message(self, *_: object) -> None:
                pass

            def address_string(self) -> str:
                return "test"

        self._server = socketserver.UnixStreamServer(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def build(self, directory: Path) -> tuple[str, list[str]]:
        """Have something built; give the image and what was told."""
        told: list[str] = []
        identity = build_image(
            EngineSocket(self.path),
            io.BytesIO(b"a tar"),
            name="x/y:1",
            bases=["r.example/base:1", "python:3"],
            credentials=Credentials(directory / "config.json"),
            told=told.append,
        )
        return identity, told

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[_FakeEngine]:
    """Give an engine."""
    fake = _FakeEngine(tmp_path / "engine.sock")
    yield fake
    fake.close()


def test_an_image_is_built(engine: _FakeEngine, tmp_path: Path) -> None:
    """What the steps print is passed on, the context is sent whole, and logins go along."""
    login = {"auths": {"r.example": {"auth": base64.b64encode(b"me:canary").decode()}}}
    (tmp_path / "config.json").write_text(json.dumps(login))
    assert engine.build(tmp_path) == (_ID, ["Step 1/1 : FROM x", "Successfully"])
    assert engine.asked["t"] == ["x/y:1"]
    assert engine.sent == b"a tar"
    assert engine.logins == {"r.example": {"username": "me", "password": "canary"}}


def test_a_failing_step_is_told(engine: _FakeEngine, tmp_path: Path) -> None:
    """In the words of the engine."""
    engine.events = [{"stream": "Step"}, {"error": "The command '/bin/sh -c exit 3' returned a non-zero code: 3"}]
    with pytest.raises(InputError, match="returned a non-zero code: 3"):
        engine.build(tmp_path)


@pytest.mark.parametrize("events", [[], [{"stream": "x"}], [b"not json"], [[1]], [{"aux": {"ID": "x"}}], [{"aux": 1}]])
def test_engines_that_do_not_do_as_they_say(engine: _FakeEngine, tmp_path: Path, events: list[Any]) -> None:
    """An answer without an image is an error, and no other one."""
    engine.events = events
    with pytest.raises(PeerError):
        engine.build(tmp_path)
