"""Hot routes answer what they know, and pass on what they do not, body and all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
from starlette.responses import PlainTextResponse

from bannock.cas.hot import HotRoutes
from bannock.errors import DeniedError, InputError
from bannock.net.peer import EXTENSION, Peer

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

_PEER: Final = Peer(key_hash=None, exporter=None)


async def _framework(_scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"framework:" + body})


async def _echo(_peer: Peer, middle: str, body: bytes) -> bytes | None:
    if body == b"strange":
        return None
    if body == b"denied":
        raise DeniedError("no")
    return f"{middle}={body.decode()}".encode()


def _ask(method: str, path: str, *pieces: bytes, query: bytes = b"") -> tuple[int, bytes]:
    hot = HotRoutes(_framework, lambda error: PlainTextResponse(str(error), 403))
    hot.add("GET", "/v1/things/", _echo)
    hot.add("POST", "/v1/one", _echo)
    hot.add("POST", "/v1/things/", _echo, after="/commit")
    pending: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
        for index, piece in enumerate(pieces or (b"",))
    ]
    sent: list[Any] = []

    async def receive() -> Message:
        return pending.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "raw_path": path.encode(), "query_string": query,
        "headers": [], "extensions": {EXTENSION: _PEER},
    }  # fmt: skip
    asyncio.run(hot(scope, receive, send))
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("POST", "/v1/one", b"x", (200, b"=x")),
        ("GET", "/v1/things/a/b", b"", (200, b"a/b=")),
        ("GET", "/v1/things/a%20b", b"", (200, b"a b=")),
        ("POST", "/v1/things/name/commit", b"x", (200, b"name=x")),
        ("POST", "/v1/one", b"denied", (403, b"no")),
        ("POST", "/v1/one", b"strange", (299, b"framework:strange")),
        ("POST", "/v1/one/more", b"x", (299, b"framework:x")),
        ("POST", "/v1/things//commit", b"x", (299, b"framework:x")),
        ("POST", "/v1/things/commit", b"x", (299, b"framework:x")),
        ("GET", "/v1/things/", b"", (299, b"framework:")),
        ("GET", "/v1/things/" + "a" * 1025, b"", (299, b"framework:")),
        ("DELETE", "/v1/one", b"x", (299, b"framework:x")),
    ],
)
def test_a_request_gets_its_answer(method: str, path: str, body: bytes, answer: tuple[int, bytes]) -> None:
    """By method and path, from the handler or from the framework."""
    assert _ask(method, path, body) == answer


def test_a_request_with_a_query_is_the_frameworks() -> None:
    """A handler would not see the query."""
    assert _ask("GET", "/v1/things/a", query=b"hash=00") == (299, b"framework:")


@pytest.mark.parametrize(("pieces", "answer"), [((b"a", b"b"), b"=ab"), ((b"stra", b"nge"), b"framework:strange")])
def test_a_body_comes_in_pieces(pieces: tuple[bytes, ...], answer: bytes) -> None:
    """Whoever answers gets all of it."""
    assert _ask("POST", "/v1/one", *pieces)[1] == answer


def test_a_body_that_is_refused_while_it_comes_is_the_clients_error() -> None:
    """What the gate says of a body that is too long reaches the client as it would from the framework."""
    hot = HotRoutes(_framework, lambda error: PlainTextResponse(str(error), 400))
    hot.add("POST", "/v1/one", _echo)
    sent: list[Any] = []

    async def receive() -> Message:
        raise InputError("too long")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "raw_path": b"/v1/one", "query_string": b"",
        "headers": [], "extensions": {EXTENSION: _PEER},
    }  # fmt: skip
    asyncio.run(hot(scope, receive, send))
    assert (sent[0]["status"], sent[1]["body"]) == (400, b"too long")
