"""What both interfaces of a CAS share: bounded bodies, request ids, JSON for people, and errors as problems.

The outermost door of a request: whatever goes wrong behind it becomes a problem document and a log line, and neither
holds a secret. A log line has the id that the answer has in ``x-request-id``.
"""

from __future__ import annotations

import contextvars
import json
import logging
import secrets
import time
import traceback
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from bannock import __version__
from bannock.cas.browsers import refuse_other_sites
from bannock.cas.documents import describe_problems
from bannock.cas.hot import HotRoutes
from bannock.errors import BannockError, Bug, DeniedError, InputError, NotFoundError, render
from bannock.net.problem import MEDIA_TYPE, to_problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    #: Method, path, status and seconds of a request.
    Count = Callable[[str, str, int, float], None]

__all__ = ["web_application"]

_log = logging.getLogger(__name__)

#: The largest body that is read: a session document of a megabyte, with room for encodings.
BODY_BYTES_MAX: Final = 2 << 20
_SERVER_FAULT: Final = 500
_REFUSED: Final = 403
_PATH_BYTES_SHOWN: Final = 512

_current_request: contextvars.ContextVar[str] = contextvars.ContextVar("bannock_request", default="-")


class PrettyJson(JSONResponse):
    """JSON with a key a line."""

    def render(self, content: Any) -> bytes:
        """Write it."""
        return pretty(content)


class Gate:
    """The ASGI middleware around an interface."""

    def __init__(self, app: ASGIApp, admit: Callable[[str], Awaitable[None]], count: Count) -> None:
        self._app = app
        self._admit = admit
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, and tell how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = secrets.token_hex(8)
        token = _current_request.set(request)
        started = time.monotonic()
        status = 0
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_BYTES_MAX:
                raise InputError(f"the body of a request has at most {BODY_BYTES_MAX} bytes")
            return message

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # RFC 9110, 6.6.1: by the date, whoever asks learns whose clock is wrong.
                date = formatdate(usegmt=True).encode("ascii")
                marks = ((b"date", date), (b"x-request-id", request.encode("ascii")))
                message["headers"] = [*message.get("headers", ()), *marks]
            await send(message)

        try:
            await self._answer(scope, bounded, marked)
        except ClientDisconnect:
            pass  # there is nobody to tell
        except Exception as error:  # noqa: BLE001 - the outermost door of a request
            # The message of an exception that is not ours may hold anything, so it is not logged.
            frames = "".join(traceback.format_tb(error.__traceback__))
            _log.error("request %s failed with %s\n%s", request, type(error).__name__, frames)
            if not status:
                await _problem(Bug("unexpected"))(scope, receive, marked)
        finally:
            seconds = time.monotonic() - started
            self._count(scope["method"], scope["path"], status, seconds)
            _tell(request, *_asked(scope), status, 1000 * seconds)
            _current_request.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            refuse_other_sites(scope)
            await self._admit(scope["path"])
        except DeniedError as error:
            await _problem(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _tell(request: str, method: str, path: str, status: int, milliseconds: float) -> None:
    _log.info(
        "request %s: %s %s gives %s in %.1f ms",
        request,
        method,
        path,
        status or "nothing",
        milliseconds,
        extra={
            "fields": {
                "request": request,
                "method": method,
                "path": path,
                "status": status,
                "milliseconds": round(milliseconds, 1),
            }
        },
    )


def pretty(content: Any) -> bytes:
    """Write a document with a key a line, because clients look for keys line by line."""
    return json.dumps(content, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"


def web_application(
    title: str,
    add_routes: Callable[[FastAPI], None],
    add_hot: Callable[[HotRoutes], None],
    *,
    admit: Callable[[str], Awaitable[None]],
    count: Count = lambda *_: None,
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> ASGIApp:
    """Make an interface of the CAS: its routes, behind the gate, with errors and a description as they really are.

    Args:
        title: of the description.
        add_routes: adds every route.
        add_hot: adds the shortcuts of some of them.
        admit: raises DeniedError for a path that is closed now.
        count: told of each request: method, path, status and seconds.
        around: puts what is no part of the interface before it, behind the gate all the same.
    """
    app = FastAPI(title=title, version=__version__, default_response_class=PrettyJson, docs_url=None, redoc_url=None)
    _install_errors(app)
    add_routes(app)
    document = describe_problems(app)
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    hot = HotRoutes(app, _problem)
    add_hot(hot)
    return Gate(around(hot), admit, count)


def _asked(scope: Scope) -> tuple[str, str]:
    # The path as it was sent, still in its percent encoding: a log line has no bytes that a client chose freely.
    return scope["method"], scope.get("raw_path", b"")[:_PATH_BYTES_SHOWN].decode("ascii", "backslashreplace")


def _install_errors(app: FastAPI) -> None:
    async def ours(_request: Request, error: Exception) -> Response:
        return _problem(error)

    app.add_exception_handler(BannockError, ours)
    app.add_exception_handler(RequestValidationError, ours)
    app.add_exception_handler(HTTPException, ours)
    app.add_exception_handler(Exception, ours)


def _problem(error: Exception) -> Response:
    ours, forced_status = _translated(error)
    status, document = to_problem(ours, request_id=_current_request.get())
    if forced_status is not None:
        status = document["status"] = forced_status
    if status >= _SERVER_FAULT or status == _REFUSED:
        level = logging.ERROR if status >= _SERVER_FAULT else logging.WARNING
        _log.log(level, "request %s: %s", _current_request.get(), "; ".join(line.strip() for line in render(ours)))
    return PrettyJson(document, status_code=status, media_type=MEDIA_TYPE)


def _translated(error: Exception) -> tuple[BannockError, int | None]:
    match error:
        case BannockError():
            return error, None
        case RequestValidationError():
            # Places and rules alone: what was found may be a secret.
            reasons = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
            return InputError("the request is malformed", reasons=reasons), None
        case HTTPException(status_code=404):
            return NotFoundError("there is no such resource"), None
        case HTTPException():
            return InputError(str(error.detail).lower()), error.status_code
        case _:
            return Bug("unexpected"), None
