"""Write one layer of an image: a tar archive that is the same whenever and wherever it is made from the same files.

Sorted names, no times, no owners; the compression has no time in it either (RFC 1952, MTIME 0).
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from bannock.errors import EnvironmentFault
from bannock.files import atomic_writer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["BuiltLayer", "Part", "write_layer"]

#: A level of 6 makes a layer 3 % smaller, and takes twice as long.
_LEVEL: Final = 4
_GZIP: Final = 16 + zlib.MAX_WBITS
_DIRECTORY_MODE: Final = 0o755


class Part(NamedTuple):
    """A file of a layer: its path without a slash in front, its bytes, its mode."""

    name: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltLayer:
    """A layer as a file.

    Attributes:
        path: where it is.
        digest, size: of the file, which is compressed.
        diff_id, unpacked: digest and size of the tar archive in it (OCI image specification, ``rootfs``).
    """

    path: Path
    digest: str
    size: int
    diff_id: str
    unpacked: int


def write_layer(target: Path, parts: Iterable[Part]) -> BuiltLayer:
    """Write a layer with the directories that its files are in.

    Raises:
        EnvironmentFault: the file system refuses.
    """
    ordered = sorted(parts)
    with atomic_writer(target, mode=0o644) as file:
        packed = _Packed(file)
        made: set[str] = set()
        for part in ordered:
            for directory in _above(part.name):
                if directory not in made:
                    made.add(directory)
                    packed.write(_header(directory, tarfile.DIRTYPE, _DIRECTORY_MODE))
            packed.write(_header(part.name, tarfile.REGTYPE, part.mode, len(part.content)))
            packed.write(part.content)
            packed.write(bytes(-len(part.content) % tarfile.BLOCKSIZE))
        packed.finish()
    return packed.layer(target)


class _Packed:
    """Compresses what is written, and keeps both digests."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._outer, self._inner = hashlib.sha256(), hashlib.sha256()
        self._outer_size = self._inner_size = 0

    def write(self, data: bytes) -> None:
        """Take a part of the archive."""
        self._inner.update(data)
        self._inner_size += len(data)
        self._put(self._deflate.compress(data))

    def finish(self) -> None:
        """Write the end of the archive."""
        self.write(bytes(2 * tarfile.BLOCKSIZE))
        self._put(self._deflate.flush())

    def layer(self, path: Path) -> BuiltLayer:
        """Say what was written."""
        return BuiltLayer(
            path=path,
            digest=f"sha256:{self._outer.hexdigest()}",
            size=self._outer_size,
            diff_id=f"sha256:{self._inner.hexdigest()}",
            unpacked=self._inner_size,
        )

    def _put(self, data: bytes) -> None:
        self._outer.update(data)
        self._outer_size += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise EnvironmentFault(f"cannot write the layer: {error.strerror}") from error


def _above(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: index + 1]) for index in range(len(parts))]


def _header(name: str, kind: bytes, mode: int, size: int = 0) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.mtime = kind, mode, size, 0
    return entry.tobuf(tarfile.PAX_FORMAT)
