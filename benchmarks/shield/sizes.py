"""How much of everything there is: when it is published, when it is quick, and in a test of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FULL", "QUICK", "TINY", "Sizes", "human"]

_STEP: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The amounts of a measurement.

    Attributes:
        runs: how often everything is measured, unless the user says.
        big_bytes: the file that is read and written in sequence and at random.
        random_seconds: how long fio reads at random, and writes with an fsync(2) each.
        random_writes: how many writes fio makes before one fsync(2).
        small_files: files that are made and removed.
        walked_files: files of the tree that is walked.
        few_files, many_files: the volumes that show how cost grows with their size.
        sparse_bytes: the larger of two files of which one chunk is changed.
        chunk_writes: how many chunks are changed in a run, each with an fsync(2).
        packed_bytes, packed_files: the trees of big and of small files that are encrypted.
        source_packages: which packages of the standard library are unpacked; None for all.
    """

    runs: int
    big_bytes: int
    random_seconds: int
    random_writes: int
    small_files: int
    walked_files: int
    few_files: int
    many_files: int
    sparse_bytes: int
    chunk_writes: int
    packed_bytes: int
    packed_files: int
    source_packages: tuple[str, ...] | None


FULL: Final = Sizes(
    runs=5,
    big_bytes=1 << 30,
    random_seconds=2,
    random_writes=16_384,
    small_files=10_000,
    walked_files=50_000,
    few_files=1_000,
    many_files=1_000_000,
    sparse_bytes=64 << 30,
    chunk_writes=16,
    packed_bytes=512 << 20,
    packed_files=5_000,
    source_packages=None,
)
QUICK: Final = Sizes(
    runs=1,
    big_bytes=128 << 20,
    random_seconds=1,
    random_writes=2_048,
    small_files=1_000,
    walked_files=5_000,
    few_files=1_000,
    many_files=20_000,
    sparse_bytes=64 << 30,
    chunk_writes=8,
    packed_bytes=64 << 20,
    packed_files=500,
    source_packages=None,
)
TINY: Final = Sizes(
    runs=1,
    big_bytes=2 << 20,
    random_seconds=1,
    random_writes=32,
    small_files=20,
    walked_files=40,
    few_files=20,
    many_files=200,
    sparse_bytes=64 << 30,
    chunk_writes=2,
    packed_bytes=1 << 20,
    packed_files=10,
    source_packages=("json", "email"),
)


def human(size: int) -> str:
    """Write a number of bytes with the largest binary unit that gives a whole number."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _STEP or size % _STEP or unit == "GiB":
            return f"{size} {unit}"
        size //= _STEP
    raise AssertionError
