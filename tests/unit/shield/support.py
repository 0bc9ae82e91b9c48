"""What the tests of the shield share: a keeper of tags, fixed random bytes, recorded storage, a volume as a value."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from bannock.errors import ConflictError, IntegrityError
from bannock.shield.format.backing import Backing, BackingFile, Pending
from bannock.shield.format.pages import PAGE_BYTES
from bannock.values import FspfKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.shield.volume import Volume
    from bannock.values import FspfTag

KEY: Final = FspfKey(bytes(range(32)))
OTHER_KEY: Final = FspfKey(bytes(range(1, 33)))


class Keeper:
    """Remembers one tag and moves it by compare-and-swap, as CAS does."""

    def __init__(self, tag: FspfTag | None = None) -> None:
        self.tag = tag
        self.moves = 0

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move, unless somebody else has."""
        if self.tag == new:
            return
        if self.tag != expected:
            raise ConflictError(f"the volume is in state {self.tag}, not in {expected}")
        self.tag = new
        self.moves += 1


def deterministic(seed: bytes) -> Callable[[int], bytes]:
    """Return a source of bytes that are always the same."""
    counter = itertools.count()

    def random(size: int) -> bytes:
        return hashlib.shake_128(seed + next(counter).to_bytes(8, "big")).digest(size)

    return random


def ticking(start: int = 1_000_000_000_000_000_000) -> Callable[[], int]:
    """Return a clock that moves one second at every look."""
    ticks = itertools.count(start, 1_000_000_000)
    return lambda: next(ticks)


class MemoryPages:
    """A protection file in memory that remembers which pages were written."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.written: set[int] = set()

    def pread(self, size: int, offset: int) -> bytes:
        """Read."""
        return bytes(self.data[offset : offset + size])

    def pwrite(self, data: bytes, offset: int) -> None:
        """Write one page."""
        assert len(data) == PAGE_BYTES
        assert offset % PAGE_BYTES == 0
        self.data.extend(bytes(max(offset + len(data) - len(self.data), 0)))
        self.data[offset : offset + len(data)] = data
        self.written.add(offset // PAGE_BYTES)


class Write(NamedTuple):
    """Bytes that went to a ciphertext file."""

    path: bytes
    offset: int
    data: bytes


class Create(NamedTuple):
    """A ciphertext file that was made."""

    path: bytes


class Unlink(NamedTuple):
    """A ciphertext file that was removed."""

    path: bytes


class Sync(NamedTuple):
    """Everything before it is durable."""


Step: TypeAlias = Write | Create | Unlink | Sync
Disk: TypeAlias = dict[bytes, bytes]


class _RecordedFile(BackingFile):
    __slots__ = ("_path", "_steps")

    def __init__(self, descriptor: int, path: bytes, steps: list[Step]) -> None:
        super().__init__(descriptor)
        self._path = path
        self._steps = steps

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        self._steps.append(Write(self._path, offset, bytes(data)))
        super().pwrite(data, offset)


class RecordedBacking(Backing):
    """The real directory, and a list of what was done to it."""

    steps: list[Step]

    def _keep(self, path: bytes, descriptor: int) -> BackingFile:
        file = self._files[path] = _RecordedFile(descriptor, path, self.steps)
        return file

    def create(self, path: bytes) -> bytes:
        """Note which file is made."""
        made = super().create(path)
        self.steps.append(Create(made))
        return made

    def unlink(self, path: bytes) -> None:
        """Note which file goes."""
        super().unlink(path)
        self.steps.append(Unlink(path))

    def pending(self) -> Pending:
        """Note when what came before is durable."""
        return _RecordedPending(super().pending(), self.steps)


class _RecordedPending(Pending):
    def __init__(self, pending: Pending, steps: list[Step]) -> None:
        super().__init__([], None)
        self._pending = pending
        self._steps = steps

    def sync(self) -> None:
        self._pending.sync()
        self._steps.append(Sync())


def apply(disk: Disk, steps: list[Step]) -> Disk:
    """Return what a disk holds after some steps; what was cut out of them before is simply not there."""
    after = dict(disk)
    for step in steps:
        match step:
            case Write(path, offset, data):
                old = after.get(path, b"").ljust(offset, b"\0")
                after[path] = old[:offset] + data + old[offset + len(data) :]
            case Create(path):
                after.setdefault(path, b"")
            case Unlink(path):
                after.pop(path, None)
            case Sync():
                pass
    return after


def take(directory: Path) -> Disk:
    """Read a directory of ciphertext."""
    return {
        os.fsencode(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def put(disk: Disk, directory: Path) -> Path:
    """Write a directory of ciphertext."""
    for name, data in disk.items():
        path = directory / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


class Seen(NamedTuple):
    """What a reader sees of one name."""

    mode: int
    links: int
    content: bytes


def look(volume: Volume) -> dict[bytes, Seen]:
    """Read everything in a volume."""
    return dict(_look(volume, volume.root, b""))


def _look(volume: Volume, ino: int, prefix: bytes) -> Iterator[tuple[bytes, Seen]]:
    for entry in volume.names.entries(ino):
        path = prefix + entry.name
        inode = volume.inodes.get(entry.ino)
        if stat.S_IFMT(inode.mode) != entry.kind:
            raise IntegrityError("a name and its inode are of different types")
        content = b""
        if inode.is_file:
            content = bytes(volume.inodes.read(entry.ino, 0, inode.size + 1))
        elif not inode.is_directory:
            content = volume.names.link_target(entry.ino)
        yield path, Seen(inode.mode, inode.links, content)
        if inode.is_directory:
            yield from _look(volume, entry.ino, path + b"/")


def make_file(volume: Volume, path: bytes, data: bytes | None = None, *, chunk: int = 512, mode: int = 0o644) -> int:
    """Make a file (and the directories above it) with small chunks, so that a few bytes make many of them."""
    above, _, name = path.rpartition(b"/")
    parent = make_directory(volume, above)
    ino = volume.names.make(parent, name, stat.S_IFREG | mode)
    volume.inodes.change(ino).chunk_bytes = chunk
    if data is not None:
        volume.inodes.write(ino, 0, data)
    return ino


def make_directory(volume: Volume, path: bytes) -> int:
    """Make a directory and those above it, where they are not there yet."""
    ino = volume.root
    for part in filter(None, path.split(b"/")):
        try:
            ino = volume.names.lookup(ino, part)
        except FileNotFoundError:
            ino = volume.names.make(ino, part, stat.S_IFDIR | 0o755)
    return ino


def find(volume: Volume, path: bytes) -> int:
    """Return the inode of a path."""
    ino = volume.root
    for part in filter(None, path.split(b"/")):
        ino = volume.names.lookup(ino, part)
    return ino
