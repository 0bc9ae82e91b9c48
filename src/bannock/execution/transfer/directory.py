"""A store that is a directory which client and host both see: a share, a mounted bucket, a disk that is carried.

Whoever else writes there is not trusted, so links are not followed and nothing but regular files is read.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, NotFoundError, PeerError
from bannock.execution.transfer.storage import MIB, Stored

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DirectoryStore"]

_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_BLOCK: Final = 1 << 20


class DirectoryStore:
    """The files of one stream.

    Args:
        directory: of the run, which is made when it is needed.
        prefix: what names of files begin with.

    Attributes:
        name: for people.
    """

    def __init__(self, directory: Path, prefix: str = "") -> None:
        self._directory = directory
        self._prefix = prefix
        self.name: Final = str(directory)

    def make(self) -> None:
        """Make the directory, if it is not there.

        Raises:
            EnvironmentFault: it cannot be made.
        """
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"cannot make {self._directory}: {error.strerror}") from error

    def part_bytes(self, number: int) -> int:
        """Return how large a part is to be (:class:`bannock.execution.transfer.storage.Store`)."""
        del number
        return 16 * MIB

    def put(self, name: str, data: bytes | memoryview) -> Stored:
        """Keep a file (:class:`bannock.execution.transfer.storage.Store`)."""
        reference = f"{self._prefix}{name}"
        try:
            # Nobody sees a part of a file. The other side may be another user; what is in it is ciphertext.
            written = self._directory / f".{reference}.{secrets.token_hex(8)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(written, flags, 0o644), "wb", buffering=0) as file:
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) or 0 :]
                written.replace(self._directory / reference)
            except BaseException:
                written.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise EnvironmentFault(f"cannot write in {self._directory}: {error.strerror}") from error
        return Stored(reference=reference)

    def get(self, reference: str, limit: int) -> bytearray:
        """Fetch a file (:class:`bannock.execution.transfer.storage.Store`)."""
        path = self._path(reference)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise PeerError(f"{path} is not a regular file")
                data = bytearray()
                while len(data) <= limit and (block := file.read(min(_BLOCK, limit + 1 - len(data)))):
                    data += block
        except FileNotFoundError as error:
            raise NotFoundError(f"{path} is not there, or no longer", hint="start the run again") from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise PeerError(f"{path} is a link, not a file") from error
            raise EnvironmentFault(f"cannot read {path}: {error.strerror}") from error
        return data

    def delete(self, stored: Stored) -> None:
        """Delete a file, and the run's directory with the last one."""
        try:
            self._path(stored.reference).unlink(missing_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"cannot delete in {self._directory}: {error.strerror}") from error
        try:
            self._directory.rmdir()
        except OSError:
            return

    def delete_all(self) -> None:
        """Delete the run's directory with all that is in it."""
        try:
            shutil.rmtree(self._directory)
        except FileNotFoundError:
            return
        except OSError as error:
            raise EnvironmentFault(f"cannot delete {self._directory}: {error.strerror}") from error

    def _path(self, reference: str) -> Path:
        if not _REFERENCE.fullmatch(reference):
            raise PeerError(f"{reference[:80]!r} is no name of a file in {self._directory}")
        return self._directory / reference
