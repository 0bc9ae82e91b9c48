"""A directory tree into a volume or a region: encrypted, or recorded so that every later change is found out.

Reads the source once to see whether everything can be kept, before anything is written. Not responsible for mounts.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import EnvironmentFault, InputError
from bannock.shield.format.records import MAX_BACKING_BYTES
from bannock.shield.regions import CHUNK_BYTES, Protection
from bannock.shield.scan import scan
from bannock.shield.volume import PROTECTION_FILE, Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bannock.shield.scan import Scan
    from bannock.values import FspfKey, FspfTag

__all__ = ["Packer", "add_files", "create_volume", "store_file"]

_COPY_BYTES: Final = 4 << 20
#: How much is packed between two intermediate states, which bounds the memory that changes take.
_FILES_PER_COMMIT: Final = 10_000
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _ignore(_: int) -> None:
    pass


def create_volume(
    source: Path | None,
    directory: Path,
    key: FspfKey,
    *,
    protection: Protection = Protection.ENCRYPTED,
    chunk_bytes: int = CHUNK_BYTES,
    key_bytes: int = 32,
    observer: Callable[[int], None] = _ignore,
) -> FspfTag:
    """Protect a tree in a new volume and return the tag of its state; without a source the volume is empty.

    Modes, times of modification, symbolic and hard links are kept; owners are not.

    Args:
        source: what goes into the volume. An authenticated volume may be made where the source is: its files stay as
            they are, and are recorded.
        directory: where the volume is made.
        key: of the volume.
        protection: encrypted or authenticated.
        chunk_bytes: how much is sealed at once, 1 KiB to 16 MiB.
        key_bytes: length of the files' keys: 16, 24 or 32.
        observer: learns how many bytes were done since it was called last.

    Raises:
        InputError: as :func:`scan`, or there is a volume already, or it would be in the source.
        EnvironmentFault: the disk does not take it.
    """
    in_place = source is not None and source.resolve() == directory.resolve()
    if in_place and protection is not Protection.AUTHENTICATED:
        raise InputError(f"{source} cannot be encrypted in place", hint="name another directory for the volume")
    if source is not None and not in_place and directory.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{directory} lies in {source}, so it would have to hold itself", hint="put it elsewhere")
    if source is not None:
        scan(source)
    with Volume.create(
        directory, key, protection=protection, chunk_bytes=chunk_bytes, key_bytes=key_bytes, adopting=in_place
    ) as target:
        if source is not None:
            Packer(target, observer, exclude=[directory / PROTECTION_FILE], owners=False).add_tree(source)
        return target.commit()


def add_files(
    volume: Volume,
    source: Path,
    *,
    exclude: Iterable[Path] = (),
    observer: Callable[[int], None] = _ignore,
) -> Scan:
    """Add a tree to an open volume or region, replacing files of the same names, and return what was added.

    Owners are kept, since the files of a root belong to whom they belong. It is up to the caller to commit; states
    between are committed on the way where there are many files.

    Args:
        volume: where to.
        source: a directory.
        exclude: files below the source to leave out: the protection file itself.
        observer: learns how many bytes were done since it was called last.

    Raises:
        InputError: as :func:`scan`, or a file would take the place of a directory.
        EnvironmentFault: the disk does not take it.
    """
    found = scan(source)
    Packer(volume, observer, exclude=exclude, owners=True).add_tree(source)
    return found


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


class _Directory(NamedTuple):
    """A directory of the source that is still to be read."""

    path: bytes
    ino: int
    status: os.stat_result


class Packer:
    """Puts trees into an open volume; what it has to know between two files is bounded.

    Args:
        volume: where to.
        observer: learns how many bytes were done since it was called last.
        exclude: files of the source to leave out.
        owners: whether owners are kept.
    """

    def __init__(
        self, volume: Volume, observer: Callable[[int], None], *, exclude: Iterable[Path], owners: bool
    ) -> None:
        self._volume = volume
        self._observer = observer
        self._exclude = {
            (status.st_dev, status.st_ino) for path in exclude if path.exists() and (status := path.stat())
        }
        self._owners = owners
        self._linked: dict[tuple[int, int], int] = {}
        self._made = 0

    def add_tree(self, source: Path) -> None:
        """Add everything below a directory.

        Raises:
            InputError: it cannot be read, or not be kept.
            EnvironmentFault: the volume's disk does not take it.
        """
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
        made: list[_Directory] = []
        waiting = [_Directory(b"", self._volume.root, os.fstat(root))]
        while waiting:
            above = waiting.pop()
            directory = os.open(above.path or b".", _DIRECTORY, dir_fd=root)
            try:
                waiting += self._add_entries(directory, above)
            finally:
                os.close(directory)
            made.append(above)
        for directory_made in made:
            self._keep_metadata(directory_made.ino, directory_made.status)

    def _add_entries(self, directory: int, above: _Directory) -> list[_Directory]:
        """Add what is in an open directory, and return the directories in it."""
        below = []
        with os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                status = entry.stat(follow_symlinks=False)
                if (status.st_dev, status.st_ino) in self._exclude:
                    continue
                name = os.fsencode(entry.name)
                path = above.path + b"/" + name if above.path else name
                ino = self._add(directory, above.ino, name, path, status)
                if stat.S_ISDIR(status.st_mode):
                    below.append(_Directory(path, ino, status))
        return below

    def _add(self, directory: int, parent: int, name: bytes, path: bytes, status: os.stat_result) -> int:
        names = self._volume.names
        place = (status.st_dev, status.st_ino)
        if (there := self._make_room(parent, name, status)) is not None:
            return there
        if (linked := self._linked.get(place)) is not None:
            names.link(linked, parent, name)
            return linked
        if stat.S_ISLNK(status.st_mode):
            ino = names.symlink(parent, name, os.readlink(name, dir_fd=directory))
        else:
            ino = names.make(parent, name, status.st_mode)
        if stat.S_ISREG(status.st_mode):
            self._store(directory, name, path, ino)
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            self._linked[place] = ino
        self._keep_metadata(ino, status)
        self._made += 1
        if self._made % _FILES_PER_COMMIT == 0:
            self._volume.commit()
        return ino

    def _make_room(self, parent: int, name: bytes, status: os.stat_result) -> int | None:
        """Remove a file that is to be replaced; return a directory that is there already."""
        names = self._volume.names
        try:
            ino = names.lookup(parent, name)
        except FileNotFoundError:
            return None
        is_directory = self._volume.inodes.get(ino).is_directory
        if is_directory != stat.S_ISDIR(status.st_mode):
            raise InputError(f"{os.fsdecode(name)} would take the place of something of another type")
        if is_directory:
            return ino
        names.unlink(parent, name)
        return None

    def _store(self, directory: int, name: bytes, path: bytes, ino: int) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{os.fsdecode(name)} was exchanged while it was read")
            if self._volume.adopting:
                self._record(descriptor, path, ino)
            else:
                self.store(ino, descriptor)
        finally:
            os.close(descriptor)

    def store(self, ino: int, descriptor: int) -> None:
        """Put the content of an open file into a new one of the volume."""
        store_file(self._volume, ino, descriptor, self._observer)

    def _record(self, descriptor: int, path: bytes, ino: int) -> None:
        """Make the records of a file that stays where it is."""
        if len(path) > MAX_BACKING_BYTES:
            raise InputError(f"{os.fsdecode(path)} is longer than {MAX_BACKING_BYTES} bytes, and cannot be recorded")
        inode, content = self._volume.inodes.modify(ino), self._volume.inodes.content(ino)
        inode.backing = path
        index = 0
        while data := os.pread(descriptor, inode.chunk_bytes, index * inode.chunk_bytes):
            content.adopt(index, data)
            self._observer(len(data))
            index += 1

    def _keep_metadata(self, ino: int, status: os.stat_result) -> None:
        inode = self._volume.inodes.change(ino)
        inode.mode = stat.S_IFMT(inode.mode) | stat.S_IMODE(status.st_mode)
        inode.modified = inode.accessed = status.st_mtime_ns
        if self._owners:
            inode.uid, inode.gid = status.st_uid, status.st_gid
