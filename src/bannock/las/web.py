"""The HTTP interface of a LAS: ``POST /v1/report``, strict and bounded."""

from __future__ import annotations

import json
import logging
import re
import secrets
import traceback
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bannock.errors import BannockError, Bug, InputError
from bannock.evidence.report import REPORT_DATA_BYTES
from bannock.identity.manifest import EnclaveManifest
from bannock.las.process import PeerProcess
from bannock.net.address import Address
from bannock.net.peer import peer_of
from bannock.net.problem import MEDIA_TYPE, to_problem
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from bannock.las.service import Las

__all__ = ["web_application"]

_log = logging.getLogger("bannock.las")

#: A manifest with its names in it (:mod:`bannock.identity.manifest`), and some room for the way it is written.
_REQUEST_BYTES_MAX: Final = 512 << 10
_REPORT_DATA: Final = re.compile(rf"[0-9a-f]{{{2 * REPORT_DATA_BYTES}}}")


def web_application(las: Las) -> Starlette:
    """Make the ASGI application of a LAS; it needs :mod:`bannock.net.server` in front of it."""

    async def report(request: Request) -> Response:
        try:
            return await _report(las, request)
        except BannockError as error:
            return _problem(error)
        except Exception as error:  # noqa: BLE001 - the outermost door of a request
            # Without the text of the exception, which may hold anything.
            frames = "".join(traceback.format_tb(error.__traceback__))
            _log.error("a request failed with %s\n%s", type(error).__name__, frames)
            return _problem(Bug("unexpected"))

    return Starlette(routes=[Route("/v1/report", report, methods=["POST"])])


async def _report(las: Las, request: Request) -> Response:
    manifest, data = _parse(await _body(request))
    peer = peer_of(request.scope)
    if peer.process is not None:
        # Here, on the thread that also closes the connection, the peer's handle is good or None.
        process = PeerProcess.of_unix(peer)
    else:
        (host, port), (our_host, our_port) = request.scope["client"], request.scope["server"]
        process = await run_in_threadpool(PeerProcess.of_tcp, Address(host, port), Address(our_host, our_port))
    with process:
        evidence, tree = await run_in_threadpool(las.report, process, manifest, data)
    return Response(b'{"evidence":%b,"tree":%b}' % (evidence, tree.to_json()), media_type="application/json")


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
