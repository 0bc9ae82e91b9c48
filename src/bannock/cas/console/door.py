"""The door of the console: which requests are for it, what is asked of them, and what every answer says of itself.

An ASGI middleware that is there from the start and light; the pages are loaded when somebody asks for the first one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import parse_qs

from bannock.errors import BannockError
from bannock.net.peer import peer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from bannock.cas.service import Cas
    from bannock.net.peer import Peer

__all__ = ["PATH", "Answer", "Console", "Pages"]

_log = logging.getLogger(__name__)

PATH: Final = "/console"
_QUERY_BYTES_MAX: Final = 2048
_FIELDS_MAX: Final = 8
_METHODS: Final = frozenset({"GET", "HEAD"})

#: No script, no frame, no form, nothing from elsewhere, whatever a page were made to hold.
_POLICY: Final = (
    b"default-src 'none'; style-src 'self'; img-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a page comes to."""

    body: bytes
    status: int = 200
    media_type: str = "text/html; charset=utf-8"


class Pages(Protocol):
    """Makes pages; on a worker thread."""

    def page(self, path: str, query: Mapping[str, str], peer: Peer) -> Answer:
        """Make the page at a path below ``/console``.

        Raises:
            BannockError: there is none, or none for this client.
        """

    def refusal(self, error: BannockError | None, status: int, peer: Peer) -> Answer:
        """Make the page that says why there is none; None for a fault of ours, which is told to the log alone."""


class Console:
    """The ASGI middleware that answers for the console, and passes everything else on."""

    def __init__(self, app: ASGIApp, cas: Cas) -> None:
        self._app = app
        self._cas = cas
        self._pages: Pages | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == PATH or path.startswith(f"{PATH}/")):
            await self._app(scope, receive, send)
            return
        answer, more = await self._answer(scope, path)
        headers = [
            (b"content-type", answer.media_type.encode("ascii")),
            (b"content-length", str(len(answer.body)).encode("ascii")),
            *_HEADERS,
            *more,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, scope: Scope, path: str) -> tuple[Answer, list[tuple[bytes, bytes]]]:
        peer = peer_of(scope)
        if scope["method"] not in _METHODS:
            # The console changes nothing, so there is nothing to ask of it in another way.
            return await self._cas.work(self._refused, None, 405, peer), [(b"allow", b"GET, HEAD")]
        query = scope["query_string"]
        if len(query) > _QUERY_BYTES_MAX:
            return await self._cas.work(self._refused, None, 414, peer), []
        fields = parse_qs(query.decode("ascii", "replace"), max_num_fields=None)
        told = {name: values[0] for name, values in list(fields.items())[:_FIELDS_MAX]}
        return await self._cas.work(self._made, path.removeprefix(PATH), told, peer), []

    def _made(self, path: str, query: Mapping[str, str], peer: Peer) -> Answer:
        from bannock.net.problem import to_problem  # noqa: PLC0415

        try:
            return self._loaded().page(path, query, peer)
        except BannockError as error:
            status, _ = to_problem(error, request_id="-")
            if status >= 500:  # noqa: PLR2004
                _log.error("a page of the console cannot be made: %s", error)
                return self._refused(None, status, peer)
            return self._refused(error, status, peer)

    def _refused(self, error: BannockError | None, status: int, peer: Peer) -> Answer:
        return self._loaded().refusal(error, status, peer)

    def _loaded(self) -> Pages:
        pages = self._pages
        if pages is None:
            from bannock.cas.console.pages import ConsolePages  # noqa: PLC0415 - slow to import, and seldom asked for

            pages = self._pages = ConsolePages(self._cas)
        return pages
