"""Hot routes: the few requests that come thousands of times a second, answered past the web framework.

The framework describes these routes like all others and answers them too, so nothing depends on this shortcut: a
handler gives None for what is not of the form that it knows, and the framework tells the client what is wrong with it.
It only spares what the framework spends on a request (routing, dependencies, models), which is more than the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from bannock.errors import BannockError
from bannock.net.peer import Peer, peer_of

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Answer", "Handler", "HotRoutes", "Refusal", "parsed"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A body in JSON, and what goes along with it."""

    body: bytes
    headers: Mapping[str, str]


#: Takes the peer, what the path has between the route's two parts, and the body; None: the framework is to answer.
Handler: TypeAlias = Callable[[Peer, str, bytes], Awaitable[bytes | Answer | None]]
#: Makes the answer to an error.
Refusal: TypeAlias = "Callable[[BannockError], Response]"

_Model = TypeVar("_Model", bound=BaseModel)

_HEADERS: Final = (b"content-type", b"application/json")


class HotRoutes:
    """The ASGI middleware that answers hot routes, and passes everything else on."""

    def __init__(self, app: ASGIApp, refusal: Refusal) -> None:
        self._app = app
        self._refusal = refusal
        self._routes: dict[str, list[tuple[str, str, Handler]]] = {}

    def add(self, method: str, before: str, handler: Handler, *, after: str = "") -> None:
        """Answer requests whose path is ``before``, or where that ends in ``/`` also some text and ``after``."""
        self._routes.setdefault(method, []).append((before, after, handler))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        found = self._find(scope)
        if found is None:
            await self._app(scope, receive, send)
            return
        handler, middle = found
        messages: list[Message] = []
        try:
            # A body that is too long is an error of the client's like any other.
            while not messages or messages[-1].get("more_body"):
                messages.append(await receive())
            body = b"".join(message.get("body", b"") for message in messages)
            answer = await handler(peer_of(scope), middle, body)
        except BannockError as error:
            await self._refusal(error)(scope, receive, send)
            return
        if answer is None:
            await self._app(scope, _again(messages, receive), send)
            return
        body, more = (answer.body, answer.headers) if isinstance(answer, Answer) else (answer, {})
        headers = [_HEADERS, (b"content-length", str(len(body)).encode("ascii"))]
        headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in more.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _find(self, scope: Scope) -> tuple[Handler, str] | None:
        if scope["type"] != "http" or scope["query_string"]:
            return None
        path = scope["raw_path"].decode("ascii", "replace")
        for before, after, handler in self._routes.get(scope["method"], ()):
            if path == before and not before.endswith("/"):
                return handler, ""
            middle = path[len(before) : len(path) - len(after)]
            # What is longer than the framework allows, it refuses.
            if before.endswith("/") and path == before + middle + after and 0 < len(middle) <= 1024:  # noqa: PLR2004
                return handler, unquote(middle)
        return None


def parsed(model: type[_Model], body: bytes) -> _Model | None:
    """Parse a body; None where it is not what the model says, of which the framework tells."""
    try:
        return model.model_validate_json(body)
    except ValidationError:
        return None


def _again(messages: list[Message], receive: Receive) -> Receive:
    waiting = list(messages)

    async def replay() -> Message:
        return waiting.pop(0) if waiting else await receive()

    return replay
