"""A protected volume out into a plain directory tree.

Links are never followed, so a volume cannot reach out of the directory.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, EnvironmentFault, InputError, IntegrityError
from bannock.shield.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.shield.format.names import Entry
    from bannock.shield.format.records import Inode
    from bannock.values import FspfKey, FspfTag

__all__ = ["Extracted", "Unpacker", "extract_volume"]

_COPY_BYTES: Final = 4 << 20
_PERMISSIONS: Final = 0o1777


def _ignore(_: int) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What was taken out of a volume: how many files, directories and links, and the bytes of all regular files."""

    files: int
    bytes: int


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
            return Unpacker(source, observer).extract(target)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {error.filename or target}: {error.strerror}") from error


class Unpacker:
    """Makes the tree of a volume in a directory.

    Args:
        volume: where from.
        observer: learns how many bytes were done since it was called last.
    """

    def __init__(self, volume: Volume, observer: Callable[[int], None]) -> None:
        self._volume = volume
        self._observer = observer
        self._target = Path()
        self._placed: dict[int, Path] = {}
        self._waiting: list[tuple[int, Path]] = []
        self._files = 0
        self._bytes = 0

    def extract(self, target: Path) -> Extracted:
        """Make it, over what is there.

        Raises:
            IntegrityError: a file in the volume was changed.
            InputError: a directory stands in the way of a file.
            OSError: the disk does not take it.
        """
        made = []
        self._target = target.resolve()
        self._waiting = [(self._volume.root, self._target)]
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
            self.write(entry.ino, inode, path)
            self._bytes += inode.size
        else:
            path.symlink_to(os.fsdecode(self._volume.names.link_target(entry.ino)))
        if inode.links > 1:
            self._placed[entry.ino] = path
        _restore_metadata(path, inode)

    def write(self, ino: int, inode: Inode, path: Path) -> None:
        """Make a regular file at a path at which nothing is."""
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
                for offset in range(0, inode.size, _COPY_BYTES):
                    data = self._volume.inodes.read(ino, offset, _COPY_BYTES)
                    file.write(data)
                    self._observer(len(data))
        except BannockError as error:
            path.unlink()
            name = str(path.relative_to(self._target))
            raise IntegrityError(f"the file {name!r} in the volume is damaged") from error


def _restore_metadata(path: Path, inode: Inode) -> None:
    times = (inode.accessed, inode.modified)
    if stat.S_ISLNK(inode.mode):
        os.utime(path, ns=times, follow_symlinks=False)
    else:
        # The owner is whoever extracts, so set-uid and set-gid would mean something else than where they came from.
        path.chmod(inode.mode & _PERMISSIONS)
        os.utime(path, ns=times)
