"""A small ASGI application that tells what reached it, and a server around it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from bannock.net.address import Address
from bannock.net.peer import peer_of
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from bannock.net.tls import Identity

_PIECE = 1 << 18


class Echo:
    """Answers with the length of the body and who the peer is, or with as many bytes as the query asks for."""

    def __init__(self) -> None:
        self.disconnects = 0

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        query = parse_qs(scope["query_string"].decode())
        received = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            received += len(message.get("body", b""))
            more = message.get("more_body", False)
        await asyncio.sleep(float(query.get("sleep", ["0"])[0]))
        size = int(query.get("size", ["0"])[0])
        peer = peer_of(scope)
        peer.state["requests"] = requests = int(str(peer.state.get("requests", 0))) + 1
        peer.idle_seconds = float(query.get("idle", [str(peer.idle_seconds)])[0])
        document = {
            "received": received,
            "requests": requests,
            "process": peer.process,
            "key_hash": None if peer.key_hash is None else str(peer.key_hash),
            "exporter": None if peer.exporter is None else peer.exporter.hex(),
        }
        body = json.dumps(document).encode()
        await send(
            {
                "type": "http.response.start",
                "status": int(query.get("status", ["200"])[0]),
                "headers": [(b"content-length", str(size or len(body)).encode())],
            }
        )
        if size:
            for start in range(0, size, _PIECE):
                piece = b"\xa5" * min(_PIECE, size - start)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            body = b""
        await send({"type": "http.response.body", "body": body})


def server(app: Echo, identity: Identity | None, handshake_seconds: float = 10.0) -> ThreadedServer:
    """Serve the application on loopback, on a port that the kernel chooses."""
    sock = bind_tcp(Address("127.0.0.1", 0))
    return ThreadedServer(Endpoint(app=app, sock=sock, identity=identity, handshake_seconds=handshake_seconds))
