"""The order of a measurement: contenders take turns, each in a place of its own; a failure stops none but itself."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from benchmarks.shield.big import ChunkWrites, RandomAccess, Sequential
from benchmarks.shield.goals import Contender
from benchmarks.shield.growth import Memory, OpenOne
from benchmarks.shield.machine import can_drop_caches, drop_caches, facts
from benchmarks.shield.packing import Packing
from benchmarks.shield.places import make_place, mounted
from benchmarks.shield.results import Results
from benchmarks.shield.trees import GitCheckout, PythonStart, SmallFiles, Untar, Walk
from benchmarks.shield.workload import Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.shield.results import RowInfo
    from benchmarks.shield.sizes import Sizes
    from benchmarks.shield.workload import Workload

__all__ = ["Options", "run"]

_WORKLOADS: Final[tuple[Callable[[], Workload], ...]] = (
    Sequential, RandomAccess, ChunkWrites, SmallFiles, Walk, Untar, GitCheckout, PythonStart, Packing, OpenOne, Memory,
)  # fmt: skip
_PROGRAMS: Final = {
    Contender.GOCRYPTFS: ("gocryptfs",),
    Contender.BINDFS: ("bindfs",),
    Contender.AGE: ("age", "age-keygen", "tar"),
}
#: A single contender's turn takes a minute at most; a million files take some.
_TURN_SECONDS: Final = 600
_REFUSALS: Final = (OSError, SubprocessError, BannockError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user wants.

    Attributes:
        sizes: how much of everything.
        runs: how often.
        rows: patterns of row names; none for all.
        only: who takes part; none for all.
        directory: where everything is done.
        keep: where volumes stay that take long to make.
        csv: where results go.
    """

    sizes: Sizes
    runs: int
    rows: tuple[str, ...]
    only: frozenset[Contender]
    directory: Path
    keep: Path
    csv: Path


def run(options: Options, say: Callable[[str], None]) -> Results:
    """Measure, telling how far it is, and write the results after every workload.

    Raises:
        OSError: the directory cannot be used.
    """
    options.directory.mkdir(parents=True, exist_ok=True)
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    work = options.directory / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    setting = Setting(sizes=options.sizes, work=work, kept=options.keep, cold=can_drop_caches())
    results = Results(facts=facts(options.directory) | {"order": "in turns"})
    if not setting.cold:
        results.facts["caches"] = "the kernel does not let us empty its caches, so nothing cold was measured"
        say(results.facts["caches"])
    started = time.monotonic()
    measurement = _Measurement(options, setting, results, say)
    for make in _WORKLOADS:
        measurement.measure(make())
        results.facts["duration"] = f"{(time.monotonic() - started) / 60:.1f} minutes"
        results.write(options.csv)
    shutil.rmtree(work, ignore_errors=True)
    return results


class _Measurement:
    def __init__(self, options: Options, setting: Setting, results: Results, say: Callable[[str], None]) -> None:
        self._options = options
        self._setting = setting
        self._results = results
        self._say = say

    def measure(self, workload: Workload) -> None:
        """Give every contender its turns in a workload."""
        rows = {name: info for name, info in workload.rows(self._setting).items() if self._is_wanted(name)}
        contenders = [contender for contender in workload.contenders if self._takes_part(contender)]
        self._results.declare(rows)
        if not rows:
            return
        runs = 1 if workload.once else self._options.runs
        with self._directory(workload) as directory:
            for number in range(runs):
                for contender in _rotated(contenders, number):
                    self._say(f"{workload.name}, run {number + 1} of {runs}: {contender}")
                    try:
                        with _deadline():
                            self._turn(workload, contender, directory / contender.name.lower(), rows)
                    except _REFUSALS as error:
                        self._results.failures[workload.name, contender] = str(error)
                        self._say(f"  FAILED: {error}")
                        contenders.remove(contender)

    def _turn(self, workload: Workload, contender: Contender, directory: Path, rows: Mapping[str, RowInfo]) -> None:
        prepared = directory.exists()
        place = make_place(contender, directory)
        with mounted(place):
            if not prepared:
                workload.prepare(self._setting, place)
            if self._setting.cold:
                drop_caches()
            for name, value in workload.measure(self._setting, place):
                if name in rows:
                    self._results.add(name, contender, value)
                    self._say(f"  {rows[name].title}: {value:.4g} {rows[name].unit}")
        if workload.fresh:
            shutil.rmtree(directory)

    @contextmanager
    def _directory(self, workload: Workload) -> Iterator[Path]:
        """Give a workload a directory for as long as it is measured; what is left of it is removed."""
        directory = self._options.directory / workload.name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _is_wanted(self, row: str) -> bool:
        return not self._options.rows or any(fnmatch(row, pattern) for pattern in self._options.rows)

    def _takes_part(self, contender: Contender) -> bool:
        if self._options.only and contender not in self._options.only:
            return False
        missing = [program for program in _PROGRAMS.get(contender, ()) if shutil.which(program) is None]
        if missing:
            self._results.missing[contender] = f"{', '.join(missing)} not installed"
        return not missing


def _rotated(contenders: Sequence[Contender], by: int) -> list[Contender]:
    """Return a copy that begins elsewhere each time, so that none is always first or always after the same."""
    by %= max(1, len(contenders))
    return [*contenders[by:], *contenders[:by]]


@contextmanager
def _deadline() -> Iterator[None]:
    """End whatever was started by a turn that hangs, so that it fails and the others have theirs."""
    timer = threading.Timer(_TURN_SECONDS, _kill_children)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kill_children() -> None:
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for process in task.read_text(encoding="ascii").split():
                os.kill(int(process), signal.SIGKILL)
