"""Containers of a container engine, and volumes for them (Docker Engine API 1.41, ``/containers``, ``/volumes``).

Whatever goes through here may be of a machine that is not trusted: answers are bounded, and nothing is taken from them
but texts, numbers and streams.
"""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from bannock.errors import NotFoundError, PeerError
from bannock.images.fields import Fields, parse_list, parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from http.client import HTTPResponse

    from bannock.images.engine_socket import EngineSocket

__all__ = ["ContainerState", "Containers", "Volumes"]

_SECONDS: Final = 60.0
#: An engine that unpacks much says nothing meanwhile.
_STREAM_SECONDS: Final = 1800.0
#: A program may write as much as it likes.
_ANSWER_BYTES_MAX: Final = 16 << 20
_BLOCK: Final = 1 << 16
_STAT: Final = "X-Docker-Container-Path-Stat"
_NAME: Final = "the engine's answer"
_LISTED_MAX: Final = 10_000
_TAR: Final = "application/x-tar"
#: Of a container that has neither ended nor will go on by itself.
_RUNNING: Final = frozenset({"running", "restarting", "paused", "removing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """How a container is.

    Attributes:
        status: in the engine's words: ``created``, ``running``, ``exited``, ``dead``, …
        exit_code: what it ended with; 0 while it runs, and before it was started.
        out_of_memory: whether the kernel ended it for want of memory.
        error: why it could not be started.
    """

    status: str
    exit_code: int
    out_of_memory: bool
    error: str

    @property
    def is_running(self) -> bool:
        """Whether there is a process of it."""
        return self.status in _RUNNING

    @property
    def ended_with(self) -> int | None:
        """What it ended with, None while it runs."""
        return None if self.is_running else self.exit_code

    @property
    def was_started(self) -> bool:
        """Whether it was started at any time."""
        return self.status != "created"


class Containers:
    """Containers of an engine; one is named by its id or its name.

    Args:
        engine: its socket.
    """

    def __init__(self, engine: EngineSocket) -> None:
        self._engine = engine

    def create(self, settings: Mapping[str, Any], name: str | None = None) -> str:
        """Make a container and return its id.

        Raises:
            NotFoundError: the engine has no such image.
            PeerError: it refuses.
        """
        path = "/containers/create" + (f"?{urlencode({'name': name})}" if name else "")
        return self._ask("POST", path, json.dumps(settings).encode(), "application/json").text("Id", None)

    def put(self, container: str, tar: bytes | Iterable[bytes], path: str = "/") -> None:
        """Unpack a tar in a directory of a container, which need not run."""
        headers = {"Content-Type": _TAR}
        if isinstance(tar, bytes):
            headers["Content-Length"] = str(len(tar))
            tar = [tar]
        query = urlencode({"path": path})
        with self._engine.answer("PUT", f"/containers/{container}/archive?{query}", _STREAM_SECONDS, tar, headers):
            pass

    def get(self, container: str, path: str) -> Iterator[bytes]:
        """Yield a file or directory of a container as a tar, in blocks."""
        with self.opened(container, path) as answer:
            while block := answer.read(_BLOCK):
                yield block

    @contextmanager
    def opened(self, container: str, path: str) -> Iterator[HTTPResponse]:
        """Give a file or directory of a container as a tar, to read from.

        Raises:
            NotFoundError: there is none.
        """
        query = urlencode({"path": path})
        with self._engine.answer("GET", f"/containers/{container}/archive?{query}", _STREAM_SECONDS) as answer:
            yield answer

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
        """Start a container; nothing happens if it runs."""
        self._raw("POST", f"/containers/{container}/start")

    def state(self, container: str) -> ContainerState:
        """Return how a container is.

        Raises:
            NotFoundError: there is none.
        """
        state = self._ask("GET", f"/containers/{container}/json").values.get("State")
        if not isinstance(state, dict) or not isinstance(state.get("ExitCode"), int):
            raise PeerError("the container engine does not say how its container is")
        return ContainerState(
            status=str(state.get("Status", ""))[:40],
            exit_code=int(state["ExitCode"]),
            out_of_memory=state.get("OOMKilled") is True,
            error=str(state.get("Error", ""))[:2000],
        )

    def output(self, container: str) -> str:
        """Return the last lines that a container with a terminal wrote."""
        data = self._raw("GET", f"/containers/{container}/logs?stdout=1&stderr=1&tail=20")
        return data.decode(errors="replace").replace("\r\n", "\n")

    def stop(self, container: str, seconds: int) -> None:
        """Ask a container to end, and end it after so many seconds; nothing happens if it has ended."""
        path = f"/containers/{container}/stop?t={seconds}"
        with self._engine.answer("POST", path, _SECONDS + seconds):
            pass

    def kill(self, container: str) -> None:
        """End a container at once."""
        self._raw("POST", f"/containers/{container}/kill")

    def remove(self, container: str) -> None:
        """Remove a container, also while it runs, and the volumes that were made for it alone."""
        self._raw("DELETE", f"/containers/{container}?force=1&v=1")

    def labelled(self, label: str) -> dict[str, str]:
        """Return the containers that have a label: id → its value."""
        query = urlencode({"all": "1", "filters": json.dumps({"label": [label]})})
        found = {}
        for item in parse_list(self._raw("GET", f"/containers/json?{query}"), "the engine's list")[:_LISTED_MAX]:
            fields = Fields(item, "a container of the engine")
            labels = fields.values.get("Labels")
            found[fields.text("Id", None)] = str(labels.get(label, ""))[:200] if isinstance(labels, dict) else ""
        return found

    def _ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Fields:
        return Fields(parse_object(self._raw(method, path, body, kind), _NAME), _NAME)

    def _raw(self, method: str, path: str, body: bytes = b"", kind: str = "") -> bytes:
        headers = {"Content-Type": kind, "Content-Length": str(len(body))} if kind else None
        with self._engine.answer(method, path, _SECONDS, [body] if body else None, headers) as answer:
            return answer.read(_ANSWER_BYTES_MAX)


class Volumes:
    """Volumes of an engine.

    Args:
        engine: its socket.
    """

    def __init__(self, engine: EngineSocket) -> None:
        self._engine = engine

    def create(self, name: str, labels: Mapping[str, str], options: Mapping[str, str] | None = None) -> None:
        """Make a volume, if there is none of that name; options are those of the engine's own driver."""
        body = json.dumps({"Name": name, "Labels": dict(labels), "DriverOpts": dict(options or {})}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        with self._engine.answer("POST", "/volumes/create", _SECONDS, [body], headers):
            pass

    def remove(self, name: str) -> None:
        """Remove a volume with all that is in it; nothing happens if there is none."""
        with (
            suppress(NotFoundError),
            self._engine.answer("DELETE", f"/volumes/{quote(name, safe='')}?force=1", _STREAM_SECONDS),
        ):
            pass

    def labelled(self, label: str) -> list[str]:
        """Return the names of the volumes that have a label."""
        query = urlencode({"filters": json.dumps({"label": [label]})})
        with self._engine.answer("GET", f"/volumes?{query}", _SECONDS) as answer:
            found = Fields(parse_object(answer.read(_ANSWER_BYTES_MAX), _NAME), _NAME).values.get("Volumes") or []
        if not isinstance(found, list):
            raise PeerError("the container engine does not say which volumes it has")
        return [Fields(item, "a volume of the engine").text("Name", None) for item in found[:_LISTED_MAX]]
