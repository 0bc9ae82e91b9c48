"""The command of a benchmark: measure, keep the values, and print what they say."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.rows import merge_rows
from benchmarks.tables import missed, parts, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.rows import Measurement, Row

__all__ = ["command", "keep", "show"]


def command(
    arguments: Sequence[str],
    name: str,
    options: Callable[[argparse.ArgumentParser], None],
    measure: Callable[[argparse.Namespace], Sequence[Measurement]],
) -> int:
    """Run the command and return its exit code: 1 if something failed.

    Args:
        arguments: of the command.
        name: of the benchmark.
        options: adds those of measuring.
        measure: measures, and keeps what it has in the file ``csv`` of the options.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    running = commands.add_parser("run", help="measure")
    options(running)
    running.add_argument("--csv", type=Path, default=Path(f"bench-{name}.csv"), help="the results (%(default)s)")
    given = parser.parse_args(arguments)
    found = measure(given)
    show([row for one in found for row in one.rows()])
    return int(any(one.failed for one in found))


def keep(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write what is measured so far."""
    merge_rows(path, [row for one in measurements for row in one.rows()])


def show(rows: Sequence[Row]) -> None:
    """Print the tables of rows, and what missed its goal."""
    for part, found in parts(rows).items():
        sys.stdout.write(f"\n## {part}\n\n{table(found)}")
    misses = missed(rows)
    sys.stdout.write(f"\n{len(misses)} goals are missed{':' if misses else ''}\n")
    sys.stdout.writelines(f"- {miss}\n" for miss in misses)
