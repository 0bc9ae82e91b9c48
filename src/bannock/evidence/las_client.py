"""The client of a LAS: asks it to measure this process and to sign what it found.

HTTP over a unix socket or TCP on this host. Light to import: a runtime starts with it.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError, PeerError
from bannock.evidence.envelope import Envelope
from bannock.identity.tree import MeasurementTree
from bannock.net.address import Address
from bannock.net.problem import from_problem
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from bannock.identity.manifest import EnclaveManifest

__all__ = ["LAS_PORT", "LasClient"]

LAS_PORT: Final = 18766
_UNIX: Final = "unix:"
#: Measuring a large program takes a while on a slow disk.
_TIMEOUT_SECONDS: Final = 60.0
_ANSWER_BYTES_MAX: Final = 16 << 20


class LasClient:
    """Speaks to one LAS.

    Args:
        address: ``HOST``, ``HOST:PORT`` or ``unix:/path``.

    Raises:
        InputError: the address is malformed.
    """

    def __init__(self, address: str) -> None:
        self._path = address.removeprefix(_UNIX) if address.startswith(_UNIX) else None
        self._address = Address.parse(address, default_port=LAS_PORT) if self._path is None else None
        self._where = f"LAS at {address}"

    def report(self, manifest: EnclaveManifest, report_data: bytes) -> tuple[bytes, MeasurementTree]:
        """Return evidence for this process, in its envelope, and the tree of what was measured.

        Args:
            manifest: what to measure.
            report_data: the 64 bytes that the report is bound to.

        Raises:
            EnvironmentFault: nothing answers there.
            PeerError: the answer is malformed.
            InputError, DeniedError: the LAS cannot measure this process.
        """
        body = canonical_json({"manifest": json.loads(manifest.to_json()), "report_data": report_data.hex()})
        answer = self._post("/v1/report", body)
        try:
            fields = json.loads(answer)
            evidence = canonical_json(fields["evidence"])
            Envelope.from_json(evidence)
            return evidence, MeasurementTree.from_json(canonical_json(fields["tree"]))
        except (ValueError, TypeError, KeyError, RecursionError, InputError) as error:
            raise PeerError(f"the answer of the {self._where} is malformed") from error

    def _post(self, path: str, body: bytes) -> bytes:
        connection = self._connection()
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read(_ANSWER_BYTES_MAX)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot reach the {self._where}: {(error.strerror or str(error)).lower()}",
                hint="start it with `bannock las serve`, or set SCONE_LAS_ADDR",
            ) from error
        except http.client.HTTPException as error:
            raise PeerError(f"the {self._where} does not answer in HTTP") from error
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise from_problem(answer.status, content)
        return content

    def _connection(self) -> http.client.HTTPConnection:
        if self._address is not None:
            return http.client.HTTPConnection(self._address.host, self._address.port, timeout=_TIMEOUT_SECONDS)
        return _UnixConnection(self._path or "")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_SECONDS)
        self.sock.connect(self._path)
