"""Processes: which belong together, and what they have."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Held", "children", "descendants", "held"]

_MIB_OF_PAGES: Final = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What processes have together: MiB of memory, open files, threads, and how many they are."""

    rss: float
    handles: int
    threads: int
    processes: int


def children() -> dict[int, list[int]]:
    """Give the children of every process."""
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(path.parent.name))
    return found


def descendants(pid: int, of: dict[int, list[int]] | None = None) -> list[int]:
    """Give a process and all that it started, parents first."""
    of = children() if of is None else of
    found = [pid]
    for each in found:
        found += of.get(each, ())
    return found


def held(pids: list[int]) -> Held:
    """Say what processes have; one that has ended meanwhile has nothing."""
    rss, handles, threads, processes = 0.0, 0, 0, 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names alone
            rss += int(fields[21]) * _MIB_OF_PAGES
            threads += int(fields[17])
            handles += files
            processes += 1
    return Held(rss=rss, handles=handles, threads=threads, processes=processes)
