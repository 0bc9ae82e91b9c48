"""Images of a container engine: Docker's, or what speaks its API, over its unix socket.

What the engine gives is verified as from anywhere else. Layers that it has already are not sent to it again.
Source: Docker Engine API 1.41 (``/images/{name}/json``, ``/images/{name}/get``, ``/images/load``).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from bannock.errors import DeniedError, EnvironmentFault, InputError, IntegrityError, NotFoundError, PeerError
from bannock.images.archives import docker_archive_of, open_docker_archive
from bannock.images.digests import BLOCK
from bannock.images.fields import Fields, parse_list, parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bannock.images.blobs import Scratch
    from bannock.images.model import Image
    from bannock.images.references import ImageName

__all__ = ["Engine"]

_SOCKET: Final = Path("/var/run/docker.sock")
_ANSWER_BYTES_MAX: Final = 64 << 20
#: An engine that unpacks a large layer says nothing meanwhile.
_SECONDS: Final = 1800.0
_ASKED_SECONDS: Final = 60.0
#: Images whose layers are looked at, to find out what the engine has.
_IMAGES_MAX: Final = 1000


class Engine:
    """An engine.

    Args:
        path: its socket.
    """

    def __init__(self, path: Path = _SOCKET) -> None:
        self._path = path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Engine:
        """Find the engine as Docker's own client does.

        Raises:
            InputError: ``DOCKER_HOST`` is not a socket on this machine.
        """
        host = environment.get("DOCKER_HOST", "")
        if host and not host.startswith("unix://"):
            raise InputError(
                f"DOCKER_HOST is {host[:80]!r}; only an engine on this machine can be used (unix://PATH)",
                hint="use an archive or a registry between the two machines: docker save, docker push",
            )
        return cls(Path(host.removeprefix("unix://")) if host else _SOCKET)

    def has(self, wanted: str) -> bool:
        """Whether the engine has an image.

        Raises:
            EnvironmentFault: the engine cannot be reached.
        """
        return self._inspect(wanted) is not None

    def open(self, wanted: str, *, reference: str, scratch: Scratch) -> Image:
        """Open an image.

        Raises:
            NotFoundError: the engine has none of that name.
            EnvironmentFault: the engine cannot be reached.
            InputError: the image is not for this machine.
            IntegrityError: what the engine gives is not what it has to be.
        """
        found = self._inspect(wanted)
        if found is None:
            raise NotFoundError(f"the container engine has no image {wanted}", hint="docker images lists those it has")
        # By its id, so that it is one image whatever becomes of the name meanwhile.
        identity = found.text("Id", None)
        with self._answer("GET", f"/images/{quote(identity)}/get", _SECONDS) as answer:
            with scratch.file() as (path, file):
                while block := answer.read(BLOCK):
                    file.write(block)
            if answer.length:
                raise EnvironmentFault("the container engine stopped in the middle of the image")
        image = open_docker_archive(path, None, reference=reference, scratch=scratch)
        if image.config.diff_ids != _layers(found):
            raise IntegrityError(f"the container engine gave other layers than {wanted} has by its own word")
        return image

    def store(self, image: Image, name: ImageName) -> tuple[str, str]:
        """Put an image into the engine.

        Returns:
            digest of its manifest as it would be written, and the engine's id of it.

        Raises:
            EnvironmentFault: the engine cannot be reached, or cannot take it.
            PeerError: it has something else afterwards.
        """
        there = self._there(image)
        try:
            digest = self._load(image, name, without=range(there))
        except (PeerError, NotFoundError):
            if not there:
                raise
            # An image may have been removed since we looked.
            digest = self._load(image, name, without=())
        found = self._inspect(name.tagged.familiar)
        if found is None or _layers(found) != image.config.diff_ids:
            raise PeerError(f"the container engine took the image, but {name.familiar} is another one there")
        return digest, found.text("Id", None)

    def _load(self, image: Image, name: ImageName, *, without: Iterable[int]) -> str:
        stream, written = docker_archive_of(image, name, without=frozenset(without))
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(stream.size)}
        with self._answer("POST", "/images/load?quiet=1", _SECONDS, stream, headers) as answer:
            told = answer.read(_ANSWER_BYTES_MAX)
        for line in told.splitlines():
            with contextlib.suppress(InputError):
                if error := Fields(parse_object(line, "the answer"), "the answer").text("error"):
                    raise PeerError(f"the container engine did not take the image: {error[:500]}")
        return written.digest

    def _there(self, image: Image) -> int:
        """Count the layers from the lowest on that the engine has already, on top of each other."""
        there = 0
        for item in parse_list(self._get("/images/json") or b"[]", "the engine's list of images")[:_IMAGES_MAX]:
            found = self._inspect(Fields(item, "an image of the engine").text("Id", None))
            same = 0
            for ours, theirs in zip(image.config.diff_ids, _layers(found) if found else (), strict=False):
                if ours != theirs:
                    break
                same += 1
            there = max(there, same)
        return there

    def _inspect(self, wanted: str) -> Fields | None:
        data = self._get(f"/images/{quote(wanted, safe='/:@')}/json")
        return None if data is None else Fields(parse_object(data, "the engine's answer"), "the engine's answer")

    def _get(self, path: str) -> bytes | None:
        """Ask for a document; None where there is no such thing."""
        try:
            with self._answer("GET", path, _ASKED_SECONDS) as answer:
                return answer.read(_ANSWER_BYTES_MAX)
        except NotFoundError:
            return None

    @contextlib.contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        seconds: float,
        body: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Ask the engine, and give its answer if that is what was asked for."""
        connection = _UnixConnection(self._path, seconds)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise EnvironmentFault(
                    f"cannot reach the container engine at {self._path}: {error.strerror}",
                    hint="start it (systemctl start docker), be in the group docker, or set DOCKER_HOST to its socket",
                ) from error
            connection.request(method, path, body=body, headers=dict(headers or {"Host": "docker"}))
            answer = connection.getresponse()
            if answer.status >= http.HTTPStatus.BAD_REQUEST:
                raise _refusal(answer)
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise EnvironmentFault(f"the connection to the container engine failed: {error}") from error
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("docker", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _refusal(answer: http.client.HTTPResponse) -> EnvironmentFault | DeniedError | PeerError:
    data = answer.read(64 << 10)
    try:
        message: Any = json.loads(data).get("message", "")
    except (ValueError, AttributeError, RecursionError):
        message = ""
    text = f"the container engine answered {answer.status}: {str(message)[:500] or answer.reason}"
    if answer.status == http.HTTPStatus.NOT_FOUND:
        return NotFoundError(text)
    return PeerError(text)


def _layers(found: Fields) -> tuple[str, ...]:
    return Fields(found.values.get("RootFS"), "the engine's answer: RootFS").texts("Layers")
