"""Writing and reading files that nobody else may see, and that are either whole or not there.

The one place that knows how a file becomes durable. Not responsible for what is in the files.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import stat
from typing import TYPE_CHECKING, BinaryIO, Final

from bannock.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "atomic_writer",
    "make_durable_directory",
    "private_directory",
    "read_bounded",
    "read_private",
    "sync_directory",
    "sync_file_system",
    "write_atomically",
]

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
#: More than any key, certificate or configuration file of ours; a bound on what is read into memory.
_MAX_PRIVATE_BYTES: Final = 16 << 20


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new one, never a part.

    The data and the name are on the disk when this returns.

    Raises:
        EnvironmentFault: the file system refuses.
    """
    with atomic_writer(path, mode=mode) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_writer(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Write a file piece by piece that has its name, and is on the disk, when all of it has been written.

    Raises:
        EnvironmentFault: the file system refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {path}: {error.strerror}") from error


def make_durable_directory(path: Path) -> None:
    """Make a directory that only its owner can look into, and those above it, if they are not there.

    What is put into it later, and made durable there, is not lost because the directory itself has no name after a
    power cut.

    Raises:
        OSError: the file system refuses.
    """
    if not path.parent.exists():
        make_durable_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    # Also if it was there: whoever made it may have been stopped before this.
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable (fsync(2) on a file does not)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(descriptor: int) -> None:
    """Make everything durable that was written to the file system of an open file (syncfs(2)).

    Raises:
        OSError: something could not be written.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def private_directory(path: Path) -> Path:
    """Make a directory (and those above it) that only its owner can look into, and return it.

    One that is there, empty, and its owner's alone to write in becomes such a directory, and root's if we are root:
    that is what a container engine or ``mkdir`` makes for us.

    Raises:
        EnvironmentFault: it cannot be made.
        InputError: it is in use and others have rights in it, or it is not a directory of ours.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.stat()
        if _is_open(status) and not status.st_mode & _OTHERS_WRITE and not path.is_symlink():
            status = _closed_if_empty(path)
    except OSError as error:
        raise EnvironmentFault(f"cannot make the directory {path}: {error.strerror}") from error
    if _is_open(status):
        raise InputError(
            f"{path} is open to others: mode {stat.S_IMODE(status.st_mode):04o}, owner {status.st_uid}; "
            f"expected 0700, owner {os.geteuid()}",
            hint=f"chmod 700 {path}, or name another directory",
        )
    return path


def _is_open(status: os.stat_result) -> bool:
    return bool(status.st_mode & _OTHERS) or status.st_uid != os.geteuid()


def _is_empty(descriptor: int) -> bool:
    with os.scandir(descriptor) as entries:
        return next(entries, None) is None


def _closed_if_empty(path: Path) -> os.stat_result:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.geteuid() == 0 and _is_empty(descriptor):
            os.fchown(descriptor, os.geteuid(), -1)
        # Whoever owned it may have written until now.
        if os.fstat(descriptor).st_uid == os.geteuid() and _is_empty(descriptor):
            os.fchmod(descriptor, 0o700)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Raises:
        InputError: it is not there, not readable, not a regular file, or larger.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{path} is not a regular file")
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise InputError(f"{path} is larger than the {limit} bytes allowed here")
    return data


def read_private(path: Path) -> bytes:
    """Read a file that holds secrets, and refuse one that others could have read.

    Raises:
        InputError: it is missing, or group or others have rights on it.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if mode & _OTHERS:
        raise InputError(
            f"{path} is open to others: mode {stat.S_IMODE(mode):04o}, expected 0600",
            hint=f"chmod 600 {path}; replace the secret in it if others may have read it",
        )
    return read_bounded(path, _MAX_PRIVATE_BYTES)
