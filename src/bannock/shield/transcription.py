"""The files of a region of the original format: verified by its records, and written into a region of ours."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, InputError, IntegrityError
from bannock.shield.format.backing import Backing
from bannock.shield.format.records import MAX_BACKING_BYTES
from bannock.shield.original import unseal_chunk
from bannock.shield.protection import storage_faults
from bannock.shield.regions import Protection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.shield.original import OriginalFile, OriginalRegion
    from bannock.shield.regions import Region
    from bannock.shield.volume import Volume

__all__ = ["Part", "convert", "problems_of"]

#: How much is written between two intermediate states, which bounds the memory that changes take.
_FILES_PER_COMMIT: Final = 10_000
#: What the storage may say about a file. The old format records no modes, and set-uid bits are not for it to give.
_PERMISSIONS: Final = 0o777
_DIRECTORY: Final = stat.S_IFDIR | 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A region to be converted: from where its files are to where they go, None where they stay."""

    old: OriginalRegion
    new: Region
    source: Path | None
    output: Path | None

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.old.files)


def problems_of(part: Part, observer: Callable[[int], None]) -> Iterator[str]:
    """Verify every file of a region, and say what is wrong with those that are not as recorded."""
    if part.source is None:
        return
    names = {file.name for file in part.old.files}
    with _opened(part.source) as backing:
        for file in part.old.files:
            where = f"{part.new.path.rstrip('/')}/{file.name}"
            try:
                _require_keepable(file, names, part.new)
                for piece in _content(file, backing):
                    observer(len(piece))
            except BannockError as error:
                yield f"{where}: {error}"
            except OSError as error:
                yield f"{where}: {error.strerror}"


def _require_keepable(file: OriginalFile, names: set[str], region: Region) -> None:
    name = os.fsencode(file.name)
    if any(os.fsdecode(name[:at]) in names for at, byte in enumerate(name) if byte == ord("/")):
        raise IntegrityError("it is recorded below a file")
    if region.protection is Protection.AUTHENTICATED and len(name) > MAX_BACKING_BYTES:
        raise InputError(f"its path is longer than {MAX_BACKING_BYTES} bytes, and cannot be recorded")
    if file.encrypted is not (region.protection is Protection.ENCRYPTED):
        raise IntegrityError("it is protected in another way than its region")
    if file.link and file.encrypted:
        raise InputError("it is an encrypted symbolic link, and how these are kept is not known")


def _content(file: OriginalFile, backing: Backing) -> Iterator[bytes]:
    """Yield the verified content of a file, or the target of a link and the NUL behind it.

    Raises:
        IntegrityError: it is missing, or not what was recorded.
        OSError: it cannot be read.
    """
    name = os.fsencode(file.name)
    if file.link:
        text = backing.read_link(name) + b"\0"
        if len(text) != file.size:
            raise IntegrityError("its target is not what was recorded")
        for index in range(file.chunks):
            yield unseal_chunk(file, index, text[index * file.chunk_bytes : (index + 1) * file.chunk_bytes])
        return
    try:
        stored = backing.open(name)
    except IntegrityError as error:
        raise IntegrityError("it is missing, or no regular file") from error
    if (size := os.fstat(stored.descriptor).st_size) != file.size:
        raise IntegrityError(f"it has {size} bytes, and {file.size} were recorded")
    for index in range(file.chunks):
        offset = index * file.chunk_bytes
        yield unseal_chunk(file, index, stored.pread(min(file.chunk_bytes, file.size - offset), offset))


# -- what is written


def convert(part: Part, volume: Volume, observer: Callable[[int], None]) -> None:
    """Write every file of a region into ours, which is open and empty; verified once more.

    Raises:
        IntegrityError: a file was changed since it was verified.
        EnvironmentFault: the disk does not take it.
    """
    if part.source is None:
        return
    with _opened(part.source) as backing, storage_faults(f"cannot convert region {part.new.path}"):
        for number, file in enumerate(part.old.files, 1):
            try:
                _convert_file(file, backing, volume, observer)
            except IntegrityError as error:
                raise IntegrityError(f"{file.name} was changed while it was imported") from error
            if number % _FILES_PER_COMMIT == 0:
                volume.commit()


def _convert_file(file: OriginalFile, backing: Backing, volume: Volume, observer: Callable[[int], None]) -> None:
    *above, name = os.fsencode(file.name).split(b"/")
    parent = volume.root
    for part in above:
        try:
            parent = volume.names.lookup(parent, part)
        except FileNotFoundError:
            parent = volume.names.make(parent, part, _DIRECTORY)
    if file.link:
        target = b"".join(_content(file, backing))[:-1]
        volume.names.symlink(parent, name, target)
        return
    status = os.fstat(backing.open(os.fsencode(file.name)).descriptor)
    ino = volume.names.make(parent, name, stat.S_IFREG | status.st_mode & _PERMISSIONS)
    write = _Recorder(volume, ino, os.fsencode(file.name)) if volume.adopting else _Writer(volume, ino)
    for piece in _content(file, backing):
        write.put(piece)
        observer(len(piece))
    write.end()
    inode = volume.inodes.change(ino)
    inode.modified = inode.accessed = status.st_mtime_ns


class _Writer:
    """Encrypts what it is given."""

    def __init__(self, volume: Volume, ino: int) -> None:
        self._inodes = volume.inodes
        self._ino = ino
        self._offset = 0

    def put(self, data: bytes) -> None:
        self._inodes.write(self._ino, self._offset, data)
        self._offset += len(data)

    def end(self) -> None:
        """Nothing is left to do."""


class _Recorder:
    """Makes records of chunks of our size, of what stays where it is."""

    def __init__(self, volume: Volume, ino: int, path: bytes) -> None:
        self._content = volume.inodes.content(ino)
        inode = volume.inodes.change(ino)
        inode.backing = path
        self._step = inode.chunk_bytes
        self._buffer = bytearray()
        self._index = 0

    def put(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= self._step:
            self._record(self._step)

    def end(self) -> None:
        if self._buffer:
            self._record(len(self._buffer))

    def _record(self, size: int) -> None:
        self._content.adopt(self._index, bytes(self._buffer[:size]))
        del self._buffer[:size]
        self._index += 1


@contextmanager
def _opened(directory: Path) -> Iterator[Backing]:
    backing = Backing(directory, writable=False)
    try:
        yield backing
    finally:
        backing.close()
