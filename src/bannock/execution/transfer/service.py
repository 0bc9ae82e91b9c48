"""A transfer service in the manner of transfer.sh: PUT a file, get a URL, GET it from elsewhere.

An ASGI application over :class:`~bannock.execution.transfer.store.TransferStore`; bodies stream in both directions.
Files that are not sent or fetched by name (an index, a preview, a form) are none of its business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote

from bannock.errors import BannockError, InputError, NotFoundError
from bannock.net.problem import MEDIA_TYPE, to_problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from bannock.execution.transfer.store import Receiving, TransferStore

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

__all__ = ["TransferService"]

_log = logging.getLogger(__name__)

#: Bytes handed to the disk, or to the network, at once.
_CHUNK_BYTES: Final = 1 << 20
_NUMBER_DIGITS_MAX: Final = 9


class TransferService:
    """The ASGI application.

    Args:
        store: where the files are.
        base_url: what URLs begin with; None: what the client called us.
        clock: seconds since the epoch.
    """

    def __init__(
        self, store: TransferStore, *, base_url: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._base_url = base_url
        self._clock = clock

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._answer(scope, receive, send)
        except BannockError as error:
            await _send_error(error, send)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        parts = [unquote(part) for part in scope["path"].strip("/").split("/")]
        match scope["method"], parts:
            case "PUT", [name]:
                await self._put(name, scope, receive, send)
            case "HEAD", [identifier, name]:
                kept = await asyncio.to_thread(self._store.look, identifier, name, now=self._clock())
                await _start(send, HTTPStatus.OK, _file_headers(kept.size))
                await _end(send)
            case "GET", [identifier, name]:
                await self._get(identifier, name, send)
            case "DELETE", [identifier, name, token]:
                await asyncio.to_thread(self._store.delete, identifier, name, token, now=self._clock())
                await _start(send, HTTPStatus.OK, {})
                await _end(send)
            case _:
                raise NotFoundError("there is nothing here: PUT /NAME keeps a file")

    async def _put(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        receiving, token = await asyncio.to_thread(
            self._store.receive,
            name,
            days=_number(headers, "max-days"),
            downloads=_number(headers, "max-downloads"),
            now=self._clock(),
        )
        with receiving:
            await _copy_in(receive, receiving)
            kept = await asyncio.to_thread(receiving.keep)
        base = self._base_url or f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}"
        url = f"{base}/{kept.id}/{kept.name}"
        await _start(send, HTTPStatus.OK, {"content-type": "text/plain", "x-url-delete": f"{url}/{token}"})
        await _end(send, f"{url}\n".encode())

    async def _get(self, identifier: str, name: str, send: Send) -> None:
        kept, file = await asyncio.to_thread(self._store.fetch, identifier, name, now=self._clock())
        with contextlib.closing(file):
            await _start(send, HTTPStatus.OK, _file_headers(kept.size))
            while data := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await _end(send)


async def _copy_in(receive: Receive, receiving: Receiving) -> None:
    """Pass a body on to the store in large pieces."""
    buffer = bytearray()
    async for data in _body(receive):
        buffer += data
        if len(buffer) >= _CHUNK_BYTES:
            await asyncio.to_thread(receiving.write, bytes(buffer))
            buffer.clear()
    await asyncio.to_thread(receiving.write, bytes(buffer))


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InputError("the client went away in the middle of the file")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _headers(scope: Message) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _number(headers: dict[str, str], name: str) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX):
        raise InputError(f"{name} is a number, found {text[:20]!r}")
    return int(text)


def _file_headers(size: int) -> dict[str, str]:
    return {"content-type": "application/octet-stream", "content-length": str(size), "cache-control": "no-store"}


async def _send_error(error: BannockError, send: Send) -> None:
    request = secrets.token_hex(8)
    status, problem = to_problem(error, request_id=request)
    _log.log(
        logging.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO, "%s: %s", request, error.message
    )
    # The rest of a refused body is not read, so the connection cannot be used again.
    await _start(send, status, {"content-type": MEDIA_TYPE, "connection": "close"})
    await _end(send, json.dumps(problem).encode())


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(status), "headers": encoded})


async def _end(send: Send, body: bytes = b"") -> None:
    await send({"type": "http.response.body", "body": body, "more_body": False})
