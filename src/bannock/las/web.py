"""The HTTP interface of a LAS: ``GET /v1/platform``, ``POST /v1/report`` and ``/v1/activate``, strict and bounded.

A connection stands for the process that was found at its other end, and for what was measured of it, as long as it is
open: a runtime keeps its own, closed to programs that it starts, so it can attest anew after it has hidden its memory.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import traceback
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Final, Self

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bannock.errors import BannockError, Bug, DeniedError, InputError
from bannock.evidence.report import REPORT_DATA_BYTES
from bannock.identity.manifest import EnclaveManifest
from bannock.las.process import PeerProcess
from bannock.net.address import Address
from bannock.net.peer import peer_of
from bannock.net.problem import MEDIA_TYPE, to_problem
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.requests import Request

    from bannock.identity.tree import MeasurementTree
    from bannock.las.service import Las

__all__ = ["web_application"]

_log = logging.getLogger("bannock.las")

#: A manifest with its names in it (:mod:`bannock.identity.manifest`), and some room for the way it is written.
_REQUEST_BYTES_MAX: Final = 512 << 10
_ASKING: Final = "asking"
#: A service that runs may need its LAS again after a long time; processes that end close their connections.
_IDLE_SECONDS: Final = 366 * 24 * 3600.0
_REPORT_DATA: Final = re.compile(rf"[0-9a-f]{{{2 * REPORT_DATA_BYTES}}}")


def web_application(las: Las) -> Starlette:
    """Make the ASGI application of a LAS; it needs :mod:`bannock.net.server` in front of it."""

    async def report(request: Request) -> Response:
        return await _answered(_report(las, request))

    async def platform(_: Request) -> Response:
        return await _answered(_platform(las))

    async def activate(request: Request) -> Response:
        return await _answered(_activate(las, request))

    return Starlette(
        routes=[
            Route("/v1/platform", platform, methods=["GET"]),
            Route("/v1/report", report, methods=["POST"]),
            Route("/v1/activate", activate, methods=["POST"]),
        ]
    )


async def _answered(answer: Awaitable[Response]) -> Response:
    try:
        return await answer
    except BannockError as error:
        return _problem(error)
    except Exception as error:  # noqa: BLE001 - the outermost door of a request
        # Without the text of the exception, which may hold anything.
        frames = "".join(traceback.format_tb(error.__traceback__))
        _log.error("a request failed with %s\n%s", type(error).__name__, frames)
        return _problem(Bug("unexpected"))


async def _platform(las: Las) -> Response:
    return Response(las.platform(), media_type="application/json")


async def _activate(las: Las, request: Request) -> Response:
    body = await _body(request)
    try:
        fields: Any = json.loads(body)
        if not isinstance(fields, dict) or fields.keys() != {"challenge"}:
            raise InputError("a request is an object with the field challenge, and no others")
        challenge = b64decode(fields["challenge"], validate=True)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("the request is malformed") from error
    await run_in_threadpool(las.activate, challenge)
    return JSONResponse({})


class _Asking:
    """The process at the other end of a connection, and what was measured of it; on the event loop's thread alone."""

    def __init__(self, process: PeerProcess) -> None:
        self.process = process
        self._users = 0
        self._ended = False
        self._measured: tuple[bytes, MeasurementTree] | None = None

    def measured_by(self, manifest: EnclaveManifest) -> MeasurementTree | None:
        """Return what was found the last time, if it was the same that was asked for."""
        if self._measured is None or self._measured[0] != manifest.to_json():
            return None
        return self._measured[1]

    def keep(self, manifest: EnclaveManifest, tree: MeasurementTree) -> None:
        """Remember what was found."""
        self._measured = manifest.to_json(), tree

    def end(self) -> None:
        """Let go of the process, once nobody looks at it."""
        self._ended = True
        self._release()

    def _release(self) -> None:
        if self._ended and not self._users:
            self.process.close()

    def __enter__(self) -> Self:
        self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        self._release()


async def _report(las: Las, request: Request) -> Response:
    manifest, data = _parse(await _body(request))
    with await _asking(request) as asking:
        before = asking.measured_by(manifest)
        evidence, tree = await run_in_threadpool(las.report, asking.process, manifest, data, before=before)
        asking.keep(manifest, tree)
    return Response(b'{"evidence":%b,"tree":%b}' % (evidence, tree.to_json()), media_type="application/json")


async def _asking(request: Request) -> _Asking:
    peer = peer_of(request.scope)
    known = peer.state.get(_ASKING)
    if isinstance(known, _Asking):
        return known
    if peer.process is not None:
        # Here, on the thread that also closes the connection, the peer's handle is good or None.
        process = PeerProcess.of_unix(peer)
    else:
        (host, port), (our_host, our_port) = request.scope["client"], request.scope["server"]
        process = await run_in_threadpool(PeerProcess.of_tcp, Address(host, port), Address(our_host, our_port))
    asking = _Asking(process)
    if peer.over:
        asking.end()
        raise DeniedError("the connection was lost while its process was looked for")
    peer.state[_ASKING] = asking
    peer.ended = asking.end
    peer.idle_seconds = _IDLE_SECONDS
    return asking


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _REQUEST_BYTES_MAX:
            raise InputError(f"a request has at most {_REQUEST_BYTES_MAX} bytes")
    return bytes(body)


def _parse(body: bytes) -> tuple[EnclaveManifest, bytes]:
    try:
        fields: Any = json.loads(body)
        if not isinstance(fields, dict) or fields.keys() != {"manifest", "report_data"}:
            raise InputError("a request is an object with the fields manifest and report_data, and no others")
        manifest = EnclaveManifest.from_json(canonical_json(fields["manifest"]))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("the request is malformed") from error
    data = fields["report_data"]
    if not isinstance(data, str) or not _REPORT_DATA.fullmatch(data):
        raise InputError(f"report data is {2 * REPORT_DATA_BYTES} hexadecimal digits in lower case")
    return manifest, bytes.fromhex(data)


def _problem(error: BannockError) -> Response:
    request_id = secrets.token_hex(8)
    # As repr: the text may repeat names that a process of somebody else chose.
    _log.warning("request %s: %r", request_id, str(error))
    status, problem = to_problem(error, request_id=request_id)
    return JSONResponse(problem, status, media_type=MEDIA_TYPE)
