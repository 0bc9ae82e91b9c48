"""Streams that are kept in parts: cut while they are written, put together while they are read.

A part is in memory as a whole, so it can be sent again, and is compared with its hash before a byte of it is given
out. Which parts there are says the index, which is a file beside them; its hash is in the parcel. Memory is bounded by
a few parts. A sender or a stream is for one thread; what they start themselves ends with them.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import BannockError, NotFoundError
from bannock.execution.transfer.index import Part, encode_index, fetch_part, index_of, keep_known, read_index
from bannock.execution.transfer.storage import PATIENT, Patience, retrying

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.execution.transfer.interface import Parcel
    from bannock.execution.transfer.storage import Store

__all__ = ["PartSender", "PartStream", "forget_parts"]

#: Parts that are on their way at the same time, besides the one that is being filled or read.
_WINDOW: Final = 2


class PartSender:
    """A stream on its way into a store (:class:`bannock.execution.transfer.interface.Sender`).

    Args:
        store: where to.
        kind: what a parcel says of the store, for whoever fetches.
        patience: for each part.
    """

    def __init__(self, store: Store, kind: Mapping[str, Any], *, patience: Patience = PATIENT) -> None:
        self._store = store
        self._kind = kind
        self._stopped = threading.Event()
        self._patience = patience.until(self._stopped)
        self._workers = ThreadPoolExecutor(_WINDOW, thread_name_prefix="bannock-send")
        self._waiting: deque[Future[Part]] = deque()
        self._parts: list[Part] = []
        self._number = 0
        self._wanted = store.part_bytes(0)
        self._buffer = bytearray(self._wanted)
        self._filled = 0
        self._spare: list[bytearray] = []
        self._finished = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes (:class:`bannock.execution.transfer.interface.Sender`)."""
        view = memoryview(data)
        while view:
            piece = view[: self._wanted - self._filled]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == self._wanted:
                self._send()

    def finish(self) -> Parcel:
        """Wait until all is there, and say where (:class:`bannock.execution.transfer.interface.Sender`)."""
        if self._filled:
            self._send()
        while self._waiting:
            self._parts.append(self._waiting.popleft().result())
        index = keep_known(self._store, "index", encode_index(self._parts), self._patience)
        self._finished = True
        return {**self._kind, "index": index, "size": sum(part.size for part in self._parts)}

    def _send(self) -> None:
        if len(self._waiting) >= _WINDOW:
            self._parts.append(self._waiting.popleft().result())
        self._waiting.append(self._workers.submit(self._put, f"{self._number:06d}", self._buffer, self._filled))
        self._number += 1
        self._wanted, self._filled = self._store.part_bytes(self._number), 0
        spare = self._spare.pop() if self._spare else b""
        # Memory that was used before costs less than new one.
        self._buffer = (
            spare if isinstance(spare, bytearray) and len(spare) == self._wanted else bytearray(self._wanted)
        )

    def _put(self, name: str, buffer: bytearray, size: int) -> Part:
        with memoryview(buffer)[:size] as data:
            sha256 = hashlib.sha256(data).hexdigest()
            stored = retrying(lambda: self._store.put(name, data), self._patience)
        self._spare.append(buffer)
        return Part(stored=stored, size=size, sha256=sha256)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._workers.shutdown(wait=True, cancel_futures=True)
        if not self._finished:
            sent = [future.result() for future in self._waiting if not future.cancelled() and not future.exception()]
            for part in (*self._parts, *sent):
                with suppress(BannockError):
                    self._store.delete(part.stored)


class PartStream:
    """A stream that comes out of a store (:class:`bannock.execution.transfer.interface.Incoming`).

    Args:
        store: where from.
        parcel: of a sender on this side, or on the other one; its references are the store's to judge.
        patience: for each part.

    Raises:
        NotFoundError, EnvironmentFault: as :meth:`Store.get`.
        IntegrityError: the index is not the one that was sent.
        PeerError: it is no index.
    """

    def __init__(self, store: Store, parcel: Parcel, *, patience: Patience = PATIENT) -> None:
        self._store = store
        self._stopped = threading.Event()
        self._patience = patience.until(self._stopped)
        self._parts = read_index(store, parcel, self._patience)
        self._workers = ThreadPoolExecutor(_WINDOW, thread_name_prefix="bannock-fetch")
        self._ahead: deque[Future[bytearray]] = deque()
        self._next = 0
        self._data = memoryview(b"")
        self.position = 0

    @property
    def size(self) -> int | None:
        """How many bytes there are in all."""
        return sum(part.size for part in self._parts)

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end.

        Raises:
            NotFoundError: a part is withheld.
            IntegrityError: a part is not what was sent.
            EnvironmentFault: the store cannot be reached.
        """
        if not self._data and size:
            self._data = memoryview(self._fetched())
        data, self._data = bytes(self._data[:size]), self._data[size:]
        self.position += len(data)
        return data

    def seek(self, position: int, /) -> None:
        """Go on at a byte of the stream (:class:`bannock.execution.transfer.interface.Incoming`)."""
        self._drop()
        begin = self._next = 0
        while self._next < len(self._parts) and begin + self._parts[self._next].size <= position:
            begin += self._parts[self._next].size
            self._next += 1
        self.position = begin
        while self.position < position and self.read(position - self.position):
            pass

    def _fetched(self) -> bytearray:
        while self._next < len(self._parts) and len(self._ahead) < _WINDOW:
            self._ahead.append(self._workers.submit(self._fetch, self._next))
            self._next += 1
        return self._ahead.popleft().result() if self._ahead else bytearray()

    def _fetch(self, number: int) -> bytearray:
        return fetch_part(self._store, self._parts[number], f"part {number + 1} of {len(self._parts)}", self._patience)

    def _drop(self) -> None:
        for future in self._ahead:
            future.cancel()
        self._ahead.clear()
        self._data = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._drop()
        self._workers.shutdown(wait=True, cancel_futures=True)


def forget_parts(store: Store, parcel: Parcel, *, patience: Patience = PATIENT) -> None:
    """Delete a stream; nothing happens where it is gone.

    Raises:
        BannockError: a part of it cannot be deleted, though others may be gone.
    """
    try:
        parts = read_index(store, parcel, patience)
    except NotFoundError:
        return
    for part in (*parts, index_of(parcel)):
        with suppress(NotFoundError):
            retrying(lambda part=part: store.delete(part.stored), patience)  # type: ignore[misc]
