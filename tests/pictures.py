"""Pictures in PNG, read without a library: 8 or 16 bits a channel, not interlaced, which is what programs write."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Picture"]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
#: Type of colours → how many channels there are.
_CHANNELS: Final = {0: 1, 2: 3, 4: 2, 6: 4}


@dataclass(frozen=True)
class Picture:
    """What a picture shows.

    Attributes:
        width, height: in pixels.
        channels: of a pixel.
        rows: the bytes of each row, the uppermost first; of 16 bits a channel the upper ones.
    """

    width: int
    height: int
    channels: int
    rows: tuple[bytes, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file."""
        data = path.read_bytes()
        assert data.startswith(_SIGNATURE), f"{path} is no PNG"
        parts = list(_parts(data))
        width, height, bits, colours, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
        assert bits in (8, 16), bits
        assert not interlaced
        channels, size = _CHANNELS[colours], bits // 8
        raw = zlib.decompress(b"".join(content for name, content in parts if name == b"IDAT"))
        step, length = channels * size, width * channels * size
        before, rows = bytes(length), []
        for start in range(0, height * (length + 1), length + 1):
            before = _unfiltered(raw[start], raw[start + 1 : start + 1 + length], before, step)
            rows.append(before[::size])
        return cls(width, height, channels, tuple(rows))

    def colours(self) -> set[bytes]:
        """Return which colours there are."""
        return {
            row[at : at + self.channels] for row in self.rows for at in range(0, len(row), self.channels)
        }  # fmt: skip

    def difference(self, other: Self) -> float:
        """Return by how much two pictures differ: the mean over all channels of all pixels, of 255."""
        assert (self.width, self.height, self.channels) == (other.width, other.height, other.channels)
        total = sum(
            abs(a - b) for mine, its in zip(self.rows, other.rows, strict=True) for a, b in zip(mine, its, strict=True)
        )
        return total / (self.width * self.height * self.channels)


def _parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        (check,) = struct.unpack_from(">I", data, at + 8 + length)
        assert check == zlib.crc32(name + content)
        yield name, content
        at += 12 + length


def _unfiltered(kind: int, row: bytes, above: bytes, step: int) -> bytes:
    """Undo what makes rows compress better (PNG, 9: left, above, their mean, or the nearest by Paeth)."""
    done = bytearray(row)
    for at in range(len(done)):
        left = done[at - step] if at >= step else 0
        corner = above[at - step] if at >= step else 0
        match kind:
            case 0:
                guess = 0
            case 1:
                guess = left
            case 2:
                guess = above[at]
            case 3:
                guess = (left + above[at]) // 2
            case _:
                guess = min((left, above[at], corner), key=lambda one: abs(left + above[at] - corner - one))
        done[at] = (done[at] + guess) & 255
    return bytes(done)
