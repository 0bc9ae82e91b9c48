"""The untrusted directory that holds a volume's ciphertext: files found below one directory, and nowhere else.

Every path is walked from the volume's directory with O_NOFOLLOW, so a link that somebody puts there leads nowhere.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bannock.errors import ConflictError, EnvironmentFault, IntegrityError
from bannock.files import sync_file_system

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Backing", "BackingFile", "Pending"]

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
#: Handles kept open; well under the usual limit of 1,024 a process.
_OPEN_FILES: Final = 256
_OPEN_DIRECTORIES: Final = 64
_ALL_AT_ONCE: Final = 64


class BackingFile:
    """One open file of ciphertext; closed with the last reference to it, or before."""

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def pread(self, size: int, offset: int) -> bytes:
        """Read; less than asked for at the end of the file."""
        return os.pread(self.descriptor, size, offset)

    def read_ahead(self, offset: int, size: int) -> None:
        """Have the kernel fetch bytes that will be read soon."""
        with suppress(OSError):
            os.posix_fadvise(self.descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self.descriptor, view, offset)
            view, offset = view[written:], offset + written

    def sync(self) -> None:
        """Make what was written durable; the file's times and the like may be lost."""
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Close it, whoever still refers to it."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class _Directory(BackingFile):
    """An open directory."""

    __slots__ = ()

    def sync(self) -> None:
        """Make its names durable."""
        os.fsync(self.descriptor)


class Pending:
    """What has to be made durable; safe to be used while other files are read.

    Args:
        files: files and directories, each for itself.
        whole: instead of these, the file system that a directory is on.
    """

    def __init__(self, files: list[BackingFile], whole: BackingFile | None) -> None:
        self._files = files
        self._whole = whole

    def sync(self) -> None:
        """Make it durable."""
        if self._whole is not None:
            sync_file_system(self._whole.descriptor)
        for file in self._files:
            file.sync()


class Backing:
    """The directory of a volume.

    Args:
        path: the directory; it exists.
        writable: open files for writing too.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        try:
            self._root = _Directory(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            raise EnvironmentFault(f"cannot open the volume's directory {path}: {error.strerror}") from error
        self._mode = os.O_RDWR if writable else os.O_RDONLY
        self._files: OrderedDict[bytes, BackingFile] = OrderedDict()
        self._directories: OrderedDict[bytes, BackingFile] = OrderedDict()
        self._dirty: set[bytes] = set()
        self._dirty_directories: set[bytes] = set()
        self._locks: list[BackingFile] = []

    def lock(self, path: bytes) -> None:
        """Keep every other writer on this machine away until :meth:`close`.

        Raises:
            ConflictError: there is one already.
            IntegrityError, OSError: as :meth:`open`.
        """
        # A handle of its own, since those in the cache come and go, and the lock goes with its handle.
        handle = BackingFile(os.dup(self.open(path).descriptor))
        self._locks.append(handle)
        try:
            fcntl.flock(handle.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                "the volume is open for writing already", hint="wait until the other run on this machine has ended"
            ) from error

    def open(self, path: bytes) -> BackingFile:
        """Return a file, opening it if it is not.

        Raises:
            IntegrityError: it is missing, or something else than a regular file stands there.
            OSError: the storage below fails.
        """
        if (file := self._files.get(path)) is not None:
            self._files.move_to_end(path)
            return file
        try:
            parent, name = self._parent(path)
            descriptor = os.open(name, self._mode | _FILE, dir_fd=parent)
        except OSError as error:
            # ENXIO: a socket, or a device that nobody drives.
            if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO}:
                raise IntegrityError(f"the ciphertext file {os.fsdecode(path)!r} is missing or exchanged") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise IntegrityError(f"the ciphertext file {os.fsdecode(path)!r} is not a regular file")
        return self._keep(path, descriptor)

    def read_link(self, path: bytes) -> bytes:
        """Return the target of a symbolic link.

        Raises:
            IntegrityError: it is missing, or something else stands there.
            OSError: the storage below fails.
        """
        try:
            parent, name = self._parent(path)
            return os.readlink(name, dir_fd=parent)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EINVAL}:
                raise IntegrityError(f"the link {os.fsdecode(path)!r} is missing or exchanged") from error
            raise

    def create(self, path: bytes) -> bytes:
        """Make a new file at the path, or beside it if something stands there; return the path that it got."""
        self._make_parents(path)
        candidate, number = path, 0
        while True:
            parent, name = self._parent(candidate)
            try:
                descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=parent)
            except FileExistsError:
                number += 1
                candidate = path + b"~%d" % number
                continue
            self._keep(candidate, descriptor)
            self._dirty_directories.add(candidate.rpartition(b"/")[0])
            return candidate

    def written(self, path: bytes) -> None:
        """Note that a file has to be made durable (:meth:`pending`)."""
        self._dirty.add(path)

    def pending(self) -> Pending:
        """Return what was noted, the names of new files with it; from now on it counts as done.

        Raises:
            IntegrityError, OSError: as :meth:`open`.
        """
        if len(self._dirty) > _ALL_AT_ONCE:
            # One call for the whole file system below is far cheaper than one for each of thousands of files.
            pending = Pending([], self._root)
        else:
            # In order, so that the same commit makes the same system calls each time.
            files = [self.open(path) for path in sorted(self._dirty)]
            pending = Pending([*files, *map(self._directory, sorted(self._dirty_directories))], None)
        self._dirty.clear()
        self._dirty_directories.clear()
        return pending

    def unlink(self, path: bytes) -> None:
        """Remove a file, and the directories above it that are empty then; nothing happens if it is gone."""
        self._files.pop(path, None)
        self._dirty.discard(path)
        with suppress(FileNotFoundError, NotADirectoryError):
            parent, name = self._parent(path)
            os.unlink(name, dir_fd=parent)
        self.remove_empty(path.rpartition(b"/")[0])

    def remove_empty(self, path: bytes) -> None:
        """Remove a directory if it is empty, and those above it that are empty then."""
        while path:
            try:
                parent, name = self._parent(path)
                os.rmdir(name, dir_fd=parent)
            except OSError:
                return
            self._directories.pop(path, None)
            self._dirty_directories.discard(path)
            path = path.rpartition(b"/")[0]

    def space(self) -> os.statvfs_result:
        """Return what statvfs(3) says of the storage below."""
        return os.fstatvfs(self._root.descriptor)

    def close(self) -> None:
        """Close every handle."""
        for file in (*self._files.values(), *self._directories.values(), *self._locks, self._root):
            file.close()
        self._files.clear()
        self._directories.clear()

    def _keep(self, path: bytes, descriptor: int) -> BackingFile:
        file = self._files[path] = BackingFile(descriptor)
        if len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)
        return file

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        return self._directory(path.rpartition(b"/")[0]).descriptor, _last_name(path)

    def _directory(self, path: bytes) -> BackingFile:
        """Return a handle on a directory, walking down from the nearest one above it that is open."""
        missing = []
        while path and path not in self._directories:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        directory: BackingFile = self._root
        if path:
            self._directories.move_to_end(path)
            directory = self._directories[path]
        for below in reversed(missing):
            descriptor = os.open(_last_name(below), _DIRECTORY, dir_fd=directory.descriptor)
            directory = self._directories[below] = _Directory(descriptor)
            if len(self._directories) > _OPEN_DIRECTORIES:
                self._directories.popitem(last=False)
        return directory

    def _make_parents(self, path: bytes) -> None:
        missing = []
        while (path := path.rpartition(b"/")[0]) and path not in self._directories:
            missing.append(path)
        for above in reversed(missing):
            parent, name = self._parent(above)
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent)
            # Also if it was there: somebody may have made it and been killed before it was made durable. To sync a
            # directory that is durable already costs next to nothing.
            self._dirty_directories.add(above.rpartition(b"/")[0])


def _last_name(path: bytes) -> bytes:
    name = path.rpartition(b"/")[2]
    if name in {b"", b".", b".."}:
        raise IntegrityError(f"{os.fsdecode(path)!r} is not a path of a ciphertext file")
    return name
