"""What all workloads have in common."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from benchmarks.shield.goals import Contender
from benchmarks.shield.places import cool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.shield.places import Place
    from benchmarks.shield.results import RowInfo
    from benchmarks.shield.sizes import Sizes

__all__ = ["FOUR", "Measured", "Setting", "Stopwatch", "Workload", "timed", "write_file"]

#: Who takes part where nothing else is said.
FOUR: Final = (Contender.BANNOCK, Contender.GOCRYPTFS, Contender.BINDFS, Contender.PLAIN)

Measured = tuple[str, float]

_BLOCK_BYTES: Final = 1 << 20
#: Data that no layer below can make smaller.
_BLOCKS: Final = tuple(os.urandom(_BLOCK_BYTES) for _ in range(4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a workload gets.

    Attributes:
        sizes: how much of everything.
        work: a directory beside the places, on the same disk, for what is common to them.
        kept: a directory that outlives the measurement.
        cold: whether caches can be emptied; where they cannot, nothing is measured that is called cold.
    """

    sizes: Sizes
    work: Path
    kept: Path
    cold: bool

    def cool(self, place: Place) -> bool:
        """Make a place cold if that is possible, and say whether it is."""
        if self.cold:
            cool(place)
        return self.cold


class Workload(Protocol):
    """A piece of work that gives the values of some rows."""

    @property
    def name(self) -> str:
        """What it is called in directories and messages."""

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """Who takes part."""

    @property
    def fresh(self) -> bool:
        """Whether every run begins in a new place; else one that was prepared once is used again."""

    @property
    def once(self) -> bool:
        """Whether one run is enough for any measurement."""

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        """Name the rows that this may give values for, cold ones included."""

    def prepare(self, setting: Setting, place: Place) -> None:
        """Make what the measurement needs in a place that is new and mounted."""

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        """Work in a place that is mounted and prepared, and yield values."""


class Stopwatch:
    """Seconds that went by in a :func:`timed` block."""

    seconds = 0.0


@contextmanager
def timed() -> Iterator[Stopwatch]:
    """Measure how long a block takes."""
    watch = Stopwatch()
    started = time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - started


def write_file(path: Path, size: int, *, sync: bool = False) -> None:
    """Write a file of data that cannot be compressed, block by block."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        for number in range(0, size, _BLOCK_BYTES):
            block = _BLOCKS[number // _BLOCK_BYTES % len(_BLOCKS)]
            os.write(descriptor, memoryview(block)[: size - number])
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
