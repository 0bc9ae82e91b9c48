"""Digests of the files in a tar while it arrives: what is written to a disk needs no second reading to be verified.

What is told holds for bytes of the tar, named by where they begin and how many they are. Who reads the tar later has
to ask for just those, so nothing depends on how this reads headers: what is read otherwise here gives no digest.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import IntegrityError
from bannock.images.tar import BLOCK_BYTES, content_size

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ArrivingDigests"]

#: How many blocks may wait to be hashed.
_WAITING_MAX: Final = 3


class ArrivingDigests:
    """Hashes beside whoever writes; a context manager."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._pool = self._open.enter_context(ThreadPoolExecutor(1))
        self._under_way: deque[Future[None]] = deque()
        self._digests: dict[tuple[int, int], str] = {}
        self._position = 0
        self._header = b""
        self._sha, self._begin, self._size = sha256(), 0, 0
        #: Bytes of a file, and then of its padding, that are still to come.
        self._left = self._padding = 0
        self._lost = False

    def feed(self, data: bytes) -> None:
        """Take what comes next."""
        self._under_way.append(self._pool.submit(self._take, data))
        if len(self._under_way) > _WAITING_MAX:
            self._under_way.popleft().result()

    def digests(self) -> Mapping[tuple[int, int], str]:
        """Return (begin, size) → digest, once all has come."""
        while self._under_way:
            self._under_way.popleft().result()
        return self._digests

    def _take(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self._lost:
            taken = self._step(view)
            self._position += taken
            view = view[taken:]

    def _step(self, view: memoryview) -> int:
        """Take a part of what is there, and return how much."""
        if self._left:
            part = view[: self._left]
            self._sha.update(part)
            self._left -= len(part)
            if not self._left:
                self._digests[self._begin, self._size] = f"sha256:{self._sha.hexdigest()}"
            return len(part)
        if self._padding:
            skipped = min(self._padding, len(view))
            self._padding -= skipped
            return skipped
        part = view[: BLOCK_BYTES - len(self._header)]
        self._header += part
        if len(self._header) == BLOCK_BYTES:
            self._begin_file(self._position + len(part))
        return len(part)

    def _begin_file(self, begin: int) -> None:
        header, self._header = self._header, b""
        try:
            self._size = content_size(header)
        except IntegrityError:
            self._lost = True
            return
        self._sha, self._begin, self._left = sha256(), begin, self._size
        self._padding = -self._size % BLOCK_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
