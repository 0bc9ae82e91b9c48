"""Volumes under one FUSE mount, served by a thread of its own.

One mount serves several volumes, each as a directory of its own below the root; who mounts binds them to where they
belong.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from typing import TYPE_CHECKING, Final

import pyfuse3
import trio

from bannock.errors import BannockError
from bannock.shield.fuse_operations import Operations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bannock.shield.volume import Volume

__all__ = ["FuseServer"]

_log = logging.getLogger("bannock.shield")

#: How long a close(2) may wait for others to be committed with it.
_GROUP_SECONDS: Final = 0.5
_START_SECONDS: Final = 10
_OPTIONS: Final = frozenset({"default_permissions", "allow_other", "fsname=bannock", "subtype=shield"})


class FuseServer:
    """A mount that is served by a thread of its own.

    Args:
        mountpoint: an existing directory.
        volumes: label for the log (the path that the application sees) and volume; the n-th is found as directory
            ``n`` of the mount.
    """

    def __init__(self, mountpoint: Path, volumes: Sequence[tuple[str, Volume]]) -> None:
        self._mountpoint = mountpoint
        self._volumes = volumes
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._mounted_here = True
        self._thread = threading.Thread(target=self._serve, name="shield", daemon=True)

    def start(self) -> None:
        """Mount, and return when requests are answered.

        Raises:
            OSError: the mount is refused.
        """
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise TimeoutError(errno.ETIMEDOUT, "the FUSE mount did not come up")
        if self._failure is not None:
            raise OSError(errno.EPERM, f"FUSE refuses to mount: {self._failure}") from self._failure

    def moved(self) -> None:
        """Learn that the mount point was taken away, and the volumes are mounted elsewhere alone."""
        self._mounted_here = False

    def stop(self) -> None:
        """Unmount and return when the last request was answered; the volumes are not committed by this."""
        if self._failure is None:
            trio.from_thread.run_sync(pyfuse3.terminate, trio_token=self._token)
        self._thread.join()

    def _serve(self) -> None:
        try:
            operations = Operations(self._volumes)
            pyfuse3.init(operations, str(self._mountpoint), set(_OPTIONS))
        except RuntimeError as error:
            self._failure = error
            self._ready.set()
            return
        try:
            trio.run(self._main, operations)
            operations.forget_all()
        finally:
            pyfuse3.close(unmount=self._mounted_here)

    async def _main(self, operations: Operations) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_commit_closed, operations)
            self._ready.set()
            await pyfuse3.main()
            nursery.cancel_scope.cancel()


async def _commit_closed(operations: Operations) -> None:
    """Commit what was closed, many at a time."""
    while True:
        await operations.closed.wait()
        await trio.sleep(_GROUP_SECONDS)
        operations.closed = trio.Event()
        for index, volume in enumerate(operations.volumes):
            if volume.changed and volume.failure is None:
                started = time.monotonic()
                try:
                    volume.commit()
                except BannockError as error:
                    _log.error("volume %d: %s", index, error)
                _log.debug("volume %d: committed in %.1f ms", index, 1000 * (time.monotonic() - started))
