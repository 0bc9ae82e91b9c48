"""The command of a benchmark: measure and print, or print what was measured before, or put it into a page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.shield.report import insert

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["command"]

Found = TypeVar("Found")


def command(
    arguments: Sequence[str],
    name: str,
    options: Callable[[argparse.ArgumentParser], None],
    measure: Callable[[argparse.Namespace], Found],
    read: Callable[[Path], Found],
    table: Callable[[Found], str],
) -> Found:
    """Run the command, and return what was measured or read.

    Args:
        arguments: of the command.
        name: of the benchmark, of its CSV file and of the marks in its page.
        options: adds those of measuring.
        measure: measures, and writes the file ``csv`` of the options.
        read: reads such a file.
        table: makes Markdown of it.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    running = commands.add_parser("run", help="measure")
    options(running)
    running.add_argument("--csv", type=Path, default=Path(f"bench-{name}.csv"), help="the results (%(default)s)")
    reporting = commands.add_parser("report", help="print what a CSV file holds")
    reporting.add_argument("csv", type=Path)
    reporting.add_argument("--into", type=Path, help="write it into this file, between the marks <!-- NAME -->")
    reporting.add_argument("--name", default=name, help="the name of the marks (%(default)s)")
    given = parser.parse_args(arguments)
    found = measure(given) if given.command == "run" else read(given.csv)
    shown = table(found)
    sys.stdout.write(shown)
    if given.command == "report" and given.into is not None:
        insert(given.into, given.name, shown)
    return found
