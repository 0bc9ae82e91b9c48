"""A volume whose ciphertext comes from elsewhere file by file, and is opened while it comes: no copy of it is kept.

The protection file comes first, and is opened in the one state that is expected. Every chunk is authenticated before
it is written. Plaintext waits in a staging directory, under numbers, until all of the volume is there and holds; then
it is put where it belongs, by renaming. So what came before something went wrong has not to come again, and a volume
of which something was changed or withheld leaves nothing in the target. Not thread-safe.
"""

from __future__ import annotations

import os
from array import array
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import EnvironmentFault, IntegrityError
from bannock.files import sync_file_system
from bannock.shield.format.records import CHUNK_RECORD_BYTES, CHUNKS_PER_RECORD, chunks_key, decode_chunk, range_of
from bannock.shield.format.seal import TAG_BYTES
from bannock.shield.protection import storage_faults
from bannock.shield.unpack import Extracted, Unpacker
from bannock.shield.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.shield.format.records import Chunk, Inode
    from bannock.values import FspfKey, FspfTag

__all__ = ["ArrivingFile", "ArrivingVolume"]

_BATCH_BYTES: Final = 1 << 20
_PART: Final = ".part"
_NONE: Final = -1
#: With more files than this, one call for the whole file system is cheaper.
_EACH_FOR_ITSELF: Final = 64


def _ignore(_: int) -> None:
    pass


class ArrivingVolume:
    """A volume of which the protection file has come; a context manager.

    Args:
        staging: a directory of its own with the volume's protection file, on the file system of the target. What is
            there already of the files of this state is not asked for again.
        key: of the volume.
        tag: of the state that is expected.

    Raises:
        RollbackError, IntegrityError: the protection file is not in that state.
    """

    def __init__(self, staging: Path, key: FspfKey, tag: FspfTag) -> None:
        self._staging = staging
        self._volume = Volume.open(staging, key, tag, writable=False)
        try:
            self._others = dict(self._unusual())
            self._buffers: dict[int, tuple[memoryview, memoryview]] = {}
        except BaseException:
            self._volume.close()
            raise

    def begin(self, path: str, size: int, *, slots: int = 0) -> ArrivingFile | None:
        """Begin a ciphertext file; None if it is not needed: the state has none of that path, or it is here already.

        Args:
            path: where it is in the volume.
            size: how long it is.
            slots: how many slots of it are here already (:attr:`ArrivingFile.slots`).

        Raises:
            IntegrityError: it is longer than it can be.
        """
        if (ino := self._find(os.fsencode(path))) is None or self._is_here(ino):
            return None
        inode = self._volume.inodes.get(ino)
        if size > inode.slots * inode.chunk_bytes:
            raise IntegrityError(f"the file {path!r} of the volume is longer than it can be: {size} bytes")
        return ArrivingFile(self._volume, ino, self._whole(ino), path, slots, self._buffers_for(inode.chunk_bytes))

    def missing(self) -> list[str]:
        """Return which files did not come yet."""
        return [path for ino, path in self._needed() if not self._is_here(ino)]

    def place(self, target: Path) -> Extracted:
        """Put all of the volume into a directory, durably, and give up what is staged.

        A file that stands in the way is replaced; other files in the directory stay. Links are never followed.

        Raises:
            IntegrityError: a file did not come.
            InputError: a directory stands in the way of a file.
            EnvironmentFault: the disk does not take it.
        """
        if missing := self.missing():
            raise IntegrityError(
                f"{len(missing)} files of the volume did not come, the first is {missing[0]!r}",
                hint="they were withheld on the way; the run can be resumed",
            )
        try:
            few = list(islice(self._needed(), _EACH_FOR_ITSELF + 1))
            many = len(few) > _EACH_FOR_ITSELF
            for ino, _ in few if not many else ():
                _sync(self._whole(ino), os.fsync)
            extracted = _Placer(self._volume, self._whole).extract(target)
            for directory in {target, *(above for _, path in few if not many for above in (target / path).parents)}:
                if directory.is_relative_to(target):
                    _sync(directory, sync_file_system if many else os.fsync)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {error.filename or target}: {error.strerror}") from error
        return extracted

    def needed_bytes(self) -> int:
        """Return how many bytes of ciphertext the state needs at most."""
        return sum(inode.slots * inode.chunk_bytes for _, inode, _ in self._walk())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._volume.close()

    def _whole(self, ino: int) -> str:
        # Text, since a path of a library costs more than all that is done with it here.
        return f"{self._staging}/{ino:x}"

    def _buffers_for(self, step: int) -> tuple[memoryview, memoryview]:
        """Return memory for ciphertext and plaintext; files take turns, for making it costs more than using it."""
        if (buffers := self._buffers.get(step)) is None:
            size = max(_BATCH_BYTES // step, 1) * step
            buffers = memoryview(bytearray(size + TAG_BYTES)), memoryview(bytearray(size))
            self._buffers[step] = buffers
        return buffers

    def _is_here(self, ino: int) -> bool:
        # After a power cut a file may have its name and not all of its content.
        with suppress(FileNotFoundError):
            return os.lstat(self._whole(ino)).st_size == self._volume.inodes.get(ino).size
        return False

    def _walk(self) -> Iterator[tuple[int, Inode, bytes]]:
        """Yield the files that have ciphertext, with their names."""
        waiting = [(self._volume.root, b"")]
        while waiting:
            directory, above = waiting.pop()
            for entry in self._volume.names.entries(directory):
                path = above + b"/" + entry.name if above else entry.name
                inode = self._volume.inodes.get(entry.ino)
                if inode.is_directory:
                    waiting.append((entry.ino, path))
                elif inode.is_file and inode.slots:
                    yield entry.ino, inode, path

    def _needed(self) -> Iterator[tuple[int, str]]:
        return ((ino, os.fsdecode(path)) for ino, _, path in self._walk())

    def _unusual(self) -> Iterator[tuple[bytes, int]]:
        """Yield the files whose ciphertext is elsewhere than their names say."""
        return ((inode.backing, ino) for ino, inode, path in self._walk() if inode.backing != path)

    def _find(self, path: bytes) -> int | None:
        if (ino := self._others.get(path)) is not None:
            return ino
        ino = self._volume.root
        try:
            for name in path.split(b"/"):
                ino = self._volume.names.lookup(ino, name)
        except FileNotFoundError:
            return None
        inode = self._volume.inodes.get(ino)
        return ino if inode.is_file and inode.slots and inode.backing == path else None


class ArrivingFile:
    """One file while its ciphertext comes; use :meth:`ArrivingVolume.begin`.

    Attributes:
        slots: how many slots of it were opened, and are in the staging directory.
        step: bytes of a slot.
    """

    def __init__(
        self,
        volume: Volume,
        ino: int,
        whole: str,
        path: str,
        slots: int,
        buffers: tuple[memoryview, memoryview],
    ) -> None:
        self._records = _Records(volume, ino)
        self._ino = ino
        self._inode = inode = volume.inodes.get(ino)
        self._sealer = volume.storage.sealer(inode.key)
        self._whole = whole
        self._path = path
        self._part = whole + _PART
        self.step: Final = inode.chunk_bytes
        self._sealed, self._plain = buffers
        self._filled = 0
        self.slots = slots
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if slots else os.O_TRUNC)
        with storage_faults(f"cannot write {self._part}"):
            self._descriptor = os.open(self._part, flags, 0o600)

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the ciphertext.

        Raises:
            IntegrityError: a chunk is not what was written.
            EnvironmentFault: the disk does not take it.
        """
        view, room = memoryview(data), len(self._plain)
        while view:
            piece = view[: room - self._filled]
            self._sealed[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == room:
                self._open()

    def duplicate(self) -> int:
        """Return a descriptor of its own of the plaintext, by which it can be made durable."""
        return os.dup(self._descriptor)

    def finish(self) -> None:
        """Learn that this was all.

        Raises:
            IntegrityError: something of the file did not come.
            EnvironmentFault: the disk does not take it.
        """
        self._open()
        if self.slots < self._records.slots:
            raise self._damaged("it was cut")
        with storage_faults(f"cannot write {self._part}"):
            os.ftruncate(self._descriptor, self._inode.size)
            os.fchmod(self._descriptor, 0o600)
            os.rename(self._part, self._whole)  # noqa: PTH104 # as these are text

    def close(self) -> None:
        """Close it, finished or not."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        """Unseal the slots that have come, and put them where they belong."""
        step, filled = self._inode.chunk_bytes, self._filled
        count = -(-filled // step)
        found = [self._records.at(self.slots + place) for place in range(count)]
        # From the last to the first, since a chunk's tag is put where the next slot begins.
        for place in reversed(range(count)):
            index, chunk = found[place]
            if index == _NONE:
                continue
            at = place * step
            if at + chunk.length > filled:
                raise self._damaged("it was cut")
            text = self._sealed[at : at + chunk.length + TAG_BYTES]
            text[chunk.length :] = chunk.tag
            context = self._ino.to_bytes(8, "little") + index.to_bytes(8, "little")
            try:
                self._sealer.unseal_into(chunk.nonce, text, context, self._plain[at : at + chunk.length])
            except IntegrityError as error:
                begin = index * step
                raise self._damaged(f"bytes {begin} to {begin + chunk.length - 1} were changed") from error
        with storage_faults(f"cannot write {self._part}"):
            self._put(found)
        self.slots += count
        self._filled = 0

    def _put(self, found: list[tuple[int, Chunk]]) -> None:
        """Write what lies side by side at once."""
        step, start = self._inode.chunk_bytes, 0
        for end in range(1, len(found) + 1):
            (last, chunk) = found[end - 1]
            if end < len(found) and last != _NONE and found[end][0] == last + 1 and chunk.length == step:
                continue
            if found[start][0] != _NONE:
                view = self._plain[start * step : (end - 1) * step + chunk.length]
                offset = found[start][0] * step
                while view:
                    written = os.pwrite(self._descriptor, view, offset)
                    view, offset = view[written:], offset + written
            start = end

    def _damaged(self, how: str) -> IntegrityError:
        return IntegrityError(f"the file {self._path!r} of the volume is not what was written: {how}")


class _Records:
    """Which chunk is in which slot of a file; almost always the one of the same number.

    Attributes:
        slots: how many slots have to come.
    """

    def __init__(self, volume: Volume, ino: int) -> None:
        self._tree = volume.tree
        self._ino = ino
        self._group: tuple[int, bytes] = (_NONE, b"")
        self._index_of: array[int] | None = None
        self.slots = 0
        usual = True
        for index, chunk in self._chunks():
            usual = usual and chunk.slot == index
            self.slots = max(self.slots, chunk.slot + 1)
        if not usual:
            self._index_of = array("q", [_NONE]) * self.slots
            for index, chunk in self._chunks():
                self._index_of[chunk.slot] = index

    def at(self, slot: int) -> tuple[int, Chunk]:
        """Return number and record of the chunk in a slot; the number is -1 where there is none."""
        index = slot
        if self._index_of is not None:
            index = self._index_of[slot] if slot < len(self._index_of) else _NONE
        chunk = self._chunk(max(index, 0))
        return (index if index != _NONE and chunk.length and chunk.slot == slot else _NONE), chunk

    def _chunk(self, index: int) -> Chunk:
        number, position = divmod(index, CHUNKS_PER_RECORD)
        if self._group[0] != number:
            self._group = number, self._tree.get(chunks_key(self._ino, number)) or b""
        return decode_chunk(self._group[1], position)

    def _chunks(self) -> Iterator[tuple[int, Chunk]]:
        for key, record in self._tree.walk(*range_of(chunks_key(self._ino, 0))):
            first = int.from_bytes(key[-6:], "big") * CHUNKS_PER_RECORD
            for position in range(len(record) // CHUNK_RECORD_BYTES):
                if (chunk := decode_chunk(record, position)).length:
                    yield first + position, chunk


def _sync(path: Path | str, how: Callable[[int], None]) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        how(descriptor)
    finally:
        os.close(descriptor)


class _Placer(Unpacker):
    """Puts files where they belong that were opened before."""

    def __init__(self, volume: Volume, whole: Callable[[int], str]) -> None:
        super().__init__(volume, _ignore)
        self._whole = whole

    def write(self, ino: int, inode: Inode, path: Path) -> None:
        """Put a file at a path at which nothing is."""
        if inode.slots:
            os.rename(self._whole(ino), path)  # noqa: PTH104 # as one of these is text
            return
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.truncate(inode.size)
