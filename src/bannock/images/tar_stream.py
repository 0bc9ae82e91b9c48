"""A tar that is made while it is read, in bounded memory; its size is known before."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from bannock.images.digests import blocks
from bannock.images.tar import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Member", "TarStream"]

_END: Final = bytes(2 * BLOCK_BYTES)


class Member(NamedTuple):
    """A file of the tar.

    Attributes:
        name: at most 100 bytes, ASCII.
        size: of the content.
        open: gives the content.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]

    @classmethod
    def of(cls, name: str, data: bytes) -> Member:
        """A file of bytes that are in memory."""
        return cls(name, len(data), lambda: io.BytesIO(data))


class TarStream:
    """The tar; the same bytes for the same members.

    Args:
        members: in the order in which they come.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self.size: Final = len(_END) + sum(
            len(_header(member)) + member.size + -member.size % BLOCK_BYTES for member in members
        )

    def __iter__(self) -> Iterator[bytes]:
        for member in self._members:
            yield _header(member)
            with member.open() as stream:
                yield from blocks(stream, member.size)
            yield bytes(-member.size % BLOCK_BYTES)
        yield _END


def _header(member: Member) -> bytes:
    info = tarfile.TarInfo(member.name)
    info.size, info.mode, info.mtime = member.size, 0o644, 0
    # GNU's form has sizes above 8 GiB in the header itself.
    return info.tobuf(tarfile.GNU_FORMAT)
