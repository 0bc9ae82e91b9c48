"""A directory for the sockets of a connection, which is gone at the latest when the next one is made."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["socket_directory"]

_PREFIX: Final = "bannock-ssh-"
_LOCK: Final = "lock"
#: One that is younger may be about to be locked.
_YOUNG_SECONDS: Final = 60.0
#: A socket's path has 107 bytes at most (unix(7)); ssh gives its own one 17 characters more for a while.
_PATH_BYTES_MAX: Final = 107 - len(f"/{_PREFIX}12345678/control.1234567890123456")
_SHORT: Final = (Path("/tmp"), Path("/run"))  # noqa: S108 # a private directory is made there


@contextmanager
def socket_directory() -> Iterator[Path]:
    """Give a new private directory; those that killed processes have left are removed on this occasion.

    In the directory of temporary files: a unix socket's path is short, and not every file system takes one.

    Raises:
        EnvironmentFault: no such directory has a path that is short enough.
    """
    above = _above()
    _sweep(above)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=above))
    try:
        with (path / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _above() -> Path:
    """Return where the directory is made: a user's own place for temporary files may have a long path."""
    wanted = Path(tempfile.gettempdir())
    for place in (wanted, *_SHORT):
        if len(os.fsencode(place)) <= _PATH_BYTES_MAX and os.access(place, os.W_OK | os.X_OK):
            return place
    raise EnvironmentFault(
        f"the sockets of a connection find no place: {wanted} has more than {_PATH_BYTES_MAX} characters",
        hint="set TMPDIR to a directory with a shorter path",
    )


def _sweep(directory: Path) -> None:
    for path in directory.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _YOUNG_SECONDS:
                with (path / _LOCK).open("r+") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
