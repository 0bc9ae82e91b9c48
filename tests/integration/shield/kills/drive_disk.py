"""Cuts the power of a real file system, an ext4 of its own, under a process that writes to a volume on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.integration.shield.disks import Ext4
from tests.integration.shield.kills.drive import Drive

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.shield.kills.process import Process

__all__ = ["DiskDrive"]

_BYTES: Final = 32 << 20


class DiskDrive(Drive):
    """Loses what is not durable at random moments; the keeper of the tag is elsewhere, and loses nothing."""

    _disk: Ext4
    _without_power = False

    def _place(self, directory: Path) -> Path:
        self._disk = Ext4(directory / "disk", directory / "image", size=_BYTES)
        self._disk.mount()
        return directory / "disk" / "volume"

    def _cut(self, process: Process) -> None:
        self._disk.cut_power()
        self._without_power = True
        process.kill()

    def _hear(self, words: list[str]) -> None:
        # Who writes to a disk without power is told EIO before it is killed itself.
        if not (self._without_power and words[0] == "error"):
            super()._hear(words)

    def _restart(self) -> None:
        self._disk.cut_power()
        self._disk.unmount()
        self._disk.mount()
        self._without_power = False

    def __exit__(self, *_: object) -> None:
        self._disk.unmount()
