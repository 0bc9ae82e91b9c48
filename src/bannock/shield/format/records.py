"""What the tree of a protection file holds: the keys and values of inodes, names, chunks and lists.

Pure encoding. Every integer is little-endian in values and big-endian in keys, so that keys sort by number.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from bannock.errors import IntegrityError
from bannock.shield.format.seal import KEY_BYTES, NONCE_BYTES, TAG_BYTES
from bannock.shield.regions import CHUNK_BYTES

__all__ = [
    "CHUNKS_PER_RECORD",
    "CHUNK_RECORD_BYTES",
    "MAX_BACKING_BYTES",
    "NO_CHUNK",
    "ROOT",
    "SLOTS_PER_RECORD",
    "Chunk",
    "Inode",
    "Kind",
    "chunks_key",
    "decode_chunk",
    "decode_name",
    "decode_slots",
    "encode_chunk",
    "encode_name",
    "encode_slots",
    "garbage_key",
    "inode_key",
    "link_key",
    "name_key",
    "orphan_key",
    "range_of",
    "region_key",
    "short_backing",
    "slots_key",
    "split_key",
]

#: The number of the topmost directory of the first region, which is the only one that a volume has.
ROOT: Final = 1
#: The longest path of a ciphertext file; longer ones get a short name of their own.
MAX_BACKING_BYTES: Final = 900
CHUNKS_PER_RECORD: Final = 32
SLOTS_PER_RECORD: Final = 128


class Kind(IntEnum):
    """The second part of a key: what the entry is. The first is the inode that it belongs to, 0 for lists."""

    INODE = 1
    NAME = 2
    CHUNKS = 3
    SLOTS = 4
    LINK = 5
    ORPHAN = 6
    GARBAGE = 7
    REGION = 8


_INODE, _NAME, _CHUNKS, _SLOTS, _LINK, _ORPHAN, _GARBAGE, _REGION = Kind
_KEY: Final = struct.Struct(">QB")
_CHUNK: Final = struct.Struct(f"<IQ{NONCE_BYTES}s{TAG_BYTES}s")
_INODE_VALUE: Final = struct.Struct(f"<IIIIQqqqIQI{KEY_BYTES}sH")
_NAME_VALUE: Final = struct.Struct("<QI")
_MAX_LENGTH: Final = 16 << 20
#: With the longest chunks, a slot of this number ends where the longest file that a system can have does.
_MAX_SLOT: Final = 1 << 38
_MAX_SIZE: Final = (1 << 63) - 1


def inode_key(ino: int) -> bytes:
    """Return the key of an inode's own record."""
    return _KEY.pack(ino, _INODE)


def name_key(ino: int, name: bytes = b"") -> bytes:
    """Return the key of a name in a directory."""
    return _KEY.pack(ino, _NAME) + name


def chunks_key(ino: int, record: int) -> bytes:
    """Return the key of the ``record``-th group of chunks of a file."""
    return _KEY.pack(ino, _CHUNKS) + record.to_bytes(6, "big")


def slots_key(ino: int, record: int) -> bytes:
    """Return the key of the ``record``-th list of free slots of a file."""
    return _KEY.pack(ino, _SLOTS) + record.to_bytes(4, "big")


def link_key(ino: int, part: int) -> bytes:
    """Return the key of a part of a symbolic link's target."""
    return _KEY.pack(ino, _LINK) + bytes([part])


def orphan_key(root: int, ino: int = 0) -> bytes:
    """Return the key that says: this file has no name any more, and is gone when nobody has it open.

    ``root`` is the topmost directory of the region that the file is in.
    """
    return _KEY.pack(_lists_of(root), _ORPHAN) + ino.to_bytes(8, "big")


def garbage_key(root: int, number: int = 0) -> bytes:
    """Return the key of a ciphertext file that no state needs any more, in the region of a topmost directory."""
    return _KEY.pack(_lists_of(root), _GARBAGE) + number.to_bytes(8, "big")


def _lists_of(root: int) -> int:
    return 0 if root == ROOT else root


def region_key(path: bytes = b"") -> bytes:
    """Return the key of a region."""
    return _KEY.pack(0, _REGION) + path


def split_key(key: bytes) -> tuple[int, int, bytes]:
    """Return the inode's number, what the entry is (:class:`Kind`, or another number), and the rest.

    Raises:
        IntegrityError: it is too short.
    """
    if len(key) < _KEY.size:
        raise IntegrityError("a key of the tree is too short")
    ino, kind = _KEY.unpack_from(key)
    return ino, kind, key[_KEY.size :]


def range_of(key: bytes) -> tuple[bytes, bytes]:
    """Return start and end of all keys of the same inode and kind."""
    return key[: _KEY.size], key[: _KEY.size - 1] + bytes([key[_KEY.size - 1] + 1])


def short_backing(ino: int) -> bytes:
    """Return the path that takes the place of one which the storage could not bear."""
    return b".long/%x" % ino


class Chunk(NamedTuple):
    """Where a chunk is, and under what it is authentic.

    ``length`` is the plaintext's, 0 for a hole; ``slot`` counts chunk sizes from the start of the ciphertext file.
    """

    length: int
    slot: int
    nonce: bytes
    tag: bytes


NO_CHUNK: Final = Chunk(0, 0, bytes(NONCE_BYTES), bytes(TAG_BYTES))


def encode_chunk(chunk: Chunk) -> bytes:
    """Return a chunk's fixed-size record."""
    return _CHUNK.pack(*chunk)


def decode_chunk(record: bytes | bytearray, index: int) -> Chunk:
    """Return a chunk from a group of them; past the group's end is a hole.

    Raises:
        IntegrityError: the group does not consist of whole records, or a length is out of bounds.
    """
    if len(record) % _CHUNK.size:
        raise IntegrityError("a group of chunks ends inside of a record")
    if (index + 1) * _CHUNK.size > len(record):
        return NO_CHUNK
    chunk = Chunk(*_CHUNK.unpack_from(record, index * _CHUNK.size))
    if chunk.length > _MAX_LENGTH:
        raise IntegrityError(f"a chunk claims {chunk.length} bytes, {_MAX_LENGTH} are allowed")
    if chunk.slot > _MAX_SLOT:
        raise IntegrityError(f"a chunk claims slot {chunk.slot}, the last one is {_MAX_SLOT}")
    return chunk


CHUNK_RECORD_BYTES: Final = _CHUNK.size


@dataclass(slots=True)
class Inode:
    """A file, directory or symbolic link; mutable while a volume is open.

    Attributes:
        mode: type and permissions, as st_mode.
        links: how many names it has.
        size: bytes of a file, or of a link's target; 0 for a directory.
        modified, changed, accessed: nanoseconds since 1970.
        chunk_bytes: size of its chunks.
        slots: how many slots the ciphertext file has, free ones included.
        free_records: how many lists of free slots there are.
        key: the file's own AES-256 key; zeros where there is nothing to seal.
        backing: path of the ciphertext file (of a directory: where those of its files go), empty if there is none yet.
    """

    mode: int
    links: int = 1
    uid: int = 0
    gid: int = 0
    size: int = 0
    modified: int = 0
    changed: int = 0
    accessed: int = 0
    chunk_bytes: int = CHUNK_BYTES
    slots: int = 0
    free_records: int = 0
    key: bytes = bytes(KEY_BYTES)
    backing: bytes = b""

    def __repr__(self) -> str:
        return f"Inode(mode={self.mode:o}, size={self.size})"

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    def encode(self) -> bytes:
        """Return the record."""
        fixed = _INODE_VALUE.pack(
            self.mode, self.links, self.uid, self.gid, self.size, self.modified, self.changed, self.accessed,
            self.chunk_bytes, self.slots, self.free_records, self.key, len(self.backing),
        )  # fmt: skip
        return fixed + self.backing

    @classmethod
    def decode(cls, record: bytes) -> Inode:
        """Parse a record.

        Raises:
            IntegrityError: its length or a field is out of bounds.
        """
        if len(record) < _INODE_VALUE.size:
            raise IntegrityError("an inode's record is too short")
        fields = _INODE_VALUE.unpack_from(record)
        backing = record[_INODE_VALUE.size :]
        if len(backing) != fields[-1]:
            raise IntegrityError("an inode's record does not have the length that it says")
        inode = cls(*fields[:-1])
        inode.backing = backing
        if inode.size > _MAX_SIZE or inode.slots > _MAX_SLOT or b"\0" in backing:
            raise IntegrityError("an inode's size, slots or path are out of bounds")
        if not 0 < inode.chunk_bytes <= _MAX_LENGTH:
            raise IntegrityError(f"chunks of {inode.chunk_bytes} bytes are out of bounds")
        return inode


def encode_name(ino: int, mode: int) -> bytes:
    """Return the value of a name: which inode it is, and of what type."""
    return _NAME_VALUE.pack(ino, stat.S_IFMT(mode))


def decode_name(value: bytes) -> tuple[int, int]:
    """Return the inode's number and the type bits of its mode.

    Raises:
        IntegrityError: the value is of another length.
    """
    if len(value) != _NAME_VALUE.size:
        raise IntegrityError("a name's record is of the wrong length")
    ino, kind = _NAME_VALUE.unpack(value)
    return ino, kind


def encode_slots(slots: list[int]) -> bytes:
    """Return a list of free slots."""
    return struct.pack(f"<{len(slots)}Q", *slots)


def decode_slots(value: bytes) -> list[int]:
    """Parse a list of free slots.

    Raises:
        IntegrityError: it is of the wrong length, or a slot is out of bounds.
    """
    if len(value) % 8:
        raise IntegrityError("a list of slots is of the wrong length")
    slots = list(struct.unpack(f"<{len(value) // 8}Q", value))
    if max(slots, default=0) > _MAX_SLOT:
        raise IntegrityError("a list of slots names one that is out of bounds")
    return slots
