"""The encoding of protocol buffers, as far as this protocol uses it: varints and fields with a length. Pure.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import PeerError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fields", "number_field", "text_field", "text_of"]

_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH: Final = 2
_FIXED32: Final = 5
_FIXED_BYTES: Final = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES_MAX: Final = 10
_SEVEN_BITS: Final = 0x7F
#: A request names devices of one container; more than this is none.
_MESSAGE_BYTES_MAX: Final = 1 << 22


def text_field(number: int, value: str | bytes) -> bytes:
    """Encode a field of text or of another message."""
    data = value.encode("utf-8") if isinstance(value, str) else value
    return _varint(number << 3 | _LENGTH) + _varint(len(data)) + data


def number_field(number: int, value: int) -> bytes:
    """Encode a field of a number or a truth value; as the language has it, the default is left out."""
    return _varint(number << 3 | _VARINT) + _varint(value) if value else b""


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message that have a length; those of other kinds are passed over, as unknown ones are.

    Raises:
        PeerError: it is no message.
    """
    if len(data) > _MESSAGE_BYTES_MAX:
        raise PeerError(f"a message has {len(data)} bytes, expected {_MESSAGE_BYTES_MAX} at most")
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _read_varint(data, at)
            continue
        if kind == _LENGTH:
            length, at = _read_varint(data, at)
        elif kind in _FIXED_BYTES:
            length = _FIXED_BYTES[kind]
        else:
            raise PeerError(f"a message has a field of the kind {kind}, which there is not")
        if at + length > len(data):
            raise PeerError("a message ends within a field")
        if kind == _LENGTH:
            yield key >> 3, data[at : at + length]
        at += length


def text_of(data: bytes) -> str:
    """Decode text.

    Raises:
        PeerError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise PeerError("a message has a text that is not UTF-8") from None


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > _SEVEN_BITS:
        out.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(_VARINT_BYTES_MAX):
        if at + count >= len(data):
            break
        byte = data[at + count]
        value |= (byte & _SEVEN_BITS) << (7 * count)
        if not byte & 0x80:
            return value, at + count + 1
    raise PeerError("a message ends within a number, or has one that is too long")
