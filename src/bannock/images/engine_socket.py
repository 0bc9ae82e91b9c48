"""The API of a container engine over its unix socket: one request, one answer, and what went wrong in our words.

Source: Docker Engine API 1.41. Not for several threads.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import DeniedError, EnvironmentFault, InputError, NotFoundError, PeerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["EngineSocket"]

_SOCKET: Final = Path("/var/run/docker.sock")


class EngineSocket:
    """The socket of an engine.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path = _SOCKET) -> None:
        self._path = path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
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

    @contextlib.contextmanager
    def answer(
        self,
        method: str,
        path: str,
        seconds: float,
        body: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Ask the engine, and give its answer if that is what was asked for.

        Raises:
            EnvironmentFault: it cannot be reached, or the connection was lost.
            NotFoundError: it does not have what was asked for.
            PeerError: it refuses for another reason.
        """
        connection = _UnixConnection(self._path, seconds)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise EnvironmentFault(
                    f"cannot reach the container engine at {self._path}: {error.strerror}",
                    hint="start it (systemctl start docker), be in the group docker, or set DOCKER_HOST to its socket",
                ) from error
            try:
                connection.request(method, path, body=body, headers=dict(headers or {"Host": "docker"}))
            except (BrokenPipeError, ConnectionResetError):
                # An engine whose disk is full says so before it has read all.
                if connection.sock is None:
                    raise
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
