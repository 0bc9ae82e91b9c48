"""A network that can be cut: services reach their CAS through it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, TypeVar

from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Proxy"]

_LOOPBACK: Final = "127.0.0.1"
_READ_BYTES: Final = 1 << 16
_SECONDS: Final = 10.0

Done = TypeVar("Done")


class Proxy:
    """Passes bytes on, in a thread of its own; a context manager.

    Args:
        target: to which every connection leads.
    """

    def __init__(self, target: Address) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._away = False

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._connected, _LOOPBACK, 0))
        self.address = Address(_LOOPBACK, self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> int:
        """End every connection in the middle of whatever it is used for; say how many there were."""
        return self._do(self._cut())

    def leave(self, *, away: bool) -> None:
        """Have nobody reach the target, or let them again."""
        self._away = away
        if away:
            self.cut()

    def _do(self, work: Coroutine[object, object, Done]) -> Done:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    async def _cut(self) -> int:
        count = len(self._open) // 2
        for writer in list(self._open):
            writer.transport.abort()
        return count

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=_SECONDS / 2)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._away:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(self._target.host, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, back}
        self._open |= ends
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, RuntimeError):
            while data := await reader.read(_READ_BYTES):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
