"""Blobs: bytes that have a digest, wherever they lie, and a directory for those that have to be kept for a while.

A blob is verified before the first byte of it is given out, so nobody ever acts on bytes that turn out to be others.
What lies in files is taken to stay as it is while the files are in use here. Not for several threads.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import stat
import tempfile
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, Self, cast

import zstandard

from bannock.errors import EnvironmentFault, InputError, IntegrityError
from bannock.images.digests import BLOCK, blocks, digest_of_stream, require_digest
from bannock.images.media import packing_by_magic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.images.media import Packing

__all__ = ["Blob", "FileBlob", "Scratch", "Slice", "gzipped", "unpacked", "unpacked_file"]

#: What a layer may unpack to: its disk use is bounded, and so is what a few bytes can make of it. Deflate reaches a
#: thousandfold; genuine layers above this size are packed to a hundredth at most.
_UNPACKED_BYTES_MAX: Final = 256 << 30
_FREE_BYTES: Final = 1 << 30
_RATIO_MAX: Final = 200
#: What every packer stays below unless it is told otherwise (``zstd --ultra --long=27``); it is held in memory.
_WINDOW_BYTES_MAX: Final = 128 << 20
_PREFIX: Final = "bannock-image-"
#: Large, so that packing each piece for itself costs nothing in size.
_PIECE_BYTES: Final = 4 << 20
_GZIP: Final = 16 + zlib.MAX_WBITS


class Blob(Protocol):
    """Bytes with a digest."""

    @property
    def digest(self) -> str:
        """``sha256:…``."""

    @property
    def size(self) -> int:
        """In bytes."""

    def open(self) -> BinaryIO:
        """Open the bytes, verified and seekable.

        Raises:
            IntegrityError: they are not what the digest says.
        """

    def part(self, offset: int, size: int) -> BinaryIO:
        """Open a part of them; as :meth:`open`."""


class Slice(io.RawIOBase):
    """A part of a file, as a file of its own that is read only."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        try:
            # What lies in the place of a file may be a pipe, which nobody ever writes to.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            os.close(self._descriptor)
            raise InputError(f"{path} is not a regular file")
        self._offset, self._size, self._position = offset, size, 0

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read from anywhere."""
        return True

    def fileno(self) -> int:
        """Refuse: the descriptor's position and end are not this file's."""
        raise io.UnsupportedOperation("fileno")

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, also behind the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what the buffering class gives
        """Read what comes next."""
        wanted = min(len(buffer), max(0, self._size - self._position))
        if not wanted:
            return 0
        found = os.preadv(self._descriptor, [memoryview(buffer)[:wanted]], self._offset + self._position)
        self._position += found
        return found

    def close(self) -> None:
        """Let go of the file."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class FileBlob:
    """A blob in a file, or in a part of one.

    Args:
        path: the file.
        digest: what the blob has to be.
        size: in bytes.
        offset: where in the file it begins.
        trusted: whether it was written, or verified, here.
    """

    def __init__(self, path: Path, *, digest: str, size: int, offset: int = 0, trusted: bool = False) -> None:
        self.path: Final = path
        self.digest: Final = digest
        self.size: Final = size
        self.offset: Final = offset
        self._verified = trusted

    def open(self) -> BinaryIO:
        """Open it; the first time, all of it is read and held against its digest.

        Raises:
            InputError: the file is not there or cannot be read.
            IntegrityError: it is shorter, or its bytes are others.
        """
        return self.part(0, self.size)

    def part(self, offset: int, size: int) -> BinaryIO:
        """Open a part of it; as :meth:`open`."""
        if not self._verified:
            with self._stream(0, self.size) as stream:
                found, length = digest_of_stream(stream)
            if length != self.size:
                raise IntegrityError(f"the blob {self.digest} in {self.path} has {length} bytes, expected {self.size}")
            require_digest(found, self.digest, f"the blob in {self.path}")
            self._verified = True
        return self._stream(offset, size)

    def _stream(self, offset: int, size: int) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(Slice(self.path, self.offset + offset, size), 64 << 10))


class Scratch:
    """A directory for blobs, with nothing in it once it is closed; a context manager.

    Args:
        parent: where it is made; None for the user's cache, which unlike ``/tmp`` is on a disk.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent
        self._directory: Path | None = None
        self._kept: dict[str, FileBlob] = {}
        self._open = ExitStack()

    @property
    def directory(self) -> Path:
        """The directory; made when it is asked for first.

        Raises:
            EnvironmentFault: it cannot be made.
        """
        if self._directory is None:
            try:
                self._directory = self._make()
            except OSError as error:
                raise EnvironmentFault(f"cannot make a directory for layers: {error.strerror}") from error
        return self._directory

    def _make(self) -> Path:
        """Make the directory, and remove those of others that ended before they could."""
        if self._parent is None:
            return Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._parent, fcntl.LOCK_EX):
            for path in self._parent.glob(f"{_PREFIX}*"):
                # Who uses one holds a lock on it, for as long as he lives.
                with suppress(BlockingIOError, FileNotFoundError), _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(path, ignore_errors=True)
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
            self._open.enter_context(_locked(made, fcntl.LOCK_EX))
        return made

    @contextmanager
    def file(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Open a new file for writing; it stays if it was written without an error.

        Raises:
            EnvironmentFault: the file system refuses, or is full.
        """
        path: Path | None = None
        try:
            descriptor, name = tempfile.mkstemp(dir=self.directory)
            path = Path(name)
            with os.fdopen(descriptor, "wb", BLOCK) as file:
                yield path, file
        except OSError as error:
            if path is not None:
                path.unlink(missing_ok=True)
            raise EnvironmentFault(
                f"cannot keep a layer in {self.directory}: {error.strerror}",
                hint="an image needs about twice its size there while it is converted",
            ) from error
        except BaseException:
            if path is not None:
                path.unlink(missing_ok=True)
            raise

    def kept(self, digest: str) -> FileBlob | None:
        """Return a blob that is here already."""
        return self._kept.get(digest)

    def keep(self, path: Path, digest: str, size: int) -> FileBlob:
        """Remember a file of this directory as a blob that needs no verification any more."""
        blob = FileBlob(path, digest=digest, size=size, trusted=True)
        return self._kept.setdefault(digest, blob)

    def close(self) -> None:
        """Remove all."""
        self._kept.clear()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
            self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def unpacked(blob: Blob, packing: Packing, diff_id: str, scratch: Scratch) -> Blob:
    """Return the tar of a layer as a blob of its own.

    Raises:
        IntegrityError: it is not what ``diff_id`` says, damaged, or far larger than layers are.
    """
    if packing == "tar":
        require_digest(blob.digest, diff_id, "a layer of the image")
        return blob
    kept = scratch.kept(diff_id)
    if kept is not None:
        return kept
    sha, size = sha256(), 0
    with blob.open() as stream, scratch.file() as (path, file):
        for block in _bounded(stream, packing, blob.size):
            size += len(block)
            sha.update(block)
            file.write(block)
        require_digest(f"sha256:{sha.hexdigest()}", diff_id, "a layer of the image, unpacked,")
    return scratch.keep(path, diff_id, size)


def unpacked_file(path: Path, scratch: Scratch) -> Path:
    """Return a file as it is, or unpacked if it is packed; nothing is known of what it has to be.

    Raises:
        InputError: it cannot be read.
        IntegrityError: it is damaged, or far larger than images are.
    """
    try:
        if not path.is_file():
            raise InputError(f"there is no file {path}")
        size = path.stat().st_size
        with path.open("rb") as stream:
            packing = packing_by_magic(stream.read(4))
            if packing == "tar":
                return path
            stream.seek(0)
            with scratch.file() as (plain, file):
                file.writelines(_bounded(stream, packing, size))
            return plain
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _bounded(stream: BinaryIO, packing: Packing, packed_size: int) -> Iterator[bytes]:
    limit = min(_UNPACKED_BYTES_MAX, max(_FREE_BYTES, packed_size * _RATIO_MAX))
    size = 0
    for block in _UNPACKERS[packing](stream):
        size += len(block)
        if size > limit:
            raise IntegrityError(
                f"{packed_size} bytes unpack to more than {limit} bytes, which is not taken for genuine"
            )
        yield block


def gzipped(blob: Blob, scratch: Scratch) -> Blob:
    """Return a blob packed with gzip; the same bytes for the same blob, however many cores pack it."""
    sha, size = sha256(), 0
    with blob.open() as stream, scratch.file() as (path, file):
        for packed in _packed(stream):
            sha.update(packed)
            size += len(packed)
            file.write(packed)
    return scratch.keep(path, f"sha256:{sha.hexdigest()}", size)


def _packed(stream: BinaryIO) -> Iterator[bytes]:
    """Pack pieces as gzip members that follow each other (RFC 1952, 2.2), on all cores, a few at a time in memory."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        under_way: deque[Future[bytes]] = deque()
        while piece := stream.read(_PIECE_BYTES):
            under_way.append(pool.submit(_member, piece))
            if len(under_way) > cores:
                yield under_way.popleft().result()
        for one in under_way:
            yield one.result()


def _member(piece: bytes) -> bytes:
    # Level 1: at the default level, packing a layer takes longer than all else that is done with it.
    machine = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    return machine.compress(piece) + machine.flush()


def _gunzipped(stream: BinaryIO) -> Iterator[bytes]:
    """Unpack one gzip member after the other (parallel packers write many), a bounded piece at a time."""
    machine, begun = zlib.decompressobj(_GZIP), False
    try:
        for block in blocks(stream):
            rest = block
            while rest:
                begun = True
                yield machine.decompress(rest, BLOCK)
                rest = machine.unconsumed_tail
                if machine.eof:
                    rest, begun = machine.unused_data, False
                    machine = zlib.decompressobj(_GZIP)
                elif not rest:
                    # All input is taken, but the last call may have stopped at its bound with output left.
                    while piece := machine.decompress(b"", BLOCK):
                        yield piece
    except zlib.error as error:
        raise IntegrityError(f"a layer of the image is not whole: {error}") from error
    if begun:
        raise IntegrityError("a layer of the image is cut short")


def _unzstd(stream: BinaryIO) -> Iterator[bytes]:
    """Unpack one frame after the other, in bounded memory."""
    machine = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX)
    try:
        with machine.stream_reader(stream, read_size=BLOCK, read_across_frames=True, closefd=False) as reader:
            yield from blocks(cast("BinaryIO", reader))
    except zstandard.ZstdError as error:
        raise IntegrityError(f"a layer of the image is not whole: {error}") from error


_UNPACKERS: Final = {"gzip": _gunzipped, "zstd": _unzstd}
