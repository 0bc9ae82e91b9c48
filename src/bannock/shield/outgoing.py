"""A directory tree into a volume that is passed on while it is sealed, so that there is no second copy of it.

Ciphertext comes first, the protection file last, since that has the tags of all. A file is read once and sealed under
a key of its own, which is new each time: what is sealed once more after something went wrong, perhaps with another
content, never meets the keys and nonces of the first time. On this machine stays the protection file alone, until the
volume is whole.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import Bug, InputError
from bannock.shield.format.backing import Backing, BackingFile, Pending
from bannock.shield.pack import Packer
from bannock.shield.protection import Opening, ProtectionFile, storage_faults
from bannock.shield.regions import CHUNK_BYTES, Protection, Region
from bannock.shield.scan import scan
from bannock.shield.volume import PROTECTION_FILE, add_region

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.shield.format.seal import RandomBytes
    from bannock.shield.volume import Volume
    from bannock.values import FspfKey, FspfTag

__all__ = ["Outlet", "pass_on"]

_READ_BYTES: Final = 1 << 20
#: Between two states of the protection file, which bounds the memory that records of chunks take.
_BYTES_PER_COMMIT: Final = 1 << 30
#: Where ciphertext goes in the volume. Its names say nothing of the files' own (docs/formats/fspf.md).
_DIRECTORY: Final = b".long"


class Outlet(Protocol):
    """Takes the files of a volume, one after the other."""

    def directory(self, path: str) -> None:
        """Take a directory, which is empty so far."""
        ...

    def file(self, path: str, size: int) -> None:
        """Take a file; its content follows."""
        ...

    def content(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the file; the buffer is the caller's own again afterwards."""
        ...


def _ignore(_: int) -> None:
    pass


def pass_on(
    source: Path | None,
    key: FspfKey,
    outlet: Outlet,
    *,
    scratch: Path,
    observer: Callable[[int], None] = _ignore,
    random: RandomBytes = os.urandom,
    clock: Callable[[], int] = time.time_ns,
) -> FspfTag:
    """Seal a tree into an outlet and return the tag of the volume; without a source the volume is empty.

    What is kept of it is what :func:`bannock.shield.pack.create_volume` keeps.

    Args:
        source: what goes into the volume; nobody changes it meanwhile.
        key: of the volume; a new one each time.
        outlet: where its files go.
        scratch: an empty directory for the protection file, which is removed from there at the end.
        observer: learns how many bytes were done since it was called last.
        random: where keys and nonces come from.
        clock: nanoseconds since 1970.

    Raises:
        InputError: as :func:`bannock.shield.scan.scan`, or a file became shorter while it was read.
        EnvironmentFault: the scratch directory does not take the protection file.
        BannockError: the outlet's.
    """
    if source is not None:
        scan(source)
    how = Opening(key=key, random=random, clock=clock)
    region = Region(
        path="/", protection=Protection.ENCRYPTED, kernel="", chunk_bytes=CHUNK_BYTES, key_bytes=32
    )  # fmt: skip
    name = os.fsencode(PROTECTION_FILE)
    metadata = Backing(scratch, writable=True)
    try:
        with storage_faults(f"cannot make a volume in {scratch}"):
            protection = ProtectionFile.create(metadata, name, how, where=str(scratch))
            backing = _Stream(outlet)
            volume = add_region(protection, region, backing)
            if source is not None:
                _StreamPacker(volume, backing, observer).add_tree(source)
            tag = volume.commit()
        _pass_on_file(metadata.open(name), outlet)
    finally:
        metadata.unlink(name)
        metadata.close()
    return tag


def _pass_on_file(file: BackingFile, outlet: Outlet) -> None:
    size, offset = os.fstat(file.descriptor).st_size, 0
    outlet.file(PROTECTION_FILE, size)
    while data := file.pread(_READ_BYTES, offset):
        outlet.content(data)
        offset += len(data)


class _StreamPacker(Packer):
    def __init__(self, volume: Volume, backing: _Stream, observer: Callable[[int], None]) -> None:
        super().__init__(volume, observer, exclude=(), owners=False)
        self._volume = volume
        self._backing = backing
        self._observer = observer
        self._uncommitted = 0
        self._buffer = memoryview(bytearray(_READ_BYTES))

    def store(self, ino: int, descriptor: int) -> None:
        """Seal as much of a file as its size says, to its last chunk."""
        size, offset = os.fstat(descriptor).st_size, 0
        self._backing.expect(size)
        while offset < size:
            # Into memory that is there already: new memory costs more than to read into it.
            read = os.preadv(descriptor, [self._buffer[: min(_READ_BYTES, size - offset)]], offset)
            if not read:
                raise InputError("a file became shorter while it was read", hint="try again when nobody writes to it")
            self._volume.inodes.write(ino, offset, self._buffer[:read])
            offset += read
            self._observer(read)
            self._uncommitted += read
            if self._uncommitted >= _BYTES_PER_COMMIT:
                self._volume.commit()
                self._uncommitted = 0
        self._volume.inodes.content(ino).seal_dirty()


class _Stream(Backing):
    """Ciphertext files that exist only while they are written."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._expected = 0
        self._made = 0
        self._name = b""
        self._file = _StreamFile(outlet)

    def expect(self, size: int) -> None:
        """Learn how large the next file will be."""
        self._expected = size

    def create(self, path: bytes) -> bytes:
        """Begin a file; the name that it gets has nothing of the one that was asked for."""
        del path
        if not self._made:
            self._outlet.directory(os.fsdecode(_DIRECTORY))
        self._made += 1
        self._name = b"%s/%x" % (_DIRECTORY, self._made)
        self._outlet.file(os.fsdecode(self._name), self._expected)
        self._file.begin()
        return self._name

    def open(self, path: bytes) -> BackingFile:
        """Return the file that is being written."""
        if path != self._name:
            raise Bug("a file that was passed on already is asked for")
        return self._file

    def written(self, path: bytes) -> None:
        """Nothing has to be made durable here."""

    def pending(self) -> Pending:
        """Nothing has to be made durable here."""
        return Pending([], None)

    def close(self) -> None:
        """There is nothing to close."""


class _StreamFile(BackingFile):
    __slots__ = ("_outlet", "_position")

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(-1)
        self._outlet = outlet
        self._position = 0

    def begin(self) -> None:
        self._position = 0

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Pass bytes on; they come in order."""
        if offset != self._position:
            raise Bug("ciphertext is not passed on in order")
        self._position += len(data)
        self._outlet.content(data)
