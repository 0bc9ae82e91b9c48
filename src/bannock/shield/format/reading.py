"""Reading chunks: what is to be read is looked up first, then read and unsealed without the rest of the volume.

A plan may be run on any thread and while the volume changes; where a chunk has moved in between, it is refused as one
that was changed, and whoever made the plan tries once more.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import IntegrityError
from bannock.shield.format.seal import TAG_BYTES

if TYPE_CHECKING:
    from bannock.shield.format.backing import BackingFile
    from bannock.shield.format.records import Chunk
    from bannock.shield.format.seal import Sealer
    from bannock.shield.format.storage import CleanChunks

__all__ = ["ReadPlan", "unseal_chunk"]


class _Piece(NamedTuple):
    """A part of a chunk, and where it goes."""

    number: int
    chunk: Chunk
    file: BackingFile
    place: int
    low: int
    position: int
    length: int


class ReadPlan:
    """What one read needs.

    Args:
        ino: number of the file.
        sealer: of the file's key.
        step: bytes of a chunk.
        clean: chunks that were read lately; None: none are kept.
        size: how much is read; what the plan does not fill is zeros.
    """

    __slots__ = ("_clean", "_ino", "_pieces", "_sealer", "_step", "data")

    def __init__(self, ino: int, sealer: Sealer, step: int, clean: CleanChunks | None, size: int) -> None:
        self._ino = ino
        self._sealer = sealer
        self._step = step
        self._clean = clean
        self._pieces: list[_Piece] = []
        self.data = bytearray(size)

    def fill(self, position: int, data: bytes | bytearray | memoryview) -> None:
        """Put bytes that are known already."""
        self.data[position : position + len(data)] = data

    def add(
        self, index: int, chunk: Chunk, file: BackingFile, place: int, low: int, position: int, length: int
    ) -> None:
        """Have a part of a chunk read; at most ``length`` bytes from ``low``, to ``position``."""
        if low == 0 and chunk.length <= length:
            self._pieces.append(_Piece(index, chunk, file, place, 0, position, chunk.length))
        elif self._clean is not None and (plain := self._clean.get(chunk.nonce)) is not None:
            self.fill(position, plain[low : low + length])
        else:
            self._pieces.append(_Piece(index, chunk, file, place, low, position, length))

    def run(self) -> bytearray:
        """Read, unseal, and return the data.

        Raises:
            IntegrityError: a chunk is not what was written.
            OSError: the storage below fails.
        """
        pieces, start = self._pieces, 0
        for end in range(1, len(pieces) + 1):
            if end == len(pieces) or not self._follows(pieces[end - 1], pieces[end]):
                self._run(pieces[start:end])
                start = end
        return self.data

    def _follows(self, one: _Piece, other: _Piece) -> bool:
        """Whether two pieces can be read at once."""
        return one.file is other.file and other.place == one.place + 1 and one.chunk.length == self._step

    def _run(self, pieces: list[_Piece]) -> None:
        """Read chunks that lie side by side, and unseal them."""
        first, last = pieces[0], pieces[-1]
        size = (len(pieces) - 1) * self._step + last.chunk.length
        sealed = _buffers.sealed_of(size + TAG_BYTES)
        found = os.preadv(first.file.descriptor, [sealed[:size]], first.place * self._step)
        # From the last to the first, since a chunk's tag is put where the next chunk's text begins.
        for piece in reversed(pieces):
            at = (piece.place - first.place) * self._step
            text = sealed[at : at + piece.chunk.length + TAG_BYTES]
            text[piece.chunk.length :] = piece.chunk.tag
            try:
                if at + piece.chunk.length > found:
                    raise IntegrityError("the ciphertext file was cut")
                self._unseal(piece, text)
            except IntegrityError as error:
                begin = piece.number * self._step
                raise IntegrityError(f"bytes {begin} to {begin + piece.chunk.length - 1} were changed") from error

    def _unseal(self, piece: _Piece, text: memoryview) -> None:
        context = self._ino.to_bytes(8, "little") + piece.number.to_bytes(8, "little")
        chunk, position = piece.chunk, piece.position
        if piece.low == 0 and chunk.length == piece.length:
            into = memoryview(self.data)[position : position + chunk.length]
            self._sealer.unseal_into(chunk.nonce, text, context, into)
            return
        plain = _buffers.plain_of(chunk.length)
        self._sealer.unseal_into(chunk.nonce, text, context, plain)
        if self._clean is not None:
            self._clean.put(chunk.nonce, plain)
        self.fill(position, plain[piece.low : piece.low + piece.length])


def unseal_chunk(
    ino: int, sealer: Sealer, step: int, file: BackingFile, place: int, number: int, chunk: Chunk
) -> bytearray:
    """Return the plaintext of one chunk, which is kept nowhere.

    Raises:
        IntegrityError, OSError: as :meth:`ReadPlan.run`.
    """
    plan = ReadPlan(ino, sealer, step, None, chunk.length)
    plan.add(number, chunk, file, place, 0, 0, chunk.length)
    return plan.run()


class _Buffers(threading.local):
    """Buffers of each thread, because to make one costs as much as to read into it; each lasts until the next call."""

    def __init__(self) -> None:
        self._sealed = bytearray(0)
        self._plain = bytearray(0)

    def sealed_of(self, size: int) -> memoryview:
        """Return a buffer for ciphertext."""
        if len(self._sealed) < size:
            self._sealed = bytearray(size)
        return memoryview(self._sealed)[:size]

    def plain_of(self, size: int) -> memoryview:
        """Return a buffer for the text of one chunk."""
        if len(self._plain) < size:
            self._plain = bytearray(size)
        return memoryview(self._plain)[:size]


_buffers: Final = _Buffers()
