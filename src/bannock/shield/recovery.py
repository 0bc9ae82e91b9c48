"""Taking out what can still be read of a damaged state, into an empty directory.

What is not authentic is never written: in its place there are zeros, and the file's name says that it is damaged.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.shield.contents import Verified
    from bannock.shield.format.records import Inode
    from bannock.shield.survey import Survey

__all__ = ["Discarded", "Recovery"]

_PERMISSIONS: Final = 0o777
_NAME_MAX: Final = 255
#: What fits a system call, with something behind it.
_PATH_MAX: Final = 4000
#: What is put behind the name of a file that is not whole.
_DAMAGED: Final = ".damaged"
#: Where files go whose names are lost.
_NAMELESS: Final = "lost+found"
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Discarded:
    """Takes what is read, and keeps nothing (:class:`bannock.shield.contents.Sink`)."""

    def begin(self, ino: int, inode: Inode) -> None:
        """Nothing to do."""

    def put(self, offset: int, data: bytes) -> None:
        """Nothing to do."""

    def end(self, verified: Verified) -> None:
        """Nothing to do."""


class Recovery:
    """Writes what is read below a directory (:class:`bannock.shield.contents.Sink`).

    Owners and set-uid bits are left out. Links are made last, by :meth:`finish`, so nothing is written through one.

    Args:
        target: the directory; it is made, or is empty.
        survey: knows the names.

    Attributes:
        files: how many files and links were taken out whole.
        partial: paths of those that are not.
    """

    def __init__(self, target: Path, survey: Survey) -> None:
        if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
            raise InputError(f"{target} is not an empty directory", hint="name a new one for what is taken out")
        self._target = target
        self._survey = survey
        self._file: tuple[int, int] | None = None
        self._links: list[tuple[str, bytes]] = []
        self._more: list[tuple[str, str]] = []
        self._directories: list[tuple[str, Inode]] = []
        self.files = 0
        self.partial: list[str] = []
        self._make(target)

    def begin(self, ino: int, inode: Inode) -> None:
        """Open a new file."""
        if not inode.is_file:
            return
        place = self._target / self._places(ino, inode)[0]
        try:
            self._make(place.parent)
            self._file = ino, os.open(place, _NEW, 0o600)
        except OSError as error:
            raise _fault(place, error) from error

    def put(self, offset: int, data: bytes) -> None:
        """Write bytes to the open file."""
        if self._file is not None:
            try:
                view = memoryview(data)
                while view:
                    written = os.pwrite(self._file[1], view, offset)
                    view, offset = view[written:], offset + written
            except OSError as error:
                raise _fault(self._target, error) from error

    def end(self, verified: Verified) -> None:
        """Close the open file; give a damaged one a name that says so."""
        inode = verified.inode
        places = self._places(verified.ino, inode)
        whole = not verified.ranges
        if inode.is_directory:
            self._directories.append((places[0], inode))
        elif not inode.is_file:
            self._links += [(place, verified.target) for place in places if whole]
            self.files += whole
        else:
            self._end_file(verified.ino, places, inode, whole=whole)

    def finish(self) -> None:
        """Make hard and symbolic links, and directories as they were."""
        for place, first in self._more:
            self._make((self._target / place).parent)
            os.link(self._target / first, self._target / place, follow_symlinks=False)
        for place, target in self._links:
            self._make((self._target / place).parent)
            (self._target / place).symlink_to(os.fsdecode(target))
        for place, inode in reversed(self._directories):
            path = self._target / place
            self._make(path)
            path.chmod(inode.mode & _PERMISSIONS)
            os.utime(path, ns=(inode.accessed, inode.modified))

    def _end_file(self, ino: int, places: list[str], inode: Inode, *, whole: bool) -> None:
        if self._file is None:
            return
        descriptor, self._file = self._file[1], None
        try:
            os.truncate(descriptor, inode.size)
            os.fchmod(descriptor, inode.mode & _PERMISSIONS)
            os.utime(descriptor, ns=(inode.accessed, inode.modified))
        except OSError as error:
            raise _fault(self._target / places[0], error) from error
        finally:
            os.close(descriptor)
        if whole:
            self.files += 1
            self._more += [(place, places[0]) for place in places[1:]]
            return
        damaged = f"{places[0]}{_DAMAGED}"
        if len(os.fsencode(damaged.rpartition("/")[2])) > _NAME_MAX:
            damaged = f"{_NAMELESS}/{ino}{_DAMAGED}"
        while (self._target / damaged).exists():
            damaged = f"{_NAMELESS}/{ino}-{len(self.partial)}{_DAMAGED}"
        self._make((self._target / damaged).parent)
        (self._target / places[0]).rename(self._target / damaged)
        self.partial.append(damaged)

    def _places(self, ino: int, inode: Inode) -> list[str]:
        """Return where an inode goes, relative to the target: a place for each name, one where these are lost."""
        if ino in {root for _, root in self._survey.regions.values()}:
            return [(self._survey.path_of(ino) or "").lstrip("/")]
        found = [f"{region.path}/{path}".lstrip("/") for region, path in self._survey.names_of(ino)]
        found = [place for place in found if len(os.fsencode(self._target / place)) <= _PATH_MAX]
        return found or [f"{_NAMELESS}/{ino}-{os.fsdecode(inode.backing).rpartition('/')[2]}"]

    def _make(self, directory: Path) -> None:
        """Make a directory and those above it, and go through no link."""
        below = [directory, *directory.parents]
        for path in reversed(below[: below.index(self._target) + 1]):
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                raise InputError(f"{path} is a directory in one place of the volume, and something else in another")
            path.mkdir(mode=0o700, exist_ok=True, parents=path == self._target)


def _fault(path: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(f"cannot write {path}: {error.strerror}")
