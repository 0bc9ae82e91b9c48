"""Writing a layer: the same entries in the same order give the same bytes, whenever and wherever that is.

What belongs into the layer, and in which order, is the caller's to say.
"""

from __future__ import annotations

import io
import tarfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from bannock.errors import InputError
from bannock.images.digests import blocks
from bannock.images.media import LAYER_TAR
from bannock.images.model import Layer
from bannock.images.tar import BLOCK_BYTES, Entry, normal_path

if TYPE_CHECKING:
    from types import TracebackType

    from bannock.images.blobs import Scratch

__all__ = ["HashedOutput", "LayerWriter", "header"]

_END: Final = bytes(2 * BLOCK_BYTES)
#: How much is hashed and written at once, and how many of those may wait: a layer takes a few megabytes of memory.
_BATCH_BYTES: Final = 1 << 20
_WAITING_MAX: Final = 3
#: What the fields of a plain header can have.
_NAME_MAX: Final = 100
_OWNER_END: Final = 8**7
_SIZE_END: Final = 8**11
_EMPTY: Final = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)
_MARK: Final = ".wh."


class LayerWriter:
    """A layer in the making; a context manager, which throws away what was not finished.

    Args:
        scratch: where the layer is written.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._open = ExitStack()
        self._path, file = self._open.enter_context(scratch.file())
        self._output = HashedOutput(file, self._open.enter_context(ThreadPoolExecutor(1)))
        #: What is in the layer, as a reader would list it; None where that is left to a reader.
        self._entries: list[Entry] | None = []
        #: Raw bytes that are still to be copied: entries that follow each other are copied at once.
        self._pending: tuple[Layer, int, int] | None = None

    def copy(self, layer: Layer, entry: Entry) -> None:
        """Add an entry of another layer as it is, with its headers and content."""
        if self._entries is not None:
            ahead = 0 if self._pending is None else self._pending[2] - self._pending[1]
            by = self._output.size + ahead - entry.start
            moved = entry._replace(start=entry.start + by, data=entry.data + by, end=entry.end + by)
            self._entries.append(moved)
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
        self._flush()
        name, start = normal_path(path), self._output.size
        self._output.write(header(name, tarfile.REGTYPE, mode=mode, uid=uid, gid=gid, size=size))
        data = self._output.size
        for block in blocks(content, size):
            self._output.write(block)
        self._output.write(bytes(-size % BLOCK_BYTES))
        if _MARK in name:
            self._entries = None
        elif self._entries is not None:
            end = self._output.size
            self._entries.append(
                Entry(name, "file", mode & 0o7777, uid, gid, size, "", start, data, end, sparse=False, modified=0)
            )

    def directory(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Add a directory."""
        self._other(path, tarfile.DIRTYPE, mode=mode, uid=uid, gid=gid)

    def symlink(self, path: str, target: str, *, uid: int = 0, gid: int = 0) -> None:
        """Add a symbolic link."""
        self._other(path, tarfile.SYMTYPE, mode=0o777, link=target, uid=uid, gid=gid)

    def hardlink(self, path: str, target: str) -> None:
        """Add a hard link to a file that was added before."""
        self._other(path, tarfile.LNKTYPE, link=normal_path(target))

    def whiteout(self, path: str) -> None:
        """Take away what lower layers have at a path."""
        parent, _, name = normal_path(path).rpartition("/")
        self._other(f"{parent}/{_MARK}{name}", tarfile.REGTYPE)

    def finish(self) -> Layer:
        """Write the end, and give the layer."""
        self._flush()
        self._output.write(_END)
        digest = self._output.finish()
        self._open.close()
        blob = self._scratch.keep(self._path, digest, self._output.size)
        return Layer(blob, media_type=LAYER_TAR, diff_id=blob.digest, scratch=self._scratch, entries=self._entries)

    def _other(self, path: str, kind: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0, link: str = "") -> None:
        """Add what has no content."""
        self._flush()
        self._output.write(header(normal_path(path), kind, mode=mode, uid=uid, gid=gid, link=link))
        self._entries = None

    def _flush(self) -> None:
        if self._pending is None:
            return
        layer, start, end = self._pending
        self._pending = None
        with layer.tar().part(start, end - start) as stream:
            for block in blocks(stream, end - start):
                self._output.write(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
        else:
            self._open.close()


class HashedOutput:
    """A file that is written and hashed beside what makes it: both leave the interpreter to others meanwhile."""

    def __init__(self, file: BinaryIO, pool: ThreadPoolExecutor) -> None:
        self._file, self._pool = file, pool
        self._sha = sha256()
        self._pieces: list[bytes] = []
        self._held = 0
        self._under_way: deque[Future[None]] = deque()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take what comes next."""
        self._pieces.append(data)
        self._held += len(data)
        self.size += len(data)
        if self._held >= _BATCH_BYTES:
            self._hand_over()

    def finish(self) -> str:
        """Wait until all is written, and return its digest."""
        self._hand_over()
        for each in self._under_way:
            each.result()
        return f"sha256:{self._sha.hexdigest()}"

    def _hand_over(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        self._under_way.append(self._pool.submit(self._put, data))
        if len(self._under_way) > _WAITING_MAX:
            self._under_way.popleft().result()

    def _put(self, data: bytes) -> None:
        self._sha.update(data)
        self._file.write(data)


def header(name: str, kind: bytes, *, mode: int, uid: int = 0, gid: int = 0, size: int = 0, link: str = "") -> bytes:
    """Give the header of an entry without times; the same as the library's, which takes ten times as long."""
    if (
        kind == tarfile.REGTYPE
        and name.isascii()
        and len(name) <= _NAME_MAX
        and 0 <= uid < _OWNER_END
        and 0 <= gid < _OWNER_END
        and size < _SIZE_END
    ):
        header = bytearray(_EMPTY)
        header[: len(name)] = name.encode()
        header[100:136] = b"%07o\0%07o\0%07o\0%011o\0" % (mode & 0o7777, uid, gid, size)
        # Eight blanks stand for the sum while it is made.
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header)
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname = kind, mode, size, link
    info.uid, info.gid, info.mtime = uid, gid, 0
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
