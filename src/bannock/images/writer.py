"""Writing a layer: the same entries in the same order give the same bytes, whenever and wherever that is.

What belongs into the layer, and in which order, is the caller's to say.
"""

from __future__ import annotations

import io
import tarfile
from contextlib import ExitStack
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from bannock.errors import InputError
from bannock.images.digests import blocks
from bannock.images.media import LAYER_TAR
from bannock.images.model import Layer
from bannock.images.tar import BLOCK_BYTES, normal_path

if TYPE_CHECKING:
    from types import TracebackType

    from bannock.images.blobs import Scratch
    from bannock.images.tar import Entry

__all__ = ["LayerWriter"]

_END: Final = bytes(2 * BLOCK_BYTES)


class LayerWriter:
    """A layer in the making; a context manager, which throws away what was not finished.

    Args:
        scratch: where the layer is written.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._open = ExitStack()
        self._path, self._file = self._open.enter_context(scratch.file())
        self._sha, self._size = sha256(), 0
        #: Raw bytes that are still to be copied: entries that follow each other are copied at once.
        self._pending: tuple[Layer, int, int] | None = None

    def copy(self, layer: Layer, entry: Entry) -> None:
        """Add an entry of another layer as it is, with its headers and content."""
        if self._pending is not None and self._pending[0] is layer and self._pending[2] == entry.start:
            self._pending = (layer, self._pending[1], entry.end)
            return
        self._flush()
        self._pending = (layer, entry.start, entry.end)

    def file(
        self,
        path: str,
        content: bytes | BinaryIO,
        size: int | None = None,
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        """Add a file.

        Args:
            path: where, from the root of the image.
            content: its bytes, or a stream of them.
            size: how many; needed for a stream.
            mode: permission bits.
            uid: owner.
            gid: group.

        Raises:
            InputError: a stream came without its size.
            IntegrityError: the stream ends before.
        """
        if isinstance(content, bytes):
            size, content = len(content), io.BytesIO(content)
        if size is None:
            raise InputError(f"the size of {path} has to be known before it is written")
        self._header(path, tarfile.REGTYPE, mode=mode, uid=uid, gid=gid, size=size)
        for block in blocks(content, size):
            self._write(block)
        self._write(bytes(-size % BLOCK_BYTES))

    def directory(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Add a directory."""
        self._header(path, tarfile.DIRTYPE, mode=mode, uid=uid, gid=gid)

    def symlink(self, path: str, target: str, *, uid: int = 0, gid: int = 0) -> None:
        """Add a symbolic link."""
        self._header(path, tarfile.SYMTYPE, mode=0o777, link=target, uid=uid, gid=gid)

    def hardlink(self, path: str, target: str) -> None:
        """Add a hard link to a file that was added before."""
        self._header(path, tarfile.LNKTYPE, link=normal_path(target))

    def whiteout(self, path: str) -> None:
        """Take away what lower layers have at a path."""
        parent, _, name = normal_path(path).rpartition("/")
        self._header(f"{parent}/.wh.{name}", tarfile.REGTYPE)

    def finish(self) -> Layer:
        """Write the end, and give the layer."""
        self._flush()
        self._write(_END)
        self._open.close()
        blob = self._scratch.keep(self._path, f"sha256:{self._sha.hexdigest()}", self._size)
        return Layer(blob, media_type=LAYER_TAR, diff_id=blob.digest, scratch=self._scratch)

    def _header(
        self, path: str, kind: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0, size: int = 0, link: str = ""
    ) -> None:
        self._flush()
        info = tarfile.TarInfo(normal_path(path))
        info.type, info.mode, info.size, info.linkname = kind, mode, size, link
        info.uid, info.gid, info.mtime = uid, gid, 0
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _flush(self) -> None:
        if self._pending is None:
            return
        layer, start, end = self._pending
        self._pending = None
        with layer.tar().part(start, end - start) as stream:
            for block in blocks(stream, end - start):
                self._write(block)

    def _write(self, data: bytes) -> None:
        self._sha.update(data)
        self._size += len(data)
        self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
        else:
            self._open.close()
