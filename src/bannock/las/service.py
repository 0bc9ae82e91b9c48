"""The LAS: measures the process that asks, and signs a report of it.

On platform ``sim`` the signature is worth what this host's word is worth, and the service says so at its start.
"""

from __future__ import annotations

import json
import logging
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bannock.errors import BannockError, EnvironmentFault, InputError
from bannock.evidence.attester import SimAttester
from bannock.evidence.report import REPORT_DATA_BYTES, Report
from bannock.files import private_directory, read_private, write_atomically
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure, runtime_build
from bannock.identity.reader import RootedReader
from bannock.las.process import held, process_of_connection
from bannock.net.address import Address
from bannock.net.peer import peer_of
from bannock.net.problem import MEDIA_TYPE, to_problem
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp, bind_unix, run
from bannock.policy.canonical import canonical_json
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from bannock.identity.tree import MeasurementTree

__all__ = ["EmbeddedLas", "Las", "serve"]

_log = logging.getLogger("bannock.las")

_KEY_FILE: Final = "las-key.pem"
_REQUEST_BYTES_MAX: Final = 512 << 10
#: What is not signed by anybody has this as its MRSIGNER.
_NO_SIGNER: Final = Measurement(bytes(32))


class Las:
    """One LAS with its key.

    Args:
        directory: where the key is kept, made if it is not there.

    Raises:
        InputError, EnvironmentFault: the directory or the key in it is not usable.
    """

    def __init__(self, directory: Path) -> None:
        self._attester = SimAttester(_load_or_make_key(private_directory(directory) / _KEY_FILE))
        self._build = runtime_build()
        _log.warning("platform sim: reports of this LAS protect nothing from whoever rules this host")

    @property
    def app(self) -> Starlette:
        """The ASGI application (``POST /v1/report``)."""
        return Starlette(routes=[Route("/v1/report", self._answer, methods=["POST"])])

    def report(self, process: int, manifest: EnclaveManifest, data: bytes) -> tuple[bytes, MeasurementTree]:
        """Measure a process and sign what was found.

        Raises:
            DeniedError: the process cannot be looked into.
            InputError: the manifest names what is not there.
        """
        with held(process) as root:
            tree = measure(manifest, RootedReader(root), self._build)
        report = Report(
            measurement=tree.root, signer=_NO_SIGNER, product_id=0, svn=0, debug=False, data=data
        )  # fmt: skip
        _log.info("process %d: MRENCLAVE %s (%s)", process, tree.root, manifest.binary)
        return self._attester.attest(report).to_json(), tree

    async def _answer(self, request: Request) -> Response:
        try:
            manifest, data = _parse(await _body(request))
            process = await run_in_threadpool(_process, request)
            evidence, tree = await run_in_threadpool(self.report, process, manifest, data)
        except BannockError as error:
            request_id = secrets.token_hex(8)
            _log.warning("request %s: %s", request_id, error)
            status, problem = to_problem(error, request_id=request_id)
            return JSONResponse(problem, status, media_type=MEDIA_TYPE)
        answer = b'{"evidence":%b,"tree":%b}' % (evidence, tree.to_json())
        return Response(answer, media_type="application/json")


class EmbeddedLas:
    """A LAS inside of another program, on a unix socket that only its user reaches; a context manager."""

    def __init__(self, directory: Path) -> None:
        self._las = Las(directory)
        # A directory of its own: the path of a unix socket has at most 107 bytes, whatever the user's directories.
        self._sockets = tempfile.TemporaryDirectory(prefix="bannock-las-")
        path = Path(self._sockets.name) / "las.sock"
        self.address = f"unix:{path}"
        self._server = ThreadedServer(Endpoint(app=self._las.app, sock=bind_unix(path)))

    def start(self) -> None:
        """Answer from now on.

        Raises:
            EnvironmentFault: the service does not come up.
        """
        self._server.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.stop()
        self._sockets.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(
    directory: Path, *, listen: Address | None, unix: Path | None, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        directory: where the key is kept.
        listen: a TCP address of this host; None for none.
        unix: the path of a unix socket, open to every user (who asks is measured, whoever it is); None for none.
        ready: called when the service answers.

    Raises:
        InputError: neither address is given.
        EnvironmentFault: an address is taken.
    """
    las = Las(directory)
    endpoints = []
    if listen is not None:
        endpoints.append(Endpoint(app=las.app, sock=bind_tcp(listen)))
    if unix is not None:
        endpoints.append(Endpoint(app=las.app, sock=bind_unix(unix, mode=0o666)))
    if not endpoints:
        raise InputError("a LAS needs an address to listen on")
    run(*endpoints, ready=ready)


def _process(request: Request) -> int:
    process = peer_of(request.scope).process
    if process is not None:
        return process
    (peer, peer_port), (ours, our_port) = request.scope["client"], request.scope["server"]
    return process_of_connection(Address(peer, peer_port), Address(ours, our_port))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _REQUEST_BYTES_MAX:
            raise InputError(f"a request has at most {_REQUEST_BYTES_MAX} bytes")
    return bytes(body)


def _parse(body: bytes) -> tuple[EnclaveManifest, bytes]:
    try:
        fields: dict[str, Any] = json.loads(body)
        if set(fields) != {"manifest", "report_data"}:
            raise InputError("a request has the fields manifest and report_data, and no others")
        manifest = EnclaveManifest.from_json(canonical_json(fields["manifest"]))
        data = bytes.fromhex(fields["report_data"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError("the request is malformed") from error
    if len(data) != REPORT_DATA_BYTES:
        raise InputError(f"report data has {REPORT_DATA_BYTES} bytes, found {len(data)}")
    return manifest, data


def _load_or_make_key(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        write_atomically(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key
    try:
        loaded = load_pem_private_key(read_private(path), password=None)
    except ValueError:
        raise InputError(f"{path} is no private key", hint="remove it, and a new one is made") from None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise EnvironmentFault(f"{path} is a {type(loaded).__name__}, expected an Ed25519 key")
    return loaded
