"""Streams that are kept in parts: cut while they are written, put together while they are read.

A part is in memory as a whole, so it can be sent again, and is compared with its hash before a byte of it is given
out. Which parts there are says the index, which is a file beside them; its hash is in the parcel. Memory is bounded by
a few parts. A sender or a stream is for one thread; what they start themselves ends with them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from bannock.errors import BannockError, EnvironmentFault, IntegrityError, NotFoundError, PeerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bannock.execution.transfer.interface import Parcel

__all__ = [
    "MIB",
    "PartSender",
    "PartStream",
    "Patience",
    "Store",
    "Stored",
    "fetch_known",
    "forget_parts",
    "keep_known",
    "retrying",
]

MIB: Final = 1 << 20
#: Parts that are on their way at the same time, besides the one that is being filled or read.
_WINDOW: Final = 2
_PART_BYTES_MAX: Final = 256 * MIB
_INDEX_BYTES_MAX: Final = 64 * MIB
_PARTS_MAX: Final = 1 << 20
_REFERENCE_CHARACTERS_MAX: Final = 8192
_VERSION: Final = 1
#: A part that comes changed may have been damaged by chance; nobody changes it only thrice by chance.
_FETCHES: Final = 3
_HASH_CHARACTERS: Final = 64

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that a store has.

    Attributes:
        reference: what it is fetched by.
        deletion: what it is deleted by, if that is something else.
    """

    reference: str
    deletion: str | None = None


class Store(Protocol):
    """Keeps files of one run; safe to use from several threads."""

    @property
    def name(self) -> str:
        """What people call it; without credentials."""
        ...

    def part_bytes(self, number: int) -> int:
        """Return how large a part is to be."""
        ...

    def put(self, name: str, data: bytes | memoryview) -> Stored:
        """Keep a file.

        Raises:
            EnvironmentFault: not now; trying again may help.
            BannockError: not at all.
        """
        ...

    def get(self, reference: str, limit: int) -> bytearray:
        """Fetch a file; of one that is longer than the limit, no more than one byte beyond that.

        Raises:
            NotFoundError: it is not there.
            PeerError: the reference leads elsewhere.
            EnvironmentFault: not now; trying again may help.
        """
        ...

    def delete(self, stored: Stored) -> None:
        """Delete a file; nothing happens where it is gone, or where the store cannot delete."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: how often in all.
        first: seconds before the second attempt; each further time is twice as long.
        longest: seconds between two attempts at most.
        sleep: waits.
    """

    attempts: int = 8
    first: float = 0.5
    longest: float = 15.0
    sleep: Callable[[float], None] = time.sleep

    def waits(self) -> Iterator[float]:
        """Yield how long to wait after each attempt but the last."""
        for attempt in range(self.attempts - 1):
            yield min(self.first * 2**attempt, self.longest)


_PATIENT: Final = Patience()


def retrying(action: Callable[[], _Result], patience: Patience) -> _Result:
    """Do something until it does not fail for a reason that may pass.

    Raises:
        BannockError: as the action, the last time.
    """
    for wait in patience.waits():
        try:
            return action()
        except EnvironmentFault:
            patience.sleep(wait)
    return action()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    stored: Stored
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        kept: dict[str, Any] = {"at": self.stored.reference, "size": self.size, "sha256": self.sha256}
        return kept | ({"deletion": self.stored.deletion} if self.stored.deletion is not None else {})

    @classmethod
    def from_json(cls, value: Any) -> _Part:
        if not isinstance(value, dict):
            raise _not_an_index()
        size, sha256 = value.get("size"), value.get("sha256")
        if type(size) is not int or not 0 < size <= _PART_BYTES_MAX:
            raise _not_an_index()
        if not isinstance(sha256, str) or len(sha256) != _HASH_CHARACTERS or not sha256.isascii():
            raise _not_an_index()
        return cls(stored=_stored(value), size=size, sha256=sha256)


class PartSender:
    """A stream on its way into a store (:class:`bannock.execution.transfer.interface.Sender`).

    Args:
        store: where to.
        kind: what a parcel says of the store, for whoever fetches.
        patience: for each part.
    """

    def __init__(self, store: Store, kind: Mapping[str, Any], *, patience: Patience = _PATIENT) -> None:
        self._store = store
        self._kind = kind
        self._patience = patience
        self._workers = ThreadPoolExecutor(_WINDOW, thread_name_prefix="bannock-send")
        self._waiting: deque[Future[_Part]] = deque()
        self._parts: list[_Part] = []
        self._number = 0
        self._buffer = bytearray()
        self._wanted = store.part_bytes(0)
        self._finished = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes (:class:`bannock.execution.transfer.interface.Sender`)."""
        view = memoryview(data)
        while view:
            room = self._wanted - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == self._wanted:
                self._send()

    def finish(self) -> Parcel:
        """Wait until all is there, and say where (:class:`bannock.execution.transfer.interface.Sender`)."""
        if self._buffer:
            self._send()
        while self._waiting:
            self._parts.append(self._waiting.popleft().result())
        size = sum(part.size for part in self._parts)
        index = {"version": _VERSION, "size": size, "parts": [part.to_json() for part in self._parts]}
        data = json.dumps(index, separators=(",", ":")).encode()
        index_at = keep_known(self._store, "index", data, self._patience)
        self._finished = True
        return {**self._kind, "index": index_at, "size": size}

    def _send(self) -> None:
        if len(self._waiting) >= _WINDOW:
            self._parts.append(self._waiting.popleft().result())
        data, name = self._buffer, f"{self._number:06d}"
        self._waiting.append(self._workers.submit(self._put, name, data))
        self._number += 1
        self._buffer, self._wanted = bytearray(), self._store.part_bytes(self._number)

    def _put(self, name: str, data: bytearray) -> _Part:
        sha256 = hashlib.sha256(data).hexdigest()
        stored = retrying(lambda: self._store.put(name, memoryview(data)), self._patience)
        return _Part(stored=stored, size=len(data), sha256=sha256)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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

    def __init__(self, store: Store, parcel: Parcel, *, patience: Patience = _PATIENT) -> None:
        self._store = store
        self._patience = patience
        self._parts = _read_index(store, parcel, patience)
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
        return _fetch(self._store, self._parts[number], f"part {number + 1} of {len(self._parts)}", self._patience)

    def _drop(self) -> None:
        for future in self._ahead:
            future.cancel()
        self._ahead.clear()
        self._data = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()
        self._workers.shutdown(wait=True, cancel_futures=True)


def keep_known(store: Store, name: str, data: bytes, patience: Patience) -> dict[str, Any]:
    """Put a file into a store, and return what is to be known of it to fetch it, as JSON.

    Raises:
        BannockError: as :meth:`Store.put`.
    """
    stored = retrying(lambda: store.put(name, data), patience)
    return _Part(stored=stored, size=len(data), sha256=hashlib.sha256(data).hexdigest()).to_json()


def fetch_known(store: Store, known: Any, what: str, patience: Patience) -> bytearray:
    """Fetch what :func:`keep_known` put there.

    Raises:
        IntegrityError: it is something else.
        BannockError: as :meth:`Store.get`.
    """
    return _fetch(store, _Part.from_json(known), what, patience)


def forget_parts(store: Store, parcel: Parcel, *, patience: Patience = _PATIENT) -> None:
    """Delete a stream; nothing happens where it is gone.

    Raises:
        BannockError: a part of it cannot be deleted, though others may be gone.
    """
    try:
        parts = _read_index(store, parcel, patience)
    except NotFoundError:
        return
    index = _Part.from_json(parcel.get("index"))
    for part in (*parts, index):
        with suppress(NotFoundError):
            retrying(lambda part=part: store.delete(part.stored), patience)  # type: ignore[misc]


def _read_index(store: Store, parcel: Parcel, patience: Patience) -> list[_Part]:
    index = _Part.from_json(parcel.get("index"))
    if index.size > _INDEX_BYTES_MAX:
        raise _not_an_index()
    data = _fetch(store, index, "the index", patience)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _not_an_index() from None
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise _not_an_index()
    found = document.get("parts")
    if not isinstance(found, list) or len(found) > _PARTS_MAX:
        raise _not_an_index()
    return [_Part.from_json(value) for value in found]


def _fetch(store: Store, part: _Part, what: str, patience: Patience) -> bytearray:
    """Fetch a file that is known by its size and its hash."""
    for _ in range(_FETCHES):
        data = retrying(lambda: store.get(part.stored.reference, part.size), patience)
        if len(data) == part.size and hmac.compare_digest(hashlib.sha256(data).hexdigest(), part.sha256):
            return data
    cut = f", {len(data)} bytes in place of {part.size}" if len(data) < part.size else ""
    cut = f", more than the {part.size} bytes that were sent" if len(data) > part.size else cut
    raise IntegrityError(
        f"{what} of the volume is not what was sent: the transfer service at {store.name} changed it, or gave "
        f"something else for it{cut}",
        hint="start the run again, with another transfer service",
    )


def _stored(value: Mapping[str, Any]) -> Stored:
    reference, deletion = value.get("at"), value.get("deletion")
    for text in (reference, deletion):
        if text is not None and (not isinstance(text, str) or len(text) > _REFERENCE_CHARACTERS_MAX):
            raise _not_an_index()
    if not reference:
        raise _not_an_index()
    return Stored(reference=reference, deletion=deletion)


def _not_an_index() -> PeerError:
    return PeerError("what should say where the parts of a volume are does not")
