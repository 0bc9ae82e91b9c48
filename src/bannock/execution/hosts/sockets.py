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

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["socket_directory"]

_PREFIX: Final = "bannock-ssh-"
_LOCK: Final = "lock"
#: One that is younger may be about to be locked.
_YOUNG_SECONDS: Final = 60.0


@contextmanager
def socket_directory() -> Iterator[Path]:
    """Give a new private directory; those that killed processes have left are removed on this occasion.

    In the directory of temporary files: a unix socket's path is short, and not every file system takes one.
    """
    _sweep(Path(tempfile.gettempdir()))
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with (path / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sweep(directory: Path) -> None:
    for path in directory.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _YOUNG_SECONDS:
                with (path / _LOCK).open("r+") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
