"""What the engine knows of pods: their containers, how these are, what they print, and the network between them."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from bannock.errors import EnvironmentFault, NotFoundError, PeerError
from bannock.images.fields import Fields, parse_list, parse_object
from bannock.kubernetes.local.place import LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from http.client import HTTPResponse

    from bannock.images.engine_socket import EngineSocket
    from bannock.kubernetes.local.place import Place

__all__ = ["EnginePods", "PodContainer"]

_SECONDS: Final = 60.0
#: Who follows what a container prints waits as long as it runs.
_FOLLOW_SECONDS: Final = 365 * 86400.0
_ANSWER_BYTES_MAX: Final = 16 << 20
_WHAT: Final = "the engine's answer"
#: Before each piece of what a container without a terminal prints: which stream, and how long it is.
_HEADER_BYTES: Final = 8
_STREAMS: Final = (0, 1, 2)
_PIECE_BYTES_MAX: Final = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class PodContainer:
    """A container of a pod, as the engine has it.

    Attributes:
        identity: by which the engine knows it.
        name: in its pod.
        pod, namespace, release: that it is of.
        workload: kind and name of what made the pod.
        fingerprint: of the template that it was made by.
        names: of the pod in the network.
        first: whether it runs to its end before the others start.
        labels: of the pod.
        image, image_identity: that it was made of, by its name and by the engine's id.
        status: in the engine's words.
        exit_code: of its last run.
        out_of_memory: whether that was ended for want of memory.
        error: why it could not be started.
        restarts: how often it was started anew.
        created, started: when, in the engine's words.
        address: of it in the network of pods.
        terminal: whether it has one.
        grace: seconds that it gets to end.
    """

    identity: str
    name: str
    pod: str
    namespace: str
    release: str
    workload: str
    fingerprint: str
    names: str
    first: bool
    labels: Mapping[str, str]
    image: str
    image_identity: str
    status: str
    exit_code: int
    out_of_memory: bool
    error: str
    restarts: int
    created: str
    started: str
    address: str
    terminal: bool
    grace: int

    @property
    def runs(self) -> bool:
        """Whether it runs now."""
        return self.status == "running"

    @property
    def ended(self) -> bool:
        """Whether it has ended and is not started anew."""
        return self.status in ("exited", "dead")


class EnginePods:
    """The pods of one place on an engine.

    Args:
        engine: its socket.
        place: whose they are.
    """

    def __init__(self, engine: EngineSocket, place: Place) -> None:
        self._engine = engine
        self._place = place

    def containers(self, *labels: str) -> list[PodContainer]:
        """Return the containers that have all of some labels, by namespace, pod and name."""
        found = []
        for identity in self.identities(f"{LABEL}.pod", *labels):
            # One may go between the two questions.
            with suppress(NotFoundError):
                found.append(self.container(identity))
        return sorted(found, key=lambda each: (each.namespace, each.pod, not each.first, each.name))

    def identities(self, *labels: str) -> list[str]:
        """Return by what the engine knows the containers that have all of some labels."""
        query = urlencode({"all": "1", "filters": json.dumps({"label": [self._place.label, *labels]})})
        found = parse_list(self._get(f"/containers/json?{query}"), "the engine's list")
        return [Fields(item, "a container of the engine").text("Id", None) for item in found]

    def volumes(self, *labels: str) -> list[str]:
        """Return the names of the volumes that have all of some labels."""
        query = urlencode({"filters": json.dumps({"label": [self._place.label, *labels]})})
        found = Fields(parse_object(self._get(f"/volumes?{query}"), _WHAT), _WHAT).items("Volumes")
        return [Fields(item, "a volume of the engine").text("Name", None) for item in found]

    def container(self, identity: str) -> PodContainer:
        """Return how a container is.

        Raises:
            NotFoundError: there is none.
        """
        fields = Fields(parse_object(self._get(f"/containers/{identity}/json"), _WHAT), _WHAT)
        config, state = (Fields(fields.values.get(name), _WHAT) for name in ("Config", "State"))
        labels = config.mapping("Labels")
        networks = Fields(Fields(fields.values.get("NetworkSettings"), _WHAT).values.get("Networks"), _WHAT).values
        network = Fields(networks.get(self._place.network), _WHAT)
        return PodContainer(
            identity=fields.text("Id", None),
            name=labels.get(f"{LABEL}.container", ""),
            pod=labels.get(f"{LABEL}.pod", ""),
            namespace=labels.get(f"{LABEL}.namespace", ""),
            release=labels.get(f"{LABEL}.release", ""),
            workload=labels.get(f"{LABEL}.workload", ""),
            fingerprint=labels.get(f"{LABEL}.template", ""),
            names=labels.get(f"{LABEL}.names", ""),
            first=labels.get(f"{LABEL}.first") == "true",
            labels=_labels(labels.get(f"{LABEL}.labels", "{}")),
            image=config.text("Image"),
            image_identity=fields.text("Image"),
            status=state.text("Status"),
            exit_code=int(state.values.get("ExitCode") or 0),
            out_of_memory=state.flag("OOMKilled"),
            error=state.text("Error"),
            restarts=int(fields.values.get("RestartCount") or 0),
            created=fields.text("Created"),
            started=state.text("StartedAt"),
            address=network.text("IPAddress"),
            terminal=config.flag("Tty"),
            grace=int(config.values.get("StopTimeout") or 0),
        )

    def printed(
        self, container: PodContainer, *, follow: bool = False, last: int | None = None, since: str = ""
    ) -> Iterator[bytes]:
        """Yield what a container prints, in pieces; with ``follow`` until it ends.

        Args:
            container: of a pod.
            follow: whether to wait for more.
            last: only so many lines of what it printed before.
            since: only what it printed from then on, in the engine's words.
        """
        asked: dict[str, object] = {"stdout": 1, "stderr": 1, "follow": int(follow)}
        asked["tail"] = "all" if last is None else last
        if since:
            asked["since"] = _seconds(since)
        query = urlencode(asked)
        path = f"/containers/{container.identity}/logs?{query}"
        with self._engine.answer("GET", path, _FOLLOW_SECONDS if follow else _SECONDS) as answer:
            while head := answer.read1(1 << 16) if container.terminal else answer.read(_HEADER_BYTES):
                if container.terminal:
                    yield head
                    continue
                length = int.from_bytes(head[4:], "big")
                if len(head) != _HEADER_BYTES or head[0] not in _STREAMS or length > _PIECE_BYTES_MAX:
                    raise PeerError("the container engine does not say what a container prints")
                yield answer.read(length)

    def execute(self, container: PodContainer, command: Sequence[str], seconds: float) -> int:
        """Run a command in a container, and return its exit code.

        Raises:
            EnvironmentFault: it does not end in time.
        """
        settings = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}
        made = self._post(f"/containers/{container.identity}/exec", settings)
        identity = Fields(parse_object(made, _WHAT), _WHAT).text("Id", None)
        with self._answer("POST", f"/exec/{identity}/start", {"Detach": False, "Tty": False}, seconds) as answer:
            while answer.read(1 << 16):
                pass
        fields = Fields(parse_object(self._get(f"/exec/{identity}/json"), _WHAT), _WHAT)
        return int(fields.values.get("ExitCode") or 0)

    def have_network(self) -> str:
        """See that the network of pods is there, and return the address of this machine in it."""
        settings = {
            "Name": self._place.network,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "Labels": {LABEL: self._place.name},
        }
        for _ in range(2):
            try:
                fields = Fields(parse_object(self._get(f"/networks/{self._place.network}"), _WHAT), _WHAT)
            except NotFoundError:
                # Another process may be making it now.
                with suppress(PeerError):
                    self._post("/networks/create", settings)
                continue
            ranges = Fields(fields.values.get("IPAM"), _WHAT).items("Config")
            for each in ranges:
                if gateway := Fields(each, _WHAT).text("Gateway"):
                    return gateway.partition("/")[0]
            break
        raise EnvironmentFault("the container engine makes no network for pods", hint="docker network ls; docker info")

    def drop_network(self) -> None:
        """Remove the network of pods, if there are none any more."""
        with (
            suppress(NotFoundError, PeerError),
            self._engine.answer("DELETE", f"/networks/{self._place.network}", _SECONDS),
        ):
            pass

    def _get(self, path: str) -> bytes:
        with self._engine.answer("GET", path, _SECONDS) as answer:
            return answer.read(_ANSWER_BYTES_MAX)

    def _post(self, path: str, document: Mapping[str, Any]) -> bytes:
        with self._answer("POST", path, document, _SECONDS) as answer:
            return answer.read(_ANSWER_BYTES_MAX)

    def _answer(
        self, method: str, path: str, document: Mapping[str, Any], seconds: float
    ) -> AbstractContextManager[HTTPResponse]:
        body = json.dumps(document).encode("utf-8")
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        return self._engine.answer(method, path, seconds, [body], headers)


def _labels(text: str) -> dict[str, str]:
    try:
        return Fields({"labels": json.loads(text)}, "a pod").mapping("labels")
    except ValueError:
        return {}


def _seconds(text: str) -> str:
    """Turn a time of the engine into seconds with all digits that it has."""
    whole, _, parts = text.rstrip("Z").partition(".")
    moment = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC)
    return f"{int(moment.timestamp())}.{parts or '0'}"
