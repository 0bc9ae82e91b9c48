"""Reading chunks: what is to be read is looked up first, then read and unsealed without the rest of the volume.

A plan may be run on any thread and while the volume changes; where a chunk has moved in between, it is refused as one
that was changed, and whoever made the plan tries once more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

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
        clean: chunks that were read lately.
        size: how much is read; what the plan does not fill is zeros.
    """

    __slots__ = ("_clean", "_ino", "_pieces", "_sealer", "_step", "data")

    def __init__(self, ino: int, sealer: Sealer, step: int, clean: CleanChunks, size: int) -> None:
        self._ino = ino
        self._sealer = sealer
        self._step = step
        self._clean = clean
        self._pieces: list[_Piece] = []
        self.data = bytearray(size)

    def fill(self, position: int, data: bytes | bytearray) -> None:
        """Put bytes that are known already."""
        self.data[position : position + len(data)] = data

    def add(
        self, index: int, chunk: Chunk, file: BackingFile, place: int, low: int, position: int, length: int
    ) -> None:
        """Have a part of a chunk read; at most ``length`` bytes from ``low``, to ``position``."""
        if low == 0 and chunk.length <= length:
            self._pieces.append(_Piece(index, chunk, file, place, 0, position, chunk.length))
        elif (plain := self._clean.get(chunk.nonce)) is not None:
            self.fill(position, plain[low : low + length])
        else:
            self._pieces.append(_Piece(index, chunk, file, place, low, position, length))

    def run(self) -> bytearray:
        """Read, unseal, and return the data.

        Raises:
            IntegrityError: a chunk is not what was written.
            OSError: the storage below fails.
        """
        view = memoryview(self.data)
        for piece in self._pieces:
            number, chunk, file, place, low, position, length = piece
            if low == 0 and chunk.length == length:
                into = view[position : position + length]
                _unseal(self._ino, self._sealer, self._step, file, place, number, chunk, into)
            else:
                plain = unseal_chunk(self._ino, self._sealer, self._step, file, place, number, chunk)
                self._clean.put(chunk.nonce, plain)
                self.fill(position, plain[low : low + length])
        return self.data


def unseal_chunk(
    ino: int, sealer: Sealer, step: int, file: BackingFile, place: int, index: int, chunk: Chunk
) -> bytes:
    """Return the plaintext of a chunk.

    Raises:
        IntegrityError, OSError: as :meth:`ReadPlan.run`.
    """
    buffer = bytearray(chunk.length)
    _unseal(ino, sealer, step, file, place, index, chunk, memoryview(buffer))
    return bytes(buffer)


def _unseal(
    ino: int, sealer: Sealer, step: int, file: BackingFile, place: int, index: int, chunk: Chunk, into: memoryview
) -> None:
    sealed = memoryview(bytearray(chunk.length + TAG_BYTES))
    try:
        if os.preadv(file.descriptor, [sealed[: chunk.length]], place * step) != chunk.length:
            raise IntegrityError("the ciphertext file was cut")
        sealed[chunk.length :] = chunk.tag
        context = ino.to_bytes(8, "little") + index.to_bytes(8, "little")
        sealer.unseal_into(chunk.nonce, sealed, context, into)
    except IntegrityError as error:
        first = index * step
        raise IntegrityError(f"bytes {first} to {first + chunk.length - 1} were changed") from error
