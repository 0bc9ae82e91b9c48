"""A volume in memory: decrypted into a directory on tmpfs, and written back from time to time and at the end.

For hosts without FUSE. Two things differ from the FUSE mount, and the runtime says so: fsync(2) is no commit point,
and a damaged file is found out before the application starts, not when it is read. Nothing here mounts.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import BannockError, EnvironmentFault
from bannock.shield.loading import load
from bannock.shield.pack import store_file

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.shield.volume import Volume

__all__ = ["MemoryVolume"]

_log = logging.getLogger("bannock.shield")

#: How often changes are written back while the application runs.
_INTERVAL_SECONDS: Final = 10.0
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT: Final = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


class _Stamp(NamedTuple):
    """What changes when a file in memory does."""

    inode: int
    size: int
    modified: int
    changed: int
    mode: int


def _stamp(status: os.stat_result) -> _Stamp:
    return _Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)


class MemoryVolume:
    """An open volume and its decrypted copy.

    Args:
        label: the path that the application sees, for the log.
        volume: where changes go.
        target: an empty directory on tmpfs.
        processes: how many decrypt it together; more than one where this process has one thread.
    """

    def __init__(self, label: str, volume: Volume, target: Path, *, processes: int = 1) -> None:
        self._label = label
        self._volume = volume
        self._target = target
        self._processes = processes
        self._stamps: dict[tuple[int, bytes], _Stamp] = {}
        self._linked: dict[int, int] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"write-back {label}", daemon=True)

    def load(self) -> None:
        """Decrypt the volume.

        Raises:
            IntegrityError: a file in the volume is damaged.
            EnvironmentFault: the memory does not suffice.
        """
        try:
            load(self._volume, self._target, processes=self._processes)
            if self._volume.keeps:
                self._remember(os.open(self._target, _DIRECTORY), self._volume.root)
        except OSError as error:
            raise EnvironmentFault(f"cannot open {self._label} in memory: {error.strerror}") from error

    def start(self) -> None:
        """Begin to write back what is changed from now on."""
        if self._volume.keeps:
            self._thread.start()

    def stop(self) -> None:
        """Write back the last changes and commit them.

        Raises:
            BannockError: they cannot be kept.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.write_back(last=True)

    def write_back(self, *, last: bool = False) -> None:
        """Bring the volume to the state of the copy in memory and commit it.

        Raises:
            BannockError: it cannot be kept.
        """
        if not self._volume.keeps:
            return
        with self._lock:
            try:
                self._linked.clear()
                self._update(os.open(self._target, _DIRECTORY), self._volume.root, last=last)
            except OSError as error:
                raise EnvironmentFault(f"cannot write back {self._label}: {error.strerror}") from error
            self._volume.commit()

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL_SECONDS):
            try:
                self.write_back()
            except BannockError as error:
                _log.error("%s: %s", self._label, error)
                if self._volume.failure is not None:
                    return

    def _remember(self, directory: int, ino: int) -> None:
        """Note what every file looks like right after it was decrypted."""
        try:
            for entry in self._volume.names.entries(ino):
                status = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
                self._stamps[ino, entry.name] = _stamp(status)
                if stat.S_ISDIR(entry.kind):
                    self._remember(os.open(entry.name, _DIRECTORY, dir_fd=directory), entry.ino)
        finally:
            os.close(directory)

    def _update(self, directory: int, parent: int, *, last: bool) -> None:
        """Bring one directory of the volume up to date, and close its handle."""
        try:
            device = os.fstat(directory).st_dev
            with os.scandir(directory) as entries:
                found = {os.fsencode(entry.name): entry.stat(follow_symlinks=False) for entry in entries}
            # What is mounted in here is not the volume's.
            mounted = {name for name, status in found.items() if status.st_dev != device}
            kept = {entry.name: entry for entry in self._volume.names.entries(parent) if entry.name not in mounted}
            for name, entry in kept.items():
                status = found.get(name)
                if status is None or stat.S_IFMT(status.st_mode) != entry.kind:
                    self._remove(parent, name, entry.ino, entry.kind)
            for name, status in found.items():
                if name in mounted:
                    continue
                if stat.S_IFMT(status.st_mode) in _KEPT:
                    self._update_entry(directory, parent, name, status, last=last)
                elif last:
                    _log.warning("%s: %s is not a file and is not kept", self._label, os.fsdecode(name))
        finally:
            os.close(directory)

    def _update_entry(self, directory: int, parent: int, name: bytes, status: os.stat_result, *, last: bool) -> None:
        stamp = _stamp(status)
        if stat.S_ISDIR(status.st_mode):
            ino = self._find_or_make(parent, name, status)
            self._update(os.open(name, _DIRECTORY, dir_fd=directory), ino, last=last)
        elif self._stamps.get((parent, name)) == stamp:
            if status.st_nlink > 1:
                self._linked[status.st_ino] = self._volume.names.lookup(parent, name)
            return
        elif (linked := self._linked.get(status.st_ino)) is not None:
            self._link(parent, name, linked)
            ino = linked
        elif stat.S_ISLNK(status.st_mode):
            self._drop_if_there(parent, name)
            ino = self._volume.names.symlink(parent, name, os.fsencode(os.readlink(name, dir_fd=directory)))
        else:
            ino = self._find_or_make(parent, name, status)
            self._store(directory, name, ino)
            if status.st_nlink > 1:
                self._linked[status.st_ino] = ino
        if self._stamps.get((parent, name)) != stamp:
            self._stamps[parent, name] = stamp
            inode = self._volume.inodes.change(ino)
            inode.mode = status.st_mode
            inode.modified = inode.accessed = status.st_mtime_ns

    def _store(self, directory: int, name: bytes, ino: int) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            store_file(self._volume, ino, descriptor)
        finally:
            os.close(descriptor)

    def _find_or_make(self, parent: int, name: bytes, status: os.stat_result) -> int:
        try:
            return self._volume.names.lookup(parent, name)
        except FileNotFoundError:
            return self._volume.names.make(parent, name, status.st_mode, uid=status.st_uid, gid=status.st_gid)

    def _link(self, parent: int, name: bytes, ino: int) -> None:
        try:
            if self._volume.names.lookup(parent, name) == ino:
                return
            self._volume.names.unlink(parent, name)
        except FileNotFoundError:
            pass
        self._volume.names.link(ino, parent, name)

    def _drop_if_there(self, parent: int, name: bytes) -> None:
        try:
            self._volume.names.unlink(parent, name)
        except FileNotFoundError:
            return

    def _remove(self, parent: int, name: bytes, ino: int, kind: int) -> None:
        """Remove a name, and a directory with all that is in it."""
        self._stamps.pop((parent, name), None)
        if not stat.S_ISDIR(kind):
            self._volume.names.unlink(parent, name)
            return
        for entry in list(self._volume.names.entries(ino)):
            self._remove(ino, entry.name, entry.ino, entry.kind)
        self._volume.names.rmdir(parent, name)
