"""The client of a LAS: asks it to measure this process and to sign what it found.

HTTP over a unix socket or TCP on this host. Light to import: a runtime starts with it. One thread at a time.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
from base64 import b64decode, b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import Bug, DeniedError, EnvironmentFault, EvidenceError, InputError, PeerError
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import quote_from_json
from bannock.evidence.report import Report
from bannock.identity.tree import MeasurementTree
from bannock.linux import named_thread
from bannock.net.address import Address
from bannock.net.problem import from_problem
from bannock.policy.base64url import base64url
from bannock.policy.canonical import canonical_json
from bannock.policy.claims import platform_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.evidence.quotes import Quote
    from bannock.identity.manifest import EnclaveManifest

__all__ = ["LAS_PORT", "LasClient", "LasPlatform", "asking_name", "short_socket_path"]

LAS_PORT: Final = 18766
_UNIX: Final = "unix:"
#: A LAS that does not say who it is in this time is given up for a new connection, which may reach another process …
_GREETING_SECONDS: Final = 5.0
_TRIES: Final = 3
#: Measuring a large program takes a while on a slow disk.
_TIMEOUT_SECONDS: Final = 60.0
#: A measurement tree (:data:`~bannock.identity.tree.TREE_BYTES_MAX`) and an envelope.
_ANSWER_BYTES_MAX: Final = 16 << 20
#: PR_SET_NAME of prctl(2).
_NAME_CHARACTERS: Final = 15
_ASKING_CONTEXT: Final = b"bannock asks for a report 1\0"
#: unix(7); the terminating zero is the 108th.
_SOCKET_PATH_BYTES: Final = 107


@dataclass(frozen=True, slots=True, kw_only=True)
class LasPlatform:
    """What attests the machine of a LAS, by its own word.

    Attributes:
        platform: what protects enclaves there; ``sim`` for what only rehearses a platform.
        rehearses: the platform that is rehearsed, or None.
        quote: of the machine for the key of the LAS, which is in force now.
        endorsements: what came along with the quote; empty for nothing.
    """

    platform: str
    rehearses: str | None
    quote: Quote
    endorsements: bytes

    def __str__(self) -> str:
        return platform_name(self.platform, self.rehearses)


def asking_name(report_data: bytes) -> str:
    """Return what a thread of the process goes by that wants a report, while it waits for it.

    A name is the thread's own to give, and lost when another program takes its process over (execve(2)). So it says
    that who is measured has asked for just this: not somebody who had the connection before, and became that program.
    """
    return base64url(hashlib.sha256(_ASKING_CONTEXT + report_data).digest())[:_NAME_CHARACTERS]


class LasClient:
    """Speaks to one LAS; a context manager, for those who keep the connection.

    Args:
        address: ``HOST``, ``HOST:PORT`` or ``unix:/path``.
        timeout: seconds that each wait for the LAS may take.
        keep: whether to stay connected until :meth:`close`: a LAS goes on knowing who is at the other end.

    Raises:
        InputError: the address is malformed.
    """

    def __init__(self, address: str, *, timeout: float = _TIMEOUT_SECONDS, keep: bool = False) -> None:
        self._timeout = timeout
        self._keep = keep
        self._kept: http.client.HTTPConnection | None = None
        self._where = f"LAS at {address}"
        self._place: Path | Address
        if not address.startswith(_UNIX):
            self._place = Address.parse(address, default_port=LAS_PORT)
        elif address.startswith(f"{_UNIX}/") and "\0" not in address:
            self._place = Path(address.removeprefix(_UNIX))
        else:
            raise InputError(f"the address of a LAS is HOST, HOST:PORT or unix:/PATH, found {address[:80]!r}")

    def platform(self) -> LasPlatform:
        """Ask what attests the machine.

        Raises:
            EnvironmentFault: nothing answers there.
            PeerError: the answer is malformed.
        """
        with self._connected() as (_, platform):
            return platform

    def report(self, manifest: EnclaveManifest, report_data: bytes) -> tuple[bytes, MeasurementTree]:
        """Return evidence for this process, in its envelope, and the tree of what was measured.

        Args:
            manifest: what to measure.
            report_data: the 64 bytes that the report is bound to.

        Raises:
            EnvironmentFault: nothing answers there.
            PeerError: the answer is malformed, or for something else than what was asked.
            InputError, DeniedError: the LAS cannot measure this process.
        """
        body = canonical_json({"manifest": json.loads(manifest.to_json()), "report_data": report_data.hex()})
        with self._connected() as (connection, _), named_thread(asking_name(report_data)):
            answer = self._asked(connection, "POST", "/v1/report", body)
        try:
            fields = json.loads(answer)
            evidence = canonical_json(fields["evidence"])
            report = Report.from_json(Envelope.from_json(evidence).report)
            tree = MeasurementTree.from_json(canonical_json(fields["tree"]))
        except (ValueError, TypeError, KeyError, RecursionError, InputError) as error:
            raise PeerError(f"the answer of the {self._where} is malformed") from error
        if report.data != report_data or report.measurement != tree.root:
            raise PeerError(f"the {self._where} answered with a report of something else")
        return evidence, tree

    def activate(self, challenge: bytes) -> None:
        """Pass on the challenge of an authority, by which the hardware of this machine proves itself to it.

        Raises:
            EnvironmentFault: nothing answers there, or the hardware does not.
            DeniedError: the challenge is not for this machine, or nothing has to be activated there.
        """
        body = canonical_json({"challenge": b64encode(challenge).decode("ascii")})
        with self._connected() as (connection, _):
            self._asked(connection, "POST", "/v1/activate", body)

    def close(self) -> None:
        """End the connection, if one was kept."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _connected(self) -> Iterator[tuple[http.client.HTTPConnection, LasPlatform]]:
        """Give a connection on which the LAS has answered a moment ago, and what it said."""
        connection, platform = self._answering()
        try:
            yield connection, platform
        except (InputError, DeniedError):  # which is an answer like others
            self._release(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._release(connection)

    def _release(self, connection: http.client.HTTPConnection) -> None:
        if self._keep:
            self._kept = connection
        else:
            connection.close()

    def _answering(self) -> tuple[http.client.HTTPConnection, LasPlatform]:
        for left in reversed(range(_TRIES)):
            connection = self._kept or self._connection()
            self._kept = None
            try:
                platform = self._greet(connection)
            except EnvironmentFault as error:
                connection.close()
                # What was taken and not answered, or cut: another connection may reach another process, or a new one.
                if not left or not isinstance(error.__cause__, TimeoutError | ConnectionResetError | BrokenPipeError):
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                return connection, platform
        raise Bug("there was no try to reach the LAS")

    def _greet(self, connection: http.client.HTTPConnection) -> LasPlatform:
        connection.timeout = min(_GREETING_SECONDS, self._timeout)
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        answer = self._asked(connection, "GET", "/v1/platform")
        if connection.sock is not None:
            connection.sock.settimeout(self._timeout)
        try:
            fields = json.loads(answer)
            return LasPlatform(
                platform=str(fields["platform"]),
                rehearses=None if fields["rehearses"] is None else str(fields["rehearses"]),
                quote=quote_from_json(fields["quote"]),
                endorsements=b64decode(fields["endorsements"], validate=True),
            )
        except (ValueError, TypeError, KeyError, RecursionError, EvidenceError) as error:
            raise PeerError(f"the answer of the {self._where} is malformed") from error

    def _asked(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
    ) -> bytes:
        try:
            connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            answer = connection.getresponse()
            content = answer.read(_ANSWER_BYTES_MAX + 1)
        except (OSError, UnicodeError) as error:
            # UnicodeError is Python's for names with empty or overlong parts.
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else "there can be no such host"
            raise EnvironmentFault(
                f"cannot reach the {self._where}: {reason.lower()}",
                hint="start it with `bannock las serve`, or set SCONE_LAS_ADDR",
            ) from error
        except http.client.HTTPException as error:
            raise PeerError(f"the {self._where} does not answer in HTTP") from error
        if len(content) > _ANSWER_BYTES_MAX:
            raise PeerError(f"the answer of the {self._where} is longer than {_ANSWER_BYTES_MAX} bytes")
        if answer.status != http.HTTPStatus.OK:
            raise from_problem(answer.status, content)
        return content

    def _connection(self) -> http.client.HTTPConnection:
        if isinstance(self._place, Path):
            return _UnixConnection(self._place, self._timeout)
        return http.client.HTTPConnection(self._place.host, self._place.port, timeout=self._timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short_socket_path(self._path) as short:
            self.sock.connect(str(short))


@contextmanager
def short_socket_path(path: Path) -> Iterator[Path]:
    """Give a path to the same place that fits into the address of a unix socket, as long as its last part does.

    Raises:
        EnvironmentFault: the path is too long, and its directory cannot be opened.
    """
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
        yield path
        return
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise EnvironmentFault(f"cannot look into {path.parent}: {(error.strerror or str(error)).lower()}") from error
    try:
        yield Path(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)
