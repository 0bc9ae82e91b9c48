"""One big file: in sequence, at random, and a chunk of it at a time."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, Final

from benchmarks.goals import Unit
from benchmarks.shield.results import RowInfo
from benchmarks.shield.sizes import human
from benchmarks.shield.workload import FOUR, timed, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.shield.places import Place
    from benchmarks.shield.workload import Measured, Setting

__all__ = ["ChunkWrites", "RandomAccess", "Sequential"]

_READ_BYTES: Final = 1 << 20
_MEGA: Final = 1_000_000
_CHUNK_BYTES: Final = 64 << 10
_SMALL_BYTES: Final = 1 << 20
#: How many I/Os fio may make where time is the bound.
_JOBS: Final = (1, 4)
_FIO_SECONDS: Final = 300


class Sequential:
    """A file is written with one fsync(2), and read cold and once more."""

    name = "sequential"
    contenders = FOUR
    fresh = True
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        size = human(setting.sizes.big_bytes)
        return {
            "sequential-write": RowInfo(f"write {size}, fsync", Unit.MEGABYTES_PER_SECOND),
            "sequential-read-cold": RowInfo(f"read {size}, cold", Unit.MEGABYTES_PER_SECOND),
            "sequential-read-warm": RowInfo(f"read {size} again", Unit.MEGABYTES_PER_SECOND),
        }

    def prepare(self, setting: Setting, place: Place) -> None:
        """Nothing is needed."""

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        path, megabytes = place.root / "big", setting.sizes.big_bytes / _MEGA
        with timed() as writing:
            write_file(path, setting.sizes.big_bytes, sync=True)
        yield "sequential-write", megabytes / writing.seconds
        if setting.cool(place):
            yield "sequential-read-cold", megabytes / _read(path)
        else:
            _read(path)
        yield "sequential-read-warm", megabytes / _read(path)


class RandomAccess:
    """fio in blocks of 4 KiB on a file that is there already."""

    name = "random"
    contenders = FOUR
    fresh = True
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        if shutil.which("fio") is None:
            return {}
        size, found = human(setting.sizes.big_bytes), {}
        for jobs in _JOBS:
            who = f"{jobs} job{'s' if jobs > 1 else ''}"
            reading = f"random 4 KiB reads in {size}, cold, {who}"
            found[f"random-read-cold-{jobs}"] = RowInfo(reading, Unit.OPERATIONS_PER_SECOND)
        for jobs in _JOBS:
            who = f"{jobs} job{'s' if jobs > 1 else ''}"
            writing = f"{setting.sizes.random_writes:,} random 4 KiB writes in {size}, fsync at the end, {who}"
            found[f"random-write-{jobs}"] = RowInfo(writing, Unit.OPERATIONS_PER_SECOND)
        synced = f"random 4 KiB writes in {size}, fsync each, 1 job"
        return found | {"random-write-fsync": RowInfo(synced, Unit.OPERATIONS_PER_SECOND)}

    def prepare(self, setting: Setting, place: Place) -> None:
        write_file(place.root / "big", setting.sizes.big_bytes, sync=True)

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        file = [f"--filename={place.root / 'big'}", f"--size={setting.sizes.big_bytes}"]
        for_a_while = ["--time_based", f"--runtime={setting.sizes.random_seconds}"]
        for jobs in _JOBS:
            if setting.cool(place):
                yield f"random-read-cold-{jobs}", _fio([*file, *for_a_while, "--rw=randread", f"--numjobs={jobs}"])
        for jobs in _JOBS:
            count = f"--number_ios={setting.sizes.random_writes // jobs}"
            yield f"random-write-{jobs}", _fio([*file, count, "--rw=randwrite", "--end_fsync=1", f"--numjobs={jobs}"])
        yield "random-write-fsync", _fio([*file, *for_a_while, "--rw=randwrite", "--fsync=1", "--numjobs=1"])


class ChunkWrites:
    """One chunk is changed and made durable, in a small file and in a huge one that is nearly all holes."""

    name = "chunk"
    contenders = FOUR
    fresh = False
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        what, sparse = f"change {human(_CHUNK_BYTES)}, fsync, in a file of", human(setting.sizes.sparse_bytes)
        return {
            "chunk-small": RowInfo(f"{what} {human(_SMALL_BYTES)}", Unit.MILLISECONDS),
            "chunk-sparse": RowInfo(f"{what} {sparse} (sparse)", Unit.MILLISECONDS),
        }

    def prepare(self, setting: Setting, place: Place) -> None:
        write_file(place.root / "small", _SMALL_BYTES)
        write_file(place.root / "sparse", 0)
        os.truncate(place.root / "sparse", setting.sizes.sparse_bytes)
        for name, size in self._files(setting).items():
            _change_chunks(place.root / name, size, setting.sizes.chunk_writes)

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        for name, size in self._files(setting).items():
            yield f"chunk-{name}", 1000 * _change_chunks(place.root / name, size, setting.sizes.chunk_writes)

    @staticmethod
    def _files(setting: Setting) -> dict[str, int]:
        return {"small": _SMALL_BYTES, "sparse": setting.sizes.sparse_bytes}


def _read(path: Path) -> float:
    """Read a file from beginning to end and return the seconds that it took."""
    buffer = bytearray(_READ_BYTES)
    with timed() as watch:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while os.readv(descriptor, [buffer]):
                pass
        finally:
            os.close(descriptor)
    return watch.seconds


def _fio(arguments: list[str]) -> float:
    """Run fio and return how many blocks it moved in a second, the last fsync(2) included."""
    command = ["fio", "--name=bench", "--ioengine=psync", "--bs=4k", "--group_reporting", "--output-format=json",
               "--fallocate=none", "--overwrite=1", "--invalidate=0", "--thread"]  # fmt: skip
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=_FIO_SECONDS, cwd="/"
    )
    if done.returncode:
        raise ChildProcessError(f"fio failed: {(done.stderr or done.stdout).strip()}")
    # A warning may stand before the document.
    job = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    moved = int(job["read"]["total_ios"]) + int(job["write"]["total_ios"])
    return 1000 * moved / max(1, int(job["read"]["runtime"]), int(job["write"]["runtime"]))


def _change_chunks(path: Path, size: int, count: int) -> float:
    """Overwrite chunks that lie far apart, each with an fsync(2), and return the median of the seconds of one."""
    step = size // count // _CHUNK_BYTES * _CHUNK_BYTES
    seconds = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for index in range(count):
            data = os.urandom(_CHUNK_BYTES)
            started = time.perf_counter()
            os.pwrite(descriptor, data, index * step)
            os.fsync(descriptor)
            seconds.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
    return statistics.median(seconds)
