"""The few requests to a container engine that a trace needs, over its socket (Docker Engine API 1.41, Podman too)."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from bannock.errors import EnvironmentFault, NotFoundError, PeerError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SOCKET", "Engine"]

SOCKET: Final = "/var/run/docker.sock"
_API: Final = "/v1.41"
_SECONDS: Final = 120.0
_ANSWER_BYTES_MAX: Final = 16 << 20
_BLOCK: Final = 1 << 16
_STAT: Final = "X-Docker-Container-Path-Stat"


class Engine:
    """A container engine. Not for several threads.

    Args:
        path: its socket.
    """

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path

    def settings(self, image: str) -> dict[str, Any]:
        """Return the settings of an image, as ``Entrypoint``, ``Cmd`` and ``WorkingDir``."""
        document = self._json("GET", f"/images/{quote(image, safe='/:@')}/json")
        found = document.get("Config")
        return found if isinstance(found, dict) else {}

    def create(self, settings: dict[str, Any]) -> str:
        """Make a container and return its id."""
        made = self._json("POST", "/containers/create", json.dumps(settings).encode(), "application/json")
        return str(made.get("Id", ""))

    def put(self, container: str, tar: bytes) -> None:
        """Unpack a tar in the root of a container."""
        self._ask("PUT", f"/containers/{container}/archive?path=%2F", tar, "application/x-tar")

    def size_of(self, container: str, path: str) -> int:
        """Return the size of a file in a container, 0 if there is none."""
        try:
            _, headers = self._ask("HEAD", f"/containers/{container}/archive?{urlencode({'path': path})}")
        except NotFoundError:
            return 0
        try:
            return int(json.loads(base64.b64decode(headers.get(_STAT, "")))["size"])
        except (ValueError, KeyError, TypeError):
            raise PeerError(f"the container engine does not say how large {path} in its container is") from None

    def get(self, container: str, path: str) -> Iterator[bytes]:
        """Yield a file or directory of a container as a tar, in blocks."""
        connection = _Connection(self._path)
        try:
            answer = self._answer(connection, "GET", f"/containers/{container}/archive?{urlencode({'path': path})}")
            while block := answer.read(_BLOCK):
                yield block
        except (OSError, http.client.HTTPException) as error:
            raise EnvironmentFault(f"the container engine at {self._path} ended while it answered: {error}") from error
        finally:
            connection.close()

    def start(self, container: str) -> None:
        """Start a container."""
        self._ask("POST", f"/containers/{container}/start")

    def exit_code(self, container: str) -> int | None:
        """Return what a container ended with, None while it runs."""
        state = self._json("GET", f"/containers/{container}/json").get("State", {})
        return None if state.get("Running") else int(state.get("ExitCode", -1))

    def output(self, container: str) -> bytes:
        """Return the last lines that a container with a terminal wrote."""
        return self._ask("GET", f"/containers/{container}/logs?stdout=1&stderr=1&tail=20")[0]

    def kill(self, container: str) -> None:
        """End a container at once."""
        self._ask("POST", f"/containers/{container}/kill")

    def remove(self, container: str) -> None:
        """Remove a container, also while it runs, and the volumes that were made for it."""
        self._ask("DELETE", f"/containers/{container}?force=1&v=1")

    def _json(self, method: str, path: str, body: bytes = b"", kind: str = "") -> dict[str, Any]:
        data, _ = self._ask(method, path, body, kind)
        try:
            document = json.loads(data)
        except ValueError as error:
            raise PeerError(f"the container engine at {self._path} did not answer with JSON") from error
        return document if isinstance(document, dict) else {}

    def _ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[bytes, http.client.HTTPMessage]:
        connection = _Connection(self._path)
        try:
            answer = self._answer(connection, method, path, body, kind)
            return answer.read(_ANSWER_BYTES_MAX), answer.headers
        except (OSError, http.client.HTTPException) as error:
            raise EnvironmentFault(f"the container engine at {self._path} ended while it answered: {error}") from error
        finally:
            connection.close()

    def _answer(
        self, connection: _Connection, method: str, path: str, body: bytes = b"", kind: str = ""
    ) -> http.client.HTTPResponse:
        try:
            connection.connect()
        except OSError as error:
            raise EnvironmentFault(
                f"no container engine answers at {self._path}: {error.strerror}",
                hint="start it (`systemctl start docker`), or become a user who may use it (group docker)",
            ) from error
        connection.request(method, _API + path, body or None, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        if answer.status == http.client.NOT_FOUND:
            raise NotFoundError(f"the container engine does not have it: {_message(answer)}")
        if answer.status >= http.client.BAD_REQUEST:
            raise PeerError(f"the container engine refuses: {_message(answer)}")
        return answer


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket of this machine."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect, if that has not been done yet."""
        if self.sock is not None:
            return
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(_SECONDS)
        try:
            made.connect(self._path)
        except OSError:
            made.close()
            raise
        self.sock = made


def _message(answer: http.client.HTTPResponse) -> str:
    data = answer.read(_BLOCK)
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status} {answer.reason}"
