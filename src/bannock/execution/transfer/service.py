"""A transfer service in the manner of transfer.sh: PUT a file, get a URL, GET it from elsewhere.

An ASGI application over :class:`~bannock.execution.transfer.store.TransferStore`; bodies stream in both directions.
Files are sent and fetched by name; a web site with an index or previews is none of its business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote

from bannock.errors import BannockError, InputError, NotFoundError
from bannock.execution.transfer.form import Begin, Content, End, FormFiles
from bannock.net.problem import MEDIA_TYPE, to_problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from bannock.execution.transfer.store import Kept, Receiving, TransferStore

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

__all__ = ["TransferService", "requested_range"]

_log = logging.getLogger(__name__)

#: Bytes handed to the disk, or to the network, at once.
_CHUNK_BYTES: Final = 1 << 20
_NUMBER_DIGITS_MAX: Final = 15
_DAY_SECONDS: Final = 86_400
_FORM_FILES_MAX: Final = 64
_RANGE: Final = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


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
            case "PUT", [name] | ["put" | "upload", name]:
                await self._put(name, scope, receive, send)
            case "POST", [""]:
                await self._post(scope, receive, send)
            case "HEAD", [identifier, name] | ["get" | "inline", identifier, name]:
                kept = await asyncio.to_thread(self._store.look, identifier, name, now=self._clock())
                await _start(send, HTTPStatus.OK, {**self._told(kept), "content-length": str(kept.size)})
                await _end(send)
            case "GET", [identifier, name] | ["get" | "inline", identifier, name]:
                await self._get(identifier, name, _headers(scope), send)
            case "DELETE", [identifier, name, token]:
                await asyncio.to_thread(self._store.delete, identifier, name, token, now=self._clock())
                await _start(send, HTTPStatus.OK, {})
                await _end(send)
            case _:
                raise NotFoundError("there is nothing here: PUT /NAME keeps a file")

    async def _put(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        receiving, token = await self._receive(name, headers, size=_number(headers, "content-length"))
        with receiving:
            await _copy_in(receive, receiving)
            kept = await asyncio.to_thread(receiving.keep)
        url = self._url(scope, kept)
        await _start(send, HTTPStatus.OK, {"content-type": "text/plain", "x-url-delete": f"{url}/{token}"})
        await _end(send, f"{url}\n".encode())

    async def _post(self, scope: Message, receive: Receive, send: Send) -> None:
        """Keep the files of a form, each under the name that it has there."""
        headers = _headers(scope)
        form = FormFiles(headers.get("content-type", ""))
        urls: list[str] = []
        with contextlib.ExitStack() as unfinished:
            receiving: Receiving | None = None
            async for data in _body(receive):
                for event in form.feed(data):
                    match event:
                        case Begin(name=name):
                            if len(urls) >= _FORM_FILES_MAX:
                                raise InputError(f"a form has {_FORM_FILES_MAX} files at most")
                            receiving, _ = await self._receive(name, headers)
                            unfinished.enter_context(receiving)
                        case Content(data=content) if receiving is not None:
                            await asyncio.to_thread(receiving.write, content)
                        case End() if receiving is not None:
                            urls.append(self._url(scope, await asyncio.to_thread(receiving.keep)))
            form.finish()
        await _start(send, HTTPStatus.OK, {"content-type": "text/plain"})
        await _end(send, "".join(f"{url}\n" for url in urls).encode())

    async def _receive(self, name: str, headers: dict[str, str], *, size: int | None = None) -> tuple[Receiving, str]:
        return await asyncio.to_thread(
            self._store.receive,
            name,
            days=_number(headers, "max-days"),
            downloads=_number(headers, "max-downloads"),
            now=self._clock(),
            size=size,
        )

    def _url(self, scope: Message, kept: Kept) -> str:
        host = _headers(scope).get("host", "localhost")
        base = self._base_url or f"{scope.get('scheme', 'http')}://{host}"
        return f"{base}/{kept.id}/{kept.name}"

    async def _get(self, identifier: str, name: str, headers: dict[str, str], send: Send) -> None:
        kept, file = await asyncio.to_thread(self._store.fetch, identifier, name, now=self._clock())
        with contextlib.closing(file):
            asked = requested_range(headers.get("range", ""), kept.size)
            if asked is None:
                unsatisfied = {**self._told(kept), "content-range": f"bytes */{kept.size}"}
                await _start(send, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, unsatisfied)
                await _end(send)
                return
            first, left = asked
            told = {**self._told(kept), "content-length": str(left)}
            status = HTTPStatus.OK
            if left < kept.size:
                status = HTTPStatus.PARTIAL_CONTENT
                told["content-range"] = f"bytes {first}-{first + left - 1}/{kept.size}"
            await _start(send, status, told)
            await asyncio.to_thread(file.seek, first)
            while left and (data := await asyncio.to_thread(file.read, min(_CHUNK_BYTES, left))):
                left -= len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await _end(send)

    def _told(self, kept: Kept) -> dict[str, str]:
        """Return what is said of a file with each answer."""
        left = "n/a" if kept.downloads_left is None else str(kept.downloads_left)
        days = max(int((kept.expires - self._clock()) // _DAY_SECONDS), 0)
        return {
            "content-type": "application/octet-stream",
            "cache-control": "no-store",
            "accept-ranges": "bytes",
            "x-remaining-downloads": left,
            "x-remaining-days": str(days),
        }


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """Return first byte and number of bytes of a ``Range`` (RFC 9110, 14.2); None: there are none such.

    What is no single range of bytes is left out of account, as it may be: the answer is then the whole file.
    """
    found = _RANGE.fullmatch(header)
    if found is None or not (found[1] or found[2]):
        return 0, size
    if not found[1]:
        last = min(int(found[2]), size)
        return (size - last, last) if last else None
    first, last = int(found[1]), min(int(found[2]) if found[2] else size - 1, size - 1)
    if found[2] and int(found[2]) < first:
        return 0, size
    return (first, last - first + 1) if first < size else None


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
