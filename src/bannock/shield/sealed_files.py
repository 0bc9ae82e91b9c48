"""Sealing the content of files as a stream, for storage that is written once: the layers of an image, for one.

What comes out is what a region has on its storage (``docs/formats/fspf.md``), each chunk in the slot of its number.
The records that a protection file needs for it are kept apart, so that a file is sealed once and can be put into many
protection files. Pure but for the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, Final

from bannock.errors import IntegrityError
from bannock.shield.format.records import (
    CHUNKS_PER_RECORD,
    Chunk,
    Inode,
    chunks_key,
    encode_chunk,
    inode_key,
)
from bannock.shield.format.seal import KEY_BYTES, NONCE_BYTES, TAG_BYTES, Authenticator, Sealer
from bannock.shield.regions import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.shield.format.seal import RandomBytes

__all__ = ["NUMBER_BITS", "FileSealing", "SealedFile", "random_number"]

#: Numbers of sealed files are random, so that files which were sealed apart fit into one protection file; that two of
#: a million are the same happens once in 10^5 times, and is seen.
NUMBER_BITS: Final = 56
#: Below are the numbers of directories and links.
_NUMBER_MIN: Final = 1 << 40
_RECORD_BYTES: Final = NONCE_BYTES + TAG_BYTES
#: How much is sealed at once.
_BATCH_BYTES: Final = 16 * CHUNK_BYTES


def random_number(random: RandomBytes) -> int:
    """Return a number for a file that is sealed apart from others."""
    return _NUMBER_MIN + int.from_bytes(random(8), "little") % ((1 << NUMBER_BITS) - _NUMBER_MIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFile:
    """What a protection file has to know of a sealed file; secret, since it has the key.

    Attributes:
        number: of its inode, which is authenticated with every chunk.
        size: of its content.
        key: the file's own.
        chunks: nonce and tag of each chunk.
        digest: SHA-256 of its content.
    """

    number: int
    size: int
    key: bytes
    chunks: bytes
    digest: bytes

    def __post_init__(self) -> None:
        expected = -(-self.size // CHUNK_BYTES) * _RECORD_BYTES
        if len(self.key) != KEY_BYTES or len(self.chunks) != expected or not 0 < self.number < 1 << 63:
            raise IntegrityError("the records of a sealed file are not whole")

    def __repr__(self) -> str:
        return f"SealedFile({self.number}, {self.size} bytes)"

    def entries(self, inode: Inode) -> Iterator[tuple[bytes, bytes]]:
        """Yield what the tree of a protection file has of it.

        Args:
            inode: with mode, owner, times and the path of the ciphertext; the rest is put in here.
        """
        inode.size, inode.key, inode.chunk_bytes = self.size, self.key, CHUNK_BYTES
        inode.slots = len(self.chunks) // _RECORD_BYTES
        yield inode_key(self.number), inode.encode()
        for group in range(-(-inode.slots // CHUNKS_PER_RECORD)):
            first = group * CHUNKS_PER_RECORD
            last = min(first + CHUNKS_PER_RECORD, inode.slots)
            yield chunks_key(self.number, group), b"".join(map(self._record, range(first, last)))

    def _record(self, index: int) -> bytes:
        record = self.chunks[index * _RECORD_BYTES : (index + 1) * _RECORD_BYTES]
        length = min(CHUNK_BYTES, self.size - index * CHUNK_BYTES)
        return encode_chunk(Chunk(length, index, record[:NONCE_BYTES], record[NONCE_BYTES:]))


class FileSealing:
    """One file being sealed: a stream of its ciphertext, as long as its content.

    Args:
        source: the content.
        size: how much of the source is read.
        random: where number, key and nonces come from.
        encrypted: whether the content is; else it is authenticated, and comes out as it went in.
    """

    def __init__(self, source: BinaryIO, size: int, random: RandomBytes, *, encrypted: bool = True) -> None:
        self._source = source
        self._size = self._left = size
        self._number = random_number(random)
        self._key = random(KEY_BYTES)
        self._sealer = (Sealer if encrypted else Authenticator)(self._key, random)
        self._chunks = bytearray()
        self._digest = sha256()
        self._index = 0
        self._buffer = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return the next part of the ciphertext, empty at its end.

        Raises:
            IntegrityError: the source ends too early.
        """
        if not self._buffer and self._left:
            self._buffer = self._seal()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return bytes(data)

    def sealed(self) -> SealedFile:
        """Return what to know of the file, once all of it was read."""
        if self._left or self._buffer:
            raise IntegrityError("a file is not sealed to its end")
        return SealedFile(
            number=self._number, size=self._size, key=self._key, chunks=bytes(self._chunks),
            digest=self._digest.digest(),
        )  # fmt: skip

    def _seal(self) -> memoryview:
        data = self._source.read(min(_BATCH_BYTES, self._left))
        if len(data) != min(_BATCH_BYTES, self._left):
            raise IntegrityError("a file ends before its end")
        self._left -= len(data)
        self._digest.update(data)
        sealed = memoryview(bytearray(len(data) + TAG_BYTES))
        plain = memoryview(data)
        for at in range(0, len(plain), CHUNK_BYTES):
            piece = plain[at : at + CHUNK_BYTES]
            context = self._number.to_bytes(8, "little") + self._index.to_bytes(8, "little")
            # The tag comes behind the ciphertext, where the next chunk's is put after it was noted.
            nonce, tag = self._sealer.seal_into(piece, context, sealed[at : at + len(piece) + TAG_BYTES])
            self._chunks += nonce + tag
            self._index += 1
        return sealed[: len(data)]
