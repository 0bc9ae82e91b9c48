"""The protection files of SCONE itself, format version 1: read, verified, never written.

The format has no public specification; ``docs/formats/original.md`` says what was found in published files, and what
was not. A small decoder of our own reads the body: five message types, every length bounded, and no dependency that a
schema compiler would bring along. Not thread-safe, keeps everything in memory but the contents of files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bannock.errors import InputError, IntegrityError, RollbackError
from bannock.files import read_bounded
from bannock.shield.regions import KEY_SIZES, Protection
from bannock.values import FspfTag, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.values import FspfKey

__all__ = ["Original", "OriginalFile", "OriginalRegion", "is_original", "open_original", "unseal_chunk"]

_HEADER_BYTES: Final = 128
#: The runtime of SCONE writes 0 where its tool writes the length of the header.
_PREFIXES: Final = (b"\x01\x00\x80\x00", b"\x01\x00\x00\x00")
_NONCE: Final = slice(0x30, 0x3C)
_COUNTER: Final = (slice(0x3C, 0x40), b"\0\0\0\1")
_TAG: Final = slice(0x40, 0x50)
_LENGTH: Final = slice(0x50, 0x58)
#: Records of 200 GiB in chunks of the usual size.
_MAX_BODY: Final = 1 << 30
_MAX_REGIONS: Final = 4096
_MAX_TEXT: Final = 4095
_MAX_CHUNK: Final = 16 << 20
_MAX_VARINT_BITS: Final = 63
_KEYS: Final = KEY_SIZES
_CHUNK_NONCE_BYTES: Final = 4
_RECORD_BYTES: Final = 20
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_PROTECTIONS: Final = {1: Protection.NOT_PROTECTED, 2: Protection.AUTHENTICATED, 3: Protection.ENCRYPTED}

_Value: TypeAlias = int | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalFile:
    """One protected file or symbolic link.

    Attributes:
        name: path below its region.
        size: bytes on the disk, which are as many as in clear; of a link, its target's and one for the NUL behind it.
        encrypted: whether what is on the disk is ciphertext.
        link: whether it is a symbolic link.
        chunk_bytes: how much is sealed at once.
        key: the file's own key.
        records: nonce and tag of each chunk.
    """

    name: str
    size: int
    encrypted: bool
    link: bool
    chunk_bytes: int
    key: Secret
    records: bytes = field(repr=False)

    @property
    def chunks(self) -> int:
        """How many chunks it has."""
        return len(self.records) // _RECORD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalRegion:
    """One region; ``kernel`` is None for one that is ephemeral. In a volume its path is ``.``."""

    path: str
    protection: Protection
    kernel: str | None
    key_bytes: int
    chunk_bytes: int
    files: tuple[OriginalFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A protection file.

    Attributes:
        tag: the tag of its state.
        sealed: whether the body is encrypted; if it is not, nothing vouches for it.
        regions: in the order of the file; None if it is sealed and no key was given.
        unknown: fields that this reader does not know, as ``region.9``.
    """

    tag: FspfTag
    sealed: bool
    regions: tuple[OriginalRegion, ...] | None
    unknown: tuple[str, ...] = ()

    @property
    def is_volume(self) -> bool:
        """Whether it is the ``volume.fspf`` of a volume."""
        return self.regions is not None and [region.path for region in self.regions] == ["."]


def is_original(path: Path) -> bool:
    """Whether a file begins as those of the original format do; False also for one that cannot be read."""
    try:
        with path.open("rb") as file:
            beginning = file.read(_HEADER_BYTES)
    except OSError:
        return False
    place, counter = _COUNTER
    return len(beginning) == _HEADER_BYTES and beginning[:4] in _PREFIXES and beginning[place] == counter


def open_original(path: Path, key: FspfKey | None = None, tag: FspfTag | None = None) -> Original:
    """Read and authenticate a protection file; without its key only the tag can be had of a sealed one.

    Raises:
        InputError: it cannot be read, or is not of this format.
        RollbackError: it is in another state than ``tag``.
        IntegrityError: it is not authentic under the key, or not what the format allows.
    """
    data = read_bounded(path, _HEADER_BYTES + _MAX_BODY)
    if data[:4] not in _PREFIXES or len(data) < _HEADER_BYTES or any(data[0x58:_HEADER_BYTES]):
        raise InputError(f"{path} is not a protection file of the original format, version 1")
    found, body = FspfTag(data[_TAG]), data[_HEADER_BYTES:]
    if int.from_bytes(data[_LENGTH], "little") != len(body):
        raise IntegrityError(f"{path} was cut or extended: its body has another length than its header says")
    if tag is not None and tag != found:
        raise RollbackError(f"{path} is in state {found}, expected state {tag}")
    if key is None:
        return _without_key(found, body)
    try:
        plain = AESGCM(key.reveal()).decrypt(data[_NONCE], body + found.value, None)
    except InvalidTag:
        raise IntegrityError(
            f"{path} is not authentic under this key", hint="the key is another file's, or the file was changed"
        ) from None
    unknown: set[str] = set()
    try:
        regions = _decode_body(plain, unknown)
    except IntegrityError as error:
        raise IntegrityError(f"{path} is authentic, but not of a form that is known") from error
    return Original(tag=found, sealed=True, regions=regions, unknown=tuple(sorted(unknown)))


def _without_key(tag: FspfTag, body: bytes) -> Original:
    unknown: set[str] = set()
    try:
        regions = _decode_body(body, unknown)
    except IntegrityError:
        return Original(tag=tag, sealed=True, regions=None)
    # What looks like a body by chance would have fields that nobody knows.
    sealed = bool(unknown)
    return Original(tag=tag, sealed=sealed, regions=None if sealed else regions)


def unseal_chunk(file: OriginalFile, index: int, stored: bytes) -> bytes:
    """Return the content of a chunk, given what is on the disk (of a link: its target and a NUL).

    Raises:
        IntegrityError: it is not what the file's record says.
    """
    record = file.records[index * _RECORD_BYTES : (index + 1) * _RECORD_BYTES]
    nonce = index.to_bytes(8, "little") + record[:_CHUNK_NONCE_BYTES]
    tag, cipher = record[_CHUNK_NONCE_BYTES:], AESGCM(file.key.reveal())
    try:
        if file.encrypted:
            return cipher.decrypt(nonce, stored + tag, None)
        cipher.decrypt(nonce, tag, stored)
    except InvalidTag:
        first = index * file.chunk_bytes
        last = min(first + file.chunk_bytes, file.size) - 1
        raise IntegrityError(f"bytes {first} to {last} are not what was recorded") from None
    return stored


# -- the body


def _decode_body(body: bytes, unknown: set[str]) -> tuple[OriginalRegion, ...]:
    regions = []
    for number, value in _fields(body):
        if number != 1:
            unknown.add(f"file.{number}")
            continue
        regions.append(_decode_region(_bytes(value, "a region"), unknown))
        if len(regions) > _MAX_REGIONS:
            raise IntegrityError(f"there are more than {_MAX_REGIONS} regions")
    if len({region.path for region in regions}) != len(regions):
        raise IntegrityError("two regions have the same path")
    return tuple(regions)


def _decode_region(data: bytes, unknown: set[str]) -> OriginalRegion:
    files, single = [], []
    for number, value in _fields(data):
        if number == 7:  # noqa: PLR2004 - the number of a field
            files.append(_decode_file(_bytes(value, "a file"), unknown))
        else:
            single.append((number, value))
    known = _once(single, {2, 3, 4, 5, 6}, "region", unknown)
    protection = _PROTECTIONS.get(_int(known.get(3), "a protection"))
    if protection is None:
        raise IntegrityError("a region is protected in a way that is not known")
    if len({file.name for file in files}) != len(files):
        raise IntegrityError("two files of a region have the same name")
    return OriginalRegion(
        path=_text(known.get(6), "a region's path"),
        protection=protection,
        kernel=_decode_place(_bytes(known.get(2, b""), "a region's place"), unknown),
        key_bytes=_one_of(known.get(4), _KEYS, "a length of keys"),
        chunk_bytes=_chunk_bytes(known.get(5)),
        files=tuple(files),
    )


def _decode_place(data: bytes, unknown: set[str]) -> str | None:
    """Return the directory of a kernel region; anything else counts as ephemeral, of which no file was published."""
    known = _once(_fields(data), {1}, "place", unknown)
    return _text(known[1], "a kernel path") if 1 in known else None


def _decode_file(data: bytes, unknown: set[str]) -> OriginalFile:
    known = _once(_fields(data), {1, 2, 3, 4, 5, 6, 7}, "entry", unknown)
    name, size = _text(known.get(1), "a name"), _int(known.get(2, 0), "a size")
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise IntegrityError(f"{name!r} is in the place of a name")
    chunk_bytes, key = _chunk_bytes(known.get(5)), _bytes(known.get(4), "a file's key")
    records = _bytes(known.get(6, b""), "the records of chunks")
    _one_of(len(key), _KEYS, "a length of keys")
    if len(records) != -(-size // chunk_bytes) * _RECORD_BYTES:
        raise IntegrityError(f"{name!r} of {size} bytes has not one record for each of its chunks")
    return OriginalFile(
        name=name,
        size=size,
        encrypted=bool(_one_of(known.get(3, 0), (0, 1), "the kind of protection")),
        link=bool(_one_of(known.get(7, 0), (0, 1), "the kind of a file")),
        chunk_bytes=chunk_bytes,
        key=Secret(key),
        records=records,
    )


def _fields(data: bytes) -> Iterator[tuple[int, _Value]]:
    """Yield the fields of a protobuf message: number and value (the wire format's specification, proto3)."""
    at = 0
    while at < len(data):
        head, at = _varint(data, at)
        number, wire = head >> 3, head & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in _FIXED:
            length = _FIXED[wire]
        else:
            raise IntegrityError(f"a field is of the unknown type {wire}")
        if length > len(data) - at:
            raise IntegrityError("a field reaches over the end")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says: more follows
            return value, at
        shift += 7
        if shift > _MAX_VARINT_BITS:
            break
    raise IntegrityError("a number does not end")


def _once(
    fields: Iterator[tuple[int, _Value]] | list[tuple[int, _Value]], wanted: set[int], what: str, unknown: set[str]
) -> dict[int, _Value]:
    known: dict[int, _Value] = {}
    for number, value in fields:
        if number not in wanted:
            unknown.add(f"{what}.{number}")
        elif number in known:
            raise IntegrityError(f"field {number} of a {what} is there twice")
        else:
            known[number] = value
    return known


def _int(value: _Value | None, what: str) -> int:
    if not isinstance(value, int) or value.bit_length() > _MAX_VARINT_BITS:
        raise IntegrityError(f"{what} is missing or out of bounds")
    return value


def _one_of(value: _Value | None, allowed: tuple[int, ...], what: str) -> int:
    if (number := _int(value, what)) not in allowed:
        raise IntegrityError(f"{what} is {number}, known are {', '.join(map(str, allowed))}")
    return number


def _chunk_bytes(value: _Value | None) -> int:
    if not 0 < (size := _int(value, "a size of chunks")) <= _MAX_CHUNK:
        raise IntegrityError(f"chunks of {size} bytes are out of bounds")
    return size


def _bytes(value: _Value | None, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise IntegrityError(f"{what} is missing or no bytes")
    return value


def _text(value: _Value | None, what: str) -> str:
    data = _bytes(value, what)
    if not 0 < len(data) <= _MAX_TEXT or b"\0" in data:
        raise IntegrityError(f"{what} is empty or out of bounds")
    return os.fsdecode(data)
