"""A tree is encrypted as a whole: into a volume, into an encrypted archive, and by copying it into a mount."""

from __future__ import annotations

import subprocess
from functools import partial
from typing import TYPE_CHECKING, Final

from bannock.shield.fspf import Fspf, encrypt_fspf
from bannock.shield.pack import add_files, create_volume
from bannock.shield.regions import Protection, Region
from benchmarks.goals import Unit
from benchmarks.shield.goals import Contender
from benchmarks.shield.host import KEY
from benchmarks.shield.machine import drop_caches
from benchmarks.shield.places import settle
from benchmarks.shield.results import RowInfo
from benchmarks.shield.sizes import human
from benchmarks.shield.trees import make_tree
from benchmarks.shield.workload import timed, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
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
        trees = {
            "big": f"{_BIG_FILES} files of {human(sizes.packed_bytes // _BIG_FILES)}",
            "small": f"{sizes.packed_files:,} files of {human(_SMALL_BYTES)}",
        }
        return {
            f"{row}-{name}": RowInfo(f"encrypt {tree} {target}, {how}, sync", Unit.MEGABYTES_PER_SECOND)
            for row, target in (("pack", "into a volume"), ("addf", "into a region"))
            for name, tree in trees.items()
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
        big = setting.sizes.packed_bytes // _BIG_FILES * _BIG_FILES
        for name, size in (("big", big), ("small", setting.sizes.packed_files * _SMALL_BYTES)):
            source, megabytes = setting.work / f"packed-{name}", size / _MEGA
            if place.contender is Contender.BANNOCK:
                # Beside the volume that is mounted: packing is done without a mount.
                beside = place.storage.parent
                yield f"pack-{name}", megabytes / _seconds(setting, place, partial(_pack, source, beside / name))
                yield (
                    f"addf-{name}",
                    megabytes / _seconds(setting, place, partial(_add, source, beside / f"add-{name}")),
                )
            else:
                speed = megabytes / _seconds(setting, place, partial(_copy, place, setting.work, name))
                # Peers have one way for both.
                yield f"pack-{name}", speed
                yield f"addf-{name}", speed


def _seconds(setting: Setting, place: Place, work: Callable[[], None]) -> float:
    """Measure work that reads what is not in any cache, until what it wrote is on the disk."""
    settle(place)
    if setting.cold:
        drop_caches()
    with timed() as watch:
        work()
        settle(place)
    return watch.seconds


def _pack(source: Path, volume: Path) -> None:
    create_volume(source, volume, KEY)


def _add(source: Path, directory: Path) -> None:
    """Make an encrypted protection file with the tree in an encrypted region."""
    directory.mkdir()
    (directory / "files").mkdir()
    path = directory / "fspf"
    Fspf.create(path)
    with Fspf.open(path) as fspf:
        fspf.add_region(Region(path="/", protection=Protection.ENCRYPTED, kernel="/files"))
        fspf.commit()
        add_files(fspf.open_region("/", directory / "files"), source)
        fspf.commit()
    encrypt_fspf(path)


def _copy(place: Place, work: Path, name: str) -> None:
    """Do what a user of a peer does."""
    source = work / f"packed-{name}"
    if place.contender is not Contender.AGE:
        subprocess.run(["cp", "-r", str(source), str(place.root)], check=True, cwd="/")
        return
    with subprocess.Popen(["tar", "-C", str(source), "-c", "."], stdout=subprocess.PIPE, cwd="/") as tar:
        command = ["age", "-r", _recipient(work), "-o", str(place.root / f"{name}.age")]
        subprocess.run(command, check=True, stdin=tar.stdout, cwd="/")
    if tar.returncode:
        raise ChildProcessError(f"tar failed with {tar.returncode}")


def _recipient(work: Path) -> str:
    """Return the public key of a key pair that is made when it is first asked for."""
    path = work / "age.key"
    if not path.exists():
        subprocess.run(["age-keygen", "-o", str(path)], check=True, stderr=subprocess.DEVNULL, cwd="/")
    shown = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True, cwd="/")
    return shown.stdout.strip()
