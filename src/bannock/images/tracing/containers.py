"""The few requests that a trace makes of a container engine (Docker Engine API 1.41, ``/containers``)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from bannock.errors import NotFoundError, PeerError
from bannock.images.fields import Fields, parse_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.images.engine_socket import EngineSocket

__all__ = ["Containers"]

_SECONDS: Final = 60.0
#: A program may write as much as it likes.
_ANSWER_BYTES_MAX: Final = 16 << 20
_BLOCK: Final = 1 << 16
_STAT: Final = "X-Docker-Container-Path-Stat"
_NAME: Final = "the engine's answer"


class Containers:
    """Containers of an engine.

    Args:
        engine: its socket.
    """

    def __init__(self, engine: EngineSocket) -> None:
        self._engine = engine

    def settings(self, image: str) -> Fields:
        """Return the settings of an image, as ``Entrypoint``, ``Cmd`` and ``WorkingDir``."""
        return Fields(self._ask("GET", f"/images/{quote(image, safe='/:@')}/json").values.get("Config") or {}, _NAME)

    def create(self, settings: Mapping[str, Any]) -> str:
        """Make a container and return its id."""
        return self._ask("POST", "/containers/create", json.dumps(settings).encode(), "application/json").text(
            "Id", None
        )

    def put(self, container: str, tar: bytes) -> None:
        """Unpack a tar in the root of a container."""
        self._raw("PUT", f"/containers/{container}/archive?path=%2F", tar, "application/x-tar")

    def get(self, container: str, path: str) -> Iterator[bytes]:
        """Yield a file or directory of a container as a tar, in blocks."""
        query = urlencode({"path": path})
        with self._engine.answer("GET", f"/containers/{container}/archive?{query}", _SECONDS) as answer:
            while block := answer.read(_BLOCK):
                yield block

    def size_of(self, container: str, path: str) -> int:
        """Return the size of a file in a container, 0 if there is none."""
        query = urlencode({"path": path})
        try:
            with self._engine.answer("HEAD", f"/containers/{container}/archive?{query}", _SECONDS) as answer:
                told = answer.headers.get(_STAT, "")
        except NotFoundError:
            return 0
        try:
            return int(json.loads(base64.b64decode(told))["size"])
        except (ValueError, KeyError, TypeError):
            raise PeerError(f"the container engine does not say how large {path} in its container is") from None

    def start(self, container: str) -> None:
        """Start a container."""
        self._raw("POST", f"/containers/{container}/start")

    def exit_code(self, container: str) -> int | None:
        """Return what a container ended with, None while it runs."""
        state = self._ask("GET", f"/containers/{container}/json").values.get("State")
        if not isinstance(state, dict) or not isinstance(state.get("ExitCode"), int):
            raise PeerError("the container engine does not say how its container is")
        return None if state.get("Running") else int(state["ExitCode"])

    def output(self, container: str) -> str:
        """Return the last lines that a container with a terminal wrote."""
        data = self._raw("GET", f"/containers/{container}/logs?stdout=1&stderr=1&tail=20")
        return data.decode(errors="replace").replace("\r\n", "\n")

    def kill(self, container: str) -> None:
        """End a container at once."""
        self._raw("POST", f"/containers/{container}/kill")

    def remove(self, container: str) -> None:
        """Remove a container, also while it runs, and the volumes that were made for it."""
        self._raw("DELETE", f"/containers/{container}?force=1&v=1")

    def forget_image(self, name: str) -> None:
        """Take a name away from an image; an image without any other one is removed."""
        self._raw("DELETE", f"/images/{quote(name, safe='/:@')}")

    def _ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Fields:
        return Fields(parse_object(self._raw(method, path, body, kind), _NAME), _NAME)

    def _raw(self, method: str, path: str, body: bytes = b"", kind: str = "") -> bytes:
        headers = {"Content-Type": kind, "Content-Length": str(len(body))} if kind else None
        with self._engine.answer(method, path, _SECONDS, [body] if body else None, headers) as answer:
            return answer.read(_ANSWER_BYTES_MAX)
