"""The command: measure and print, or print what was measured before."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.images.layer import cached_layer
from benchmarks.command import command, keep
from benchmarks.images.conversions import Conversions
from benchmarks.images.place import place
from benchmarks.images.results import add, measurements
from benchmarks.images.starts import Starts
from benchmarks.shield.machine import facts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from benchmarks.images.place import Place
    from benchmarks.images.results import Measured
    from benchmarks.rows import Measurement

_FACTS: Final = frozenset({"date", "kernel", "processor", "memory", "storage", "load before", "Bannock", "age"})


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    return command(arguments, "images", _options, _run)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--starts", type=int, default=11, help="how often everything is started (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="how often images are converted (%(default)s)")
    parser.add_argument("--megabytes", default="200,1000", help="sizes of images that are converted (%(default)s)")
    parser.add_argument("--directory", type=Path, help="where the files are (the system's for temporary files)")


def _run(options: argparse.Namespace) -> Sequence[Measurement]:
    directory = Path(tempfile.mkdtemp(prefix="bannock-bench-images-", dir=options.directory))
    found = {name: fact for name, fact in facts(directory).items() if name in _FACTS}
    results = measurements({**found, "Docker": _docker()})
    try:
        # Images that are measured later have it already, as those of a user who has protected one before.
        cached_layer(directory / "cache" / "bannock" / "layers")
        with place(directory) as there:
            _measure(there, options, results)
    finally:
        keep(options.csv, results)
        shutil.rmtree(directory, ignore_errors=True)
    return results


def _measure(there: Place, options: argparse.Namespace, results: Sequence[Measurement]) -> None:
    if options.starts:
        starts = Starts(there)
        # Once without counting: from then on, what is read is in memory.
        for _ in starts.measure():
            pass
        for _ in range(options.starts):
            _keep(starts.measure(), results)
    for size in filter(None, options.megabytes.split(",")):
        conversions = Conversions(there, int(size))
        for _ in range(options.runs):
            _keep(conversions.measure(), results)


def _keep(measured: Iterable[tuple[str, Measured]], results: Sequence[Measurement]) -> None:
    for row, one in measured:
        add(results, row, one)
        sys.stderr.write(f"{row}: {one.seconds:.2f} s, {one.peak:.0f} MiB\n")


def _docker() -> str:
    told = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "started by the benchmark"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
