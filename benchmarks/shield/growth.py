"""How cost grows with a volume: opening one of a thousand files and one of a million, and the memory for that."""

from __future__ import annotations

import errno
import json
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from bannock.shield.format.records import ROOT
from bannock.shield.volume import Volume
from bannock.values import FspfTag
from benchmarks.goals import Unit
from benchmarks.shield.goals import Contender
from benchmarks.shield.host import KEY
from benchmarks.shield.machine import drop_caches
from benchmarks.shield.places import BannockPlace, mounted
from benchmarks.shield.results import RowInfo
from benchmarks.shield.trees import walk
from benchmarks.shield.workload import timed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.shield.places import Place
    from benchmarks.shield.workload import Measured, Setting

__all__ = ["Memory", "OpenOne"]

_FILES_PER_DIRECTORY: Final = 1000
_FILES_PER_COMMIT: Final = 50_000
_CONTENT: Final = b"tiny"


class OpenOne:
    """A volume is mounted and one of its files read, in a small volume and in a huge one."""

    name = "open-one"
    contenders = (Contender.BANNOCK,)
    fresh = False
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        return {
            f"open-{name}": RowInfo(f"mount a volume of {files:,} files, read one, {_how(setting)}", Unit.MILLISECONDS)
            for name, files in _volumes(setting).items()
        }

    def prepare(self, setting: Setting, place: Place) -> None:
        for files in _volumes(setting).values():
            _make(setting.kept, files)

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        for name, files in _volumes(setting).items():
            kept = _make(setting.kept, files)
            if setting.cold:
                drop_caches()
            with mounted(kept), timed() as watch:
                content = _file(kept.root, files // 2).read_bytes()
            if content != _CONTENT:
                raise OSError(errno.EIO, "the file reads as something else")
            yield f"open-{name}", 1000 * (kept.mount_seconds + watch.seconds)


class Memory:
    """Every file of the huge volume is looked at; then the process that serves it is."""

    name = "memory"
    contenders = (Contender.BANNOCK,)
    fresh = False
    once = True

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        files = f"{setting.sizes.many_files:,} files"
        return {
            "walk-many": RowInfo(f"walk a volume of {files}, {_how(setting)}", Unit.SECONDS),
            "memory-now": RowInfo(f"memory of the mount after a walk of {files}", Unit.MEBIBYTES),
            "memory-peak": RowInfo(f"its peak during a walk of {files}", Unit.MEBIBYTES),
        }

    def prepare(self, setting: Setting, place: Place) -> None:
        _make(setting.kept, setting.sizes.many_files)

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        kept = _make(setting.kept, setting.sizes.many_files)
        with mounted(kept):
            if setting.cold:
                drop_caches()
            with timed() as watch:
                count = walk(kept.root)
            if count != setting.sizes.many_files:
                raise OSError(errno.EIO, f"{count} files were found, expected {setting.sizes.many_files}")
            yield "walk-many", watch.seconds
            yield "memory-now", _memory(kept.process, "VmRSS")
            yield "memory-peak", _memory(kept.process, "VmHWM")


def _volumes(setting: Setting) -> dict[str, int]:
    return {"few": setting.sizes.few_files, "many": setting.sizes.many_files}


def _how(setting: Setting) -> str:
    return "cold" if setting.cold else "warm"


def _file(top: Path, number: int) -> Path:
    return top / f"d{number // _FILES_PER_DIRECTORY:04}" / f"f{number:07}"


def _make(kept: Path, files: int) -> BannockPlace:
    """Make a volume of many tiny files through the library, or find the one that an earlier measurement made."""
    directory = kept / f"volume-{files}"
    state = directory / "state.json"
    if not _is_usable(directory / "storage", state):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        with Volume.create(directory / "storage", KEY) as volume:
            _fill(volume, files)
            tag = volume.commit()
        # Last, so that nobody takes a part of a volume for all of it; and before the place makes an empty one.
        state.write_text(json.dumps({"tag": str(tag)}), encoding="ascii")
    return BannockPlace(directory)


def _is_usable(volume: Path, state: Path) -> bool:
    """Say whether a volume was made to its end, by a version whose format is still the same."""
    if not state.exists():
        return False
    tag = FspfTag.from_hex(json.loads(state.read_text(encoding="ascii"))["tag"])
    try:
        Volume.open(volume, KEY, tag, writable=False).close()
    except BannockError:
        return False
    return True


def _fill(volume: Volume, files: int) -> None:
    parent = ROOT
    for number in range(files):
        path = _file(Path(), number)
        if number % _FILES_PER_DIRECTORY == 0:
            parent = volume.names.make(ROOT, path.parent.name.encode(), stat.S_IFDIR | 0o755)
        ino = volume.names.make(parent, path.name.encode(), stat.S_IFREG | 0o644)
        # A few have something in them, so that there is something to read.
        if number % (files // 10) == 0:
            volume.inodes.write(ino, 0, _CONTENT)
        if (number + 1) % _FILES_PER_COMMIT == 0:
            volume.commit()


def _memory(process: int, field: str) -> float:
    """Return a size that proc(5) gives in KiB, in MiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, flags=re.MULTILINE)
    if found is None:
        raise OSError(errno.ENODATA, f"/proc does not tell {field}")
    return int(found[1]) / 1024
