"""The command: measure and print, or print what was measured before."""

from __future__ import annotations

import csv
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.appraisal.samples import DCAP_QVL, samples
from benchmarks.command import command
from benchmarks.shield.machine import facts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["main", "table"]

_OURS: Final = "Bannock"
_FACTS: Final = frozenset({"date", "kernel", "processor", "memory", "load before", "Bannock"})
_COLUMNS: Final = ("name", "who", "run", "value")


def main(arguments: list[str]) -> int:
    """Run the command."""
    command(arguments, "appraisal", _options, _run, Path, table)
    return 0


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=5, help="how often everything is measured (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each row and run (%(default)s)")


def _run(options: argparse.Namespace) -> Path:
    _write(options.csv, _measured(options.runs, options.seconds))
    return Path(options.csv)


def _measured(runs: int, seconds: float) -> list[tuple[str, str, str, str]]:
    rows = [("machine", name, "", fact) for name, fact in facts(Path()).items() if name in _FACTS]
    found = samples()
    for run in range(1, runs + 1):
        for sample in found:
            contenders = {_OURS: sample.ours} | ({DCAP_QVL: sample.peer} if sample.peer is not None else {})
            rows += [(sample.name, who, str(run), f"{_each(turn, seconds):.4f}") for who, turn in contenders.items()]
    return rows


def _each(turn: Callable[[], object], seconds: float) -> float:
    """Give the milliseconds that one turn takes, on average over some seconds."""
    turn()
    turns, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        turn()
        turns += 1
    return 1000 * (time.perf_counter() - begun) / turns


def _write(path: Path, rows: list[tuple[str, str, str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)


def table(path: Path) -> str:
    """Give what a CSV file holds as Markdown: medians, rates, and ratios to the peer."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    machine = "".join(f"- {row['who']}: {row['value']}\n" for row in rows if row["name"] == "machine")
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row["name"] != "machine":
            values.setdefault(row["name"], {}).setdefault(row["who"], []).append(float(row["value"]))
    lines = ["| evidence | Bannock, ms | a second, one core | peer, ms | ratio |", "|---|---:|---:|---|---:|"]
    for name, by in values.items():
        ours = statistics.median(by.pop(_OURS))
        peer, ratio = "", ""
        for who, times in by.items():
            peer, ratio = f"{who}: {statistics.median(times):.2f}", f"{ours / statistics.median(times):.2f}"
        lines.append(f"| {name} | {ours:.2f} | {1000 / ours:,.0f} | {peer} | {ratio} |")
    return machine + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
