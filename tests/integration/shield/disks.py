"""Disks that can fail: small, read-only, without room for more files, broken, or without power. All need root."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import pytest

__all__ = ["Ext4", "Tmpfs"]

_PATIENCE_SECONDS: Final = 10.0
_MKFS: Final = "/sbin/mkfs.ext4"
#: EXT4_IOC_SHUTDOWN of linux/fs.h: the file system is gone, and everything is refused with EIO from then on.
_SHUTDOWN: Final = 0x8004587D
#: EXT4_GOING_FLAGS_NOLOGFLUSH: what was not made durable is lost, as when the power goes.
_WITHOUT_LOG: Final = 2


def _run(*command: str | os.PathLike[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _mounts() -> list[str]:
    return Path("/proc/mounts").read_text().splitlines()


def _is_mounted(path: Path) -> bool:
    # Not by stat(2), which a broken file system refuses.
    return any(line.split()[1] == str(path) for line in _mounts())


def _mount(*arguments: str | os.PathLike[str]) -> None:
    if subprocess.run(["/bin/mount", *arguments], check=False, capture_output=True).returncode:
        pytest.skip("this root may not mount")


class _Mounted:
    """A file system that is mounted; a context manager that takes it away.

    Attributes:
        path: where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def mount(self) -> None:
        """Mount it."""
        raise NotImplementedError

    def unmount(self) -> None:
        """Unmount it; what still uses it has a moment to end.

        Raises:
            AssertionError: it is in use.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while _is_mounted(self.path):
            done = subprocess.run(["/bin/umount", self.path], check=False, capture_output=True, text=True)
            assert not done.returncode or time.monotonic() < deadline, done.stderr

    def __enter__(self) -> Self:
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        self.unmount()


class Tmpfs(_Mounted):
    """A disk in memory, of so many bytes and files."""

    def __init__(self, path: Path, *, size: int, files: int = 0) -> None:
        super().__init__(path)
        self._options = f"size={size},nr_inodes={files}"

    def mount(self) -> None:
        """Make and mount it."""
        _mount("-t", "tmpfs", "-o", self._options, "small", self.path)

    def resize(self, size: int) -> None:
        """Give it another size."""
        _run("/bin/mount", "-o", f"remount,size={size}", self.path)


class Ext4(_Mounted):
    """An ext4 in an image of its own.

    Args:
        path: where it is mounted.
        image: where the image is made; a sparse file, so that the disk below can be smaller than this one.
        size: bytes.
        files: how many there can be, 0: as many as usual.
    """

    def __init__(self, path: Path, image: Path, *, size: int, files: int = 0) -> None:
        super().__init__(path)
        self._image = image
        self._device = ""
        if not Path(_MKFS).exists():
            pytest.skip(f"needs {_MKFS}")
        with image.open("wb") as file:
            file.truncate(size)
        more = ["-N", str(files)] if files else []
        _run(_MKFS, "-q", "-O", "^resize_inode", "-E", "lazy_itable_init=0,lazy_journal_init=0", *more, image)

    def mount(self) -> None:
        """Mount it; what was interrupted is recovered from the journal."""
        if self._device and Path("/sys/fs/ext4", self._device).exists():
            # Somebody's mount namespace, made meanwhile, has a copy of the mount, so this one would be the same again.
            copy = self._image.with_name(self._image.name + "+")
            _run("/bin/cp", "--sparse=always", self._image, copy)
            self._image = copy
        _mount("-o", "loop,errors=remount-ro", self._image, self.path)
        self._device = next(Path(line.split()[0]).name for line in _mounts() if line.split()[1] == str(self.path))

    def repair(self) -> None:
        """Do what an administrator does after a disk has failed."""
        subprocess.run(["/sbin/e2fsck", "-fy", self._image], check=False, capture_output=True)

    def make_read_only(self) -> None:
        """Have ext4 find an error, after which it refuses every write, whoever has a file open for it."""
        Path("/sys/fs/ext4", self._device, "trigger_fs_error").write_text("a test")

    def cut_power(self) -> None:
        """Lose everything that is not durable, and answer nothing any more."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            with suppress(OSError):
                fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(handle)
