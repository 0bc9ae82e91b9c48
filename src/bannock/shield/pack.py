"""A directory tree into a volume and out of it again: what a client does before and after a remote run.

Reads the source once to see whether everything can be kept, before anything is written. Not responsible for mounts.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, EnvironmentFault, InputError, IntegrityError
from bannock.shield.format.records import ROOT, Inode
from bannock.shield.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bannock.shield.format.names import Entry
    from bannock.values import FspfKey, FspfTag

__all__ = ["Extracted", "Scan", "create_volume", "extract_volume", "load", "scan", "store_file"]

#: Learns how many bytes were done since it was called last.
Observer = "Callable[[int], None]"

_COPY_BYTES: Final = 4 << 20
#: How much is packed between two intermediate states, which bounds the memory that changes take.
_FILES_PER_COMMIT: Final = 10_000
_REPORTED: Final = 20
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PERMISSIONS: Final = 0o1777


def _ignore(_: int) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a directory tree holds.

    Attributes:
        files: how many files, directories and links.
        bytes: the size of all regular files.
    """

    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What was taken out of a volume; as :class:`Scan`."""

    files: int
    bytes: int


def scan(source: Path) -> Scan:
    """Look at a tree without reading its files.

    Raises:
        InputError: something in it cannot be kept in a volume: a device, a socket, a pipe, a name that is not UTF-8,
            a file that cannot be read. Its reasons name all of these (up to 20).
    """
    files = size = 0
    problems: list[str] = []
    for path, status in _walk(source, problems):
        files += 1
        if (problem := _unkeepable(path, status)) is not None:
            problems.append(f"{_show(path)}: {problem}")
        elif stat.S_ISREG(status.st_mode):
            size += status.st_size
    if problems:
        more = [f"and {len(problems) - _REPORTED} more"] if len(problems) > _REPORTED else []
        raise InputError(
            f"{len(problems)} of the entries below {source} cannot be kept in an encrypted volume",
            reasons=[*problems[:_REPORTED], *more],
            hint="remove or rename them, or give a directory without them; nothing was uploaded",
        )
    return Scan(files=files, bytes=size)


def create_volume(
    source: Path | None, volume: Path, key: FspfKey, *, observer: Callable[[int], None] = _ignore
) -> FspfTag:
    """Encrypt a tree into a new volume and return the tag of its state; without a source the volume is empty.

    Modes, times of modification, symbolic and hard links are kept; owners are not.

    Raises:
        InputError: as :func:`scan`, or there is a volume already, or it would be in the source.
        EnvironmentFault: the disk does not take it.
    """
    if source is not None:
        if volume.resolve().is_relative_to(source.resolve()):
            raise InputError(f"{volume} lies in {source}, so it would have to hold itself", hint="put it elsewhere")
        scan(source)
    with Volume.create(volume, key) as target:
        if source is not None:
            _Packer(target, observer).add_tree(source)
        return target.commit()


def extract_volume(
    volume: Path, key: FspfKey, tag: FspfTag, target: Path, *, observer: Callable[[int], None] = _ignore
) -> Extracted:
    """Decrypt a volume in the state ``tag`` into a directory, which is made if it is not there.

    A file that stands in the way is replaced; other files in the directory stay. Links are never followed, so a volume
    cannot reach out of the directory. Owners are those of the caller, so set-uid and set-gid bits are left out.

    Raises:
        RollbackError, IntegrityError: the volume is not in that state, or a file in it was changed (the message names
            it). A file that is refused does not appear in the target.
        EnvironmentFault: the disk does not take it.
    """
    with Volume.open(volume, key, tag, writable=False) as source:
        try:
            target.mkdir(parents=True, exist_ok=True)
            return _Unpacker(source, observer).extract(target)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {error.filename or target}: {error.strerror}") from error


def load(volume: Volume, target: Path) -> Extracted:
    """Decrypt an open volume into an existing empty directory (:func:`extract_volume`)."""
    return _Unpacker(volume, _ignore).extract(target)


def store_file(volume: Volume, ino: int, descriptor: int, observer: Callable[[int], None] = _ignore) -> None:
    """Replace the content of a file in a volume by that of an open file.

    Raises:
        EnvironmentFault: the volume's disk does not take it.
        OSError: the file cannot be read.
    """
    volume.inodes.truncate(ino, 0)
    offset = 0
    while data := os.pread(descriptor, _COPY_BYTES, offset):
        try:
            volume.inodes.write(ino, offset, data)
        except OSError as error:
            raise EnvironmentFault(f"cannot write the volume: {error.strerror}") from error
        offset += len(data)
        observer(len(data))


class _Packer:
    def __init__(self, volume: Volume, observer: Callable[[int], None]) -> None:
        self._volume = volume
        self._observer = observer
        self._linked: dict[tuple[int, int], int] = {}
        self._made = 0

    def add_tree(self, source: Path) -> None:
        try:
            root = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._add_directories(root)
            finally:
                os.close(root)
        except OSError as error:
            raise InputError(f"cannot read {source}: {error.strerror}") from error

    def _add_directories(self, root: int) -> None:
        """Add everything below an open directory, one directory at a time, however deep they are."""
        made: list[tuple[int, os.stat_result]] = []
        waiting = [(Path(), ROOT, os.fstat(root))]
        while waiting:
            path, ino, status = waiting.pop()
            directory = os.open(path, _DIRECTORY, dir_fd=root)
            try:
                waiting += [(path / name, below, found) for name, below, found in self._add_entries(directory, ino)]
            finally:
                os.close(directory)
            made.append((ino, status))
        for ino, status in made:
            _keep_metadata(self._volume, ino, status)

    def _add_entries(self, directory: int, parent: int) -> list[tuple[str, int, os.stat_result]]:
        """Add what is in an open directory, and return the directories in it."""
        below = []
        with os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                status = entry.stat(follow_symlinks=False)
                ino = self._add(directory, parent, entry.name, status)
                if stat.S_ISDIR(status.st_mode):
                    below.append((entry.name, ino, status))
        return below

    def _add(self, directory: int, parent: int, name: str, status: os.stat_result) -> int:
        names, encoded = self._volume.names, os.fsencode(name)
        place = (status.st_dev, status.st_ino)
        if (linked := self._linked.get(place)) is not None:
            names.link(linked, parent, encoded)
            return linked
        if stat.S_ISLNK(status.st_mode):
            ino = names.symlink(parent, encoded, os.fsencode(os.readlink(name, dir_fd=directory)))
        else:
            ino = names.make(parent, encoded, status.st_mode)
        if stat.S_ISREG(status.st_mode):
            self._store(directory, name, ino)
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            self._linked[place] = ino
        _keep_metadata(self._volume, ino, status)
        self._made += 1
        if self._made % _FILES_PER_COMMIT == 0:
            self._volume.commit()
        return ino

    def _store(self, directory: int, name: str, ino: int) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{name} was exchanged while it was read")
            store_file(self._volume, ino, descriptor, self._observer)
        finally:
            os.close(descriptor)


class _Unpacker:
    def __init__(self, volume: Volume, observer: Callable[[int], None]) -> None:
        self._volume = volume
        self._observer = observer
        self._placed: dict[int, Path] = {}
        self._waiting: list[tuple[int, Path]] = []
        self._files = 0
        self._bytes = 0

    def extract(self, target: Path) -> Extracted:
        made = []
        self._waiting = [(ROOT, target.resolve())]
        while self._waiting:
            ino, directory = self._waiting.pop()
            for entry in self._volume.names.entries(ino):
                self._place(entry, directory / os.fsdecode(entry.name))
            made.append((ino, directory))
        for ino, directory in reversed(made):
            _restore_metadata(directory, self._volume.inodes.get(ino))
        return Extracted(files=self._files, bytes=self._bytes)

    def _place(self, entry: Entry, path: Path) -> None:
        inode = self._volume.inodes.get(entry.ino)
        self._files += 1
        if inode.is_directory:
            if path.is_symlink() or not path.is_dir():
                path.unlink(missing_ok=True)
                path.mkdir(mode=0o700)
            path.chmod(0o700)
            self._waiting.append((entry.ino, path))
            return
        if path.is_dir() and not path.is_symlink():
            raise InputError(f"{path} is a directory, and a file of that name is in the volume")
        path.unlink(missing_ok=True)
        if (first := self._placed.get(entry.ino)) is not None:
            os.link(first, path, follow_symlinks=False)
        elif inode.is_file:
            self._write(entry.ino, inode, path)
        else:
            path.symlink_to(os.fsdecode(self._volume.names.link_target(entry.ino)))
        if inode.links > 1:
            self._placed[entry.ino] = path
        _restore_metadata(path, inode)

    def _write(self, ino: int, inode: Inode, path: Path) -> None:
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
                for offset in range(0, inode.size, _COPY_BYTES):
                    data = self._volume.inodes.read(ino, offset, _COPY_BYTES)
                    file.write(data)
                    self._observer(len(data))
        except BannockError as error:
            path.unlink()
            raise IntegrityError(f"the file {path.name!r} in the volume is damaged") from error
        self._bytes += inode.size


def _keep_metadata(volume: Volume, ino: int, status: os.stat_result) -> None:
    inode = volume.inodes.change(ino)
    inode.mode = stat.S_IFMT(inode.mode) | stat.S_IMODE(status.st_mode)
    inode.modified = inode.accessed = status.st_mtime_ns


def _restore_metadata(path: Path, inode: Inode) -> None:
    times = (inode.accessed, inode.modified)
    if stat.S_ISLNK(inode.mode):
        os.utime(path, ns=times, follow_symlinks=False)
    else:
        # The owner is whoever extracts, so set-uid and set-gid would mean something else than where they came from.
        path.chmod(inode.mode & _PERMISSIONS)
        os.utime(path, ns=times)


def _walk(source: Path, problems: list[str]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield everything below a directory; what cannot be listed becomes a problem."""
    waiting = [source]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            problems.append(f"{_show(directory)}: {error.strerror}")
            continue
        for entry in found:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                problems.append(f"{_show(Path(entry.path))}: {error.strerror}")
                continue
            yield Path(entry.path), status
            if stat.S_ISDIR(status.st_mode):
                waiting.append(Path(entry.path))


def _unkeepable(path: Path, status: os.stat_result) -> str | None:
    """Say why a volume cannot keep an entry, or None."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    kinds = {
        stat.S_IFSOCK: "a socket",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFBLK: "a block device",
        stat.S_IFCHR: "a character device",
    }
    if (kind := kinds.get(stat.S_IFMT(status.st_mode))) is not None:
        return f"{kind} has no content to protect"
    if stat.S_ISREG(status.st_mode) and not os.access(path, os.R_OK):
        return "it cannot be read"
    return None


def _show(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")
