"""The command: measure and print, or print what was measured before."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.appraisal.samples import DCAP_QVL, DCAP_QVL_VERSION, samples
from benchmarks.command import command, keep
from benchmarks.goals import Unit
from benchmarks.rows import Measurement
from benchmarks.shield.machine import facts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["main", "measurement"]

_OURS: Final = "Bannock"
_FACTS: Final = frozenset({"date", "kernel", "processor", "memory", "load before", "Bannock"})


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    return command(arguments, "appraisal", _options, _run)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=5, help="how often everything is measured (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each row and run (%(default)s)")


def measurement(known: dict[str, str]) -> Measurement:
    """Give an empty measurement."""
    return Measurement("appraisal", peers=(DCAP_QVL,), goals=lambda *_: (), facts=known)


def _run(options: argparse.Namespace) -> list[Measurement]:
    known = {name: fact for name, fact in facts(Path()).items() if name in _FACTS}
    results = measurement({**known, DCAP_QVL: DCAP_QVL_VERSION})
    found = samples()
    for _ in range(options.runs):
        for sample in found:
            results.add(sample.name, _OURS, Unit.MILLISECONDS, _each(sample.ours, options.seconds))
            if sample.peer is not None:
                results.add(sample.name, DCAP_QVL, Unit.MILLISECONDS, _each(sample.peer, options.seconds))
    keep(options.csv, [results])
    return [results]


def _each(turn: Callable[[], object], seconds: float) -> float:
    """Give the milliseconds that one turn takes, on average over some seconds."""
    turn()
    turns, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        turn()
        turns += 1
    return 1000 * (time.perf_counter() - begun) / turns


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
