"""A tree is encrypted as a whole: into a volume, into an encrypted archive, and by copying it into a mount."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

from bannock.shield.pack import create_volume
from benchmarks.shield.goals import Contender, Unit
from benchmarks.shield.host import KEY
from benchmarks.shield.machine import drop_caches
from benchmarks.shield.places import settle
from benchmarks.shield.results import RowInfo
from benchmarks.shield.sizes import human
from benchmarks.shield.trees import make_tree
from benchmarks.shield.workload import timed, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.shield.places import Place
    from benchmarks.shield.workload import Measured, Setting

__all__ = ["Packing"]

_MEGA: Final = 1_000_000
_BIG_FILES: Final = 4
_SMALL_BYTES: Final = 4096


class Packing:
    """Bannock packs by its library, age seals an archive, gocryptfs and the plain directory are copied into."""

    name = "pack"
    contenders = (Contender.BANNOCK, Contender.GOCRYPTFS, Contender.AGE, Contender.PLAIN)
    fresh = True
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        sizes, how = setting.sizes, "cold" if setting.cold else "warm"
        each = human(sizes.packed_bytes // _BIG_FILES)
        return {
            "pack-big": RowInfo(f"encrypt {_BIG_FILES} files of {each}, {how}, sync", Unit.MEGABYTES_PER_SECOND),
            "pack-small": RowInfo(
                f"encrypt {sizes.packed_files:,} files of {human(_SMALL_BYTES)}, {how}, sync",
                Unit.MEGABYTES_PER_SECOND,
            ),
        }

    def prepare(self, setting: Setting, place: Place) -> None:
        big, small = setting.work / "packed-big", setting.work / "packed-small"
        if not big.exists():
            big.mkdir()
            for number in range(_BIG_FILES):
                write_file(big / f"{number}", setting.sizes.packed_bytes // _BIG_FILES, sync=True)
            make_tree(small, setting.sizes.packed_files, _SMALL_BYTES)
        if place.contender is Contender.AGE:
            _recipient(setting.work)

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        sizes = {
            "big": setting.sizes.packed_bytes // _BIG_FILES * _BIG_FILES,
            "small": setting.sizes.packed_files * _SMALL_BYTES,
        }
        for name, size in sizes.items():
            settle(place)
            if setting.cold:
                drop_caches()
            with timed() as watch:
                _pack(place, setting.work, name)
                settle(place)
            yield f"pack-{name}", size / _MEGA / watch.seconds


def _pack(place: Place, work: Path, name: str) -> None:
    source = work / f"packed-{name}"
    match place.contender:
        case Contender.BANNOCK:
            # Beside the volume that is mounted: packing is done without a mount.
            create_volume(source, place.storage.parent / f"packed-{name}", KEY)
        case Contender.AGE:
            target = place.root / f"{name}.age"
            with subprocess.Popen(["tar", "-C", str(source), "-c", "."], stdout=subprocess.PIPE, cwd="/") as tar:
                command = ["age", "-r", _recipient(work), "-o", str(target)]
                subprocess.run(command, check=True, stdin=tar.stdout, cwd="/")
            if tar.returncode:
                raise ChildProcessError(f"tar failed with {tar.returncode}")
        case _:
            subprocess.run(["cp", "-r", str(source), str(place.root)], check=True, cwd="/")


def _recipient(work: Path) -> str:
    """Return the public key of a key pair that is made when it is first asked for."""
    path = work / "age.key"
    if not path.exists():
        subprocess.run(["age-keygen", "-o", str(path)], check=True, stderr=subprocess.DEVNULL, cwd="/")
    shown = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True, cwd="/")
    return shown.stdout.strip()
