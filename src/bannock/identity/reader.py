"""Reading files below a root directory as a process with that root would, and never anything outside of it.

Paths are walked by hand, one directory descriptor after the other: absolute links start again at the root and ``..``
stops there, so a root that belongs to somebody hostile leads nowhere else, whatever is exchanged meanwhile. Only
regular files are opened. Not responsible for what is read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Rights", "RootedReader"]

#: As many as the kernel follows, and as long as it takes (path_resolution(7)).
_MAX_LINKS: Final = 40
_MAX_PATH: Final = 4096
#: Each level holds a descriptor while a path is walked.
_MAX_DEPTH: Final = 128
#: Larger than any program or library; a bound on the time that one measurement takes.
_MAX_FILE_BYTES: Final = 4 << 30
_BLOCK: Final = 1 << 20
_ROOT: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_STEP: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class Rights(NamedTuple):
    """Whose rights over files count, by their mode: for a reader that itself may read more than who asks it."""

    user: int
    groups: frozenset[int]

    def require(self, status: os.stat_result, right: int) -> None:
        """Raise PermissionError where the right (``os.R_OK``, ``os.X_OK``) is missing."""
        if status.st_uid == self.user:
            mode = status.st_mode >> 6
        elif status.st_gid in self.groups:
            mode = status.st_mode >> 3
        else:
            mode = status.st_mode
        if not mode & right:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


class RootedReader:
    """Reads below ``root``: ``/``, or a directory that is the root of another process.

    Args:
        root: the directory.
        rights: whose rights count besides our own; None for our own alone.
    """

    def __init__(self, root: Path, rights: Rights | None = None) -> None:
        self._root = root
        self._rights = rights

    def resolve(self, path: str) -> str:
        """Return the canonical path of what a path means: absolute, without links.

        Raises:
            InputError: it does not exist, its links go in circles, or it must not be looked at.
        """
        with _told(path, "look at"), self._found(path) as (canonical, _):
            return canonical

    def exists(self, path: str) -> bool:
        """Whether a path means anything.

        Raises:
            InputError: it must not be looked at, so that this cannot be known.
        """
        try:
            self.resolve(path)
        except InputError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in _ABSENT:
                return False
            raise
        return True

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Read a part of a regular file, less at its end.

        Raises:
            InputError: it cannot be read.
        """
        with _told(path, "read"), self._opened(path) as (descriptor, length):
            return os.pread(descriptor, max(0, min(size, length - offset)), offset)

    def digest(self, path: str) -> tuple[bytes, int]:
        """Return SHA-256 and size of a regular file; it is never in memory as a whole.

        Raises:
            InputError: it cannot be read, or is too large to be measured.
        """
        digest, size = hashlib.sha256(), 0
        with _told(path, "read"), self._opened(path) as (descriptor, length):
            if length > _MAX_FILE_BYTES:
                raise InputError(f"{path} is larger than the {_MAX_FILE_BYTES} bytes that can be measured")
            while block := os.pread(descriptor, min(_BLOCK, length - size), size):
                digest.update(block)
                size += len(block)
        return digest.digest(), size

    @contextmanager
    def _opened(self, path: str) -> Iterator[tuple[int, int]]:
        """Give a descriptor of a regular file and the file's size; more is never read of it."""
        with self._found(path) as (canonical, place):
            status = os.fstat(place)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{canonical} is not a regular file")
            if self._rights is not None:
                self._rights.require(status, os.R_OK)
            # Files of /proc say that they are empty. Reading some waits for ever, or takes what others wait for.
            if status.st_size == 0 and os.fstatvfs(place).f_blocks == 0:
                raise InputError(f"{canonical} is made up by the kernel as it is read, and is no file to measure")
            descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                yield descriptor, status.st_size
            finally:
                os.close(descriptor)

    @contextmanager
    def _found(self, path: str) -> Iterator[tuple[str, int]]:
        """Give the canonical path and a descriptor (O_PATH) of what a path means; OSError if there is nothing."""
        if not path.startswith("/") or "\0" in path or len(path) > _MAX_PATH:
            raise InputError(f"a path in an enclave is absolute and not too long, found {path[:80]!r}")
        descriptors = [os.open(self._root, _ROOT)]
        try:
            names = _walk(path, descriptors, self._rights)
            yield "/" + "/".join(names), descriptors[-1]
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def _walk(path: str, descriptors: list[int], rights: Rights | None) -> list[str]:
    """Follow a path from the one descriptor in the list, the root; leave the descriptors of its names in the list."""
    waiting = _parts(path)
    names: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop()
        _require_searchable(descriptors[-1], rights)
        if part in (".", ".."):
            if part == ".." and names:
                names.pop()
                os.close(descriptors.pop())
            continue
        target = _link(part, descriptors[-1])
        if target is None:
            if len(names) == _MAX_DEPTH:
                raise InputError(f"{path[:80]} is more than {_MAX_DEPTH} directories deep")
            descriptors.append(os.open(part, _STEP, dir_fd=descriptors[-1]))
            names.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            names.clear()
            while len(descriptors) > 1:
                os.close(descriptors.pop())
        waiting += _parts(target)
    return names


def _require_searchable(directory: int, rights: Rights | None) -> None:
    status = os.fstat(directory)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if rights is not None:
        rights.require(status, os.X_OK)


def _parts(path: str) -> list[str]:
    return [part for part in reversed(path.split("/")) if part]


def _link(name: str, directory: int) -> str | None:
    """Return the target of a link, None for anything else."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


@contextmanager
def _told(path: str, what: str) -> Iterator[None]:
    """Tell errors of the kernel as ours."""
    try:
        yield
    except (OSError, OverflowError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no such place or name"
        shown = path[:200] if path.isprintable() else repr(path[:200])
        raise InputError(f"cannot {what} {shown}: {str(reason).lower()}") from error
