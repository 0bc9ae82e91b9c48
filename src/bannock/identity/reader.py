"""Reading files below a root directory as a process with that root would, and never anything outside of it.

Links are followed by hand: absolute ones start again at the root and ``..`` stops there, so a root that belongs to
somebody hostile leads nowhere else. Not responsible for what is read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["RootedReader"]

#: As many as the kernel follows (path_resolution(7)).
_MAX_LINKS: Final = 40
_MAX_PATH: Final = 4096
_BLOCK: Final = 1 << 20
_STEP: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RootedReader:
    """Reads below ``root``: ``/``, or ``/proc/PID/root`` for the files that another process sees."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def resolve(self, path: str) -> str:
        """Return the canonical path of what a path means: absolute, without links.

        Raises:
            InputError: it does not exist, or its links go in circles.
        """
        waiting = [part for part in reversed(path.split("/")) if part]
        done: list[str] = []
        links = 0
        while waiting:
            part = waiting.pop()
            if part == ".":
                continue
            if part == "..":
                done = done[:-1]
                continue
            target = self._link([*done, part], path)
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS or len(target) > _MAX_PATH:
                raise InputError(f"{path}: too many symbolic links")
            if target.startswith("/"):
                done = []
            waiting.extend(part for part in reversed(target.split("/")) if part)
        return "/" + "/".join(done)

    def exists(self, path: str) -> bool:
        """Whether a path means anything."""
        try:
            self.resolve(path)
        except InputError:
            return False
        return True

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Read a part of a regular file, less at its end.

        Raises:
            InputError: it cannot be read.
        """
        with self._open(self.resolve(path)) as descriptor:
            return os.pread(descriptor, size, offset)

    def digest(self, path: str) -> tuple[bytes, int]:
        """Return SHA-256 and size of a regular file.

        Raises:
            InputError: it cannot be read.
        """
        digest, size = hashlib.sha256(), 0
        with self._open(self.resolve(path)) as descriptor:
            while block := os.pread(descriptor, _BLOCK, size):
                digest.update(block)
                size += len(block)
        return digest.digest(), size

    def _link(self, parts: list[str], asked: str) -> str | None:
        """Return the target of a link, None for anything else."""
        try:
            with self._directory(parts[:-1]) as parent:
                try:
                    return os.readlink(parts[-1], dir_fd=parent)
                except OSError as error:
                    if error.errno == errno.EINVAL:
                        return None
                    raise
        except OSError as error:
            raise InputError(f"cannot look at {asked}: {error.strerror}") from error

    @contextmanager
    def _directory(self, parts: list[str]) -> Iterator[int]:
        descriptor = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                below = os.open(part, _STEP, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _open(self, canonical: str) -> Iterator[int]:
        *above, name = canonical.split("/")[1:]
        try:
            with self._directory(above) as parent:
                descriptor = os.open(name or ".", _FILE, dir_fd=parent)
        except OSError as error:
            raise InputError(f"cannot read {canonical}: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{canonical} is not a regular file")
            yield descriptor
        except OSError as error:
            raise InputError(f"cannot read {canonical}: {error.strerror}") from error
        finally:
            os.close(descriptor)
