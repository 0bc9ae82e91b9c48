"""The regions of a protected file system: which path is protected how, and where its files are.

Pure. A region is a path prefix; a file belongs to the region with the longest one. Each is of one of six classes:
{ephemeral, kernel} x {not-protected, authenticated, encrypted} (the public page SCONE_Fileshield).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError, IntegrityError
from bannock.policy.configuration import require_path

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CHUNK_BYTES", "KEY_SIZES", "Protection", "Region", "decode_region", "encode_region", "region_of"]

#: How much plaintext is sealed at once unless a region says otherwise.
CHUNK_BYTES: Final = 64 << 10
#: AES-128, AES-192 and AES-256.
KEY_SIZES: Final = (16, 24, 32)

_MIN_CHUNK: Final = 1 << 10
_MAX_CHUNK: Final = 16 << 20
#: Both are parts of one entry of the tree, which has to fit a page.
_MAX_PATH: Final = 255
_MAX_KERNEL: Final = 1024

_VALUE: Final = struct.Struct("<QBBIBH")
_KERNEL, _EPHEMERAL = 1, 2


class Protection(StrEnum):
    """What is done for the files of a region; what is encrypted is authenticated too."""

    NOT_PROTECTED = "not-protected"
    AUTHENTICATED = "authenticated"
    ENCRYPTED = "encrypted"


_PROTECTIONS: Final = tuple(Protection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One region.

    Attributes:
        path: where the application sees it, absolute and in its one plain spelling.
        protection: what is done for its files.
        kernel: the directory of the kernel's file system that holds its files; None for an ephemeral region; empty
            for a volume, whose files are beside the protection file.
        chunk_bytes: how much of a file is sealed at once, 1 KiB to 16 MiB.
        key_bytes: length of the files' keys: 16, 24 or 32.
    """

    path: str
    protection: Protection
    kernel: str | None
    chunk_bytes: int = CHUNK_BYTES
    key_bytes: int = 32

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            InputError: one is out of bounds.
        """
        require_path(self.path)
        if self.kernel:
            require_path(self.kernel)
        if len(self.path.encode()) > _MAX_PATH or len((self.kernel or "").encode()) > _MAX_KERNEL:
            raise InputError(
                f"the path of a region has at most {_MAX_PATH} bytes, and that of its directory {_MAX_KERNEL}"
            )
        if not _MIN_CHUNK <= self.chunk_bytes <= _MAX_CHUNK:
            raise InputError(f"chunks have {_MIN_CHUNK} to {_MAX_CHUNK} bytes, found {self.chunk_bytes}")
        if self.key_bytes not in KEY_SIZES:
            raise InputError(f"keys have 16, 24 or 32 bytes, found {self.key_bytes}")

    @property
    def protected(self) -> bool:
        """Whether its files are authenticated at least."""
        return self.protection is not Protection.NOT_PROTECTED

    @property
    def ephemeral(self) -> bool:
        """Whether its files are in memory, and gone when the application ends."""
        return self.kernel is None

    @property
    def kept(self) -> bool:
        """Whether its files are in the tree of the protection file."""
        return self.protected and not self.ephemeral


def region_of(regions: Iterable[Region], path: str) -> Region | None:
    """Return the region that a path belongs to: the one with the longest prefix, or None."""
    fitting = [region for region in regions if f"{path}/".startswith(f"{region.path.rstrip('/')}/")]
    return max(fitting, key=lambda region: len(region.path), default=None)


def encode_region(region: Region, root: int) -> bytes:
    """Return the record of a region; ``root`` is the inode of its topmost directory, 0 if the tree has none of it."""
    kernel = (region.kernel or "").encode()
    place = _EPHEMERAL if region.ephemeral else _KERNEL
    protection = _PROTECTIONS.index(region.protection) + 1
    fixed = _VALUE.pack(root, protection, place, region.chunk_bytes, region.key_bytes, len(kernel))
    return fixed + kernel


def decode_region(path: bytes, record: bytes) -> tuple[Region, int]:
    """Parse a record; return the region and the inode of its topmost directory.

    Raises:
        IntegrityError: its length or a field is out of bounds.
    """
    if len(record) < _VALUE.size:
        raise IntegrityError("a region's record is too short")
    root, protection, place, chunk_bytes, key_bytes, length = _VALUE.unpack_from(record)
    kernel = record[_VALUE.size :]
    if len(kernel) != length or place not in (_KERNEL, _EPHEMERAL) or not 1 <= protection <= len(_PROTECTIONS):
        raise IntegrityError("a region's record is malformed")
    try:
        region = Region(
            path=path.decode(), protection=_PROTECTIONS[protection - 1],
            kernel=None if place == _EPHEMERAL else kernel.decode(), chunk_bytes=chunk_bytes, key_bytes=key_bytes,
        )  # fmt: skip
    except (InputError, UnicodeDecodeError) as error:
        raise IntegrityError("a region's record is malformed") from error
    if region.kept != bool(root):
        raise IntegrityError(f"region {region.path} does not say where its files begin")
    return region, root
