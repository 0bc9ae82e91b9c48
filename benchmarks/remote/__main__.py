"""The command: measure and print, or print what was measured before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.command import command, keep
from benchmarks.remote.place import place
from benchmarks.remote.results import BY_HAND, FILES, NOTHING, add, measurement
from benchmarks.shield.machine import facts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from benchmarks.remote.place import Place
    from benchmarks.remote.work import Took
    from benchmarks.rows import Measurement

_MIB: Final = 1 << 20
_BLOCK: Final = 16 * _MIB
_FACTS: Final = frozenset({"date", "kernel", "processor", "memory", "storage", "load before", "Bannock", "age"})


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code: 1 if a row failed."""
    return command(arguments, "remote", _options, _run)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured (%(default)s)")
    parser.add_argument("--mib", type=int, default=1024, help="of inputs, and so of outputs (%(default)s)")
    parser.add_argument("--files", type=int, default=64, help="that they are in (%(default)s)")
    parser.add_argument("--rows", default="", help="parts of row names, for example hand,nothing")
    parser.add_argument("--verbose", action="store_true", help="show what the commands say, too")
    parser.add_argument("--directory", type=Path, help="where the files are (the system's for temporary files)")


def _run(options: argparse.Namespace) -> list[Measurement]:
    directory = Path(tempfile.mkdtemp(prefix="bannock-bench-remote-", dir=options.directory))
    found = {name: fact for name, fact in facts(directory).items() if name in _FACTS}
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.partition(",")[0]
    moved = f"{options.mib} MiB in {options.files} files there and back"
    results = measurement({**found, "ssh": ssh, "files": moved})
    try:
        _fill(directory / "files", options.mib * _MIB, options.files)
        _fill(directory / "nothing", 1, 1)
        with place(directory) as measured:
            for _ in range(options.runs):
                _measure_all(options, directory, measured, results)
                keep(options.csv, [results])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return [results]


def _measure_all(options: argparse.Namespace, directory: Path, here: Place, results: Measurement) -> None:
    wanted = [part for part in options.rows.split(",") if part]
    files, nothing = directory / "files", directory / "nothing"

    def measure(case: str, who: str, source: Path | None, work: Callable[[Path], Took]) -> None:
        row = f"{case}: {who}"
        if wanted and not any(part in row for part in wanted):
            return
        target = directory / "out"
        os.sync()
        try:
            took = work(target)
            if source is not None:
                _compare(source, target)
        except RuntimeError as error:
            sys.stderr.write(f"{row}: FAILED: {error}\n")
            results.remark(case, who, f"FAILED: {error}")
            return
        finally:
            shutil.rmtree(target, ignore_errors=True)
        add(results, case, who, took.seconds, took.peak)
        sys.stderr.write(f"{row}: {took.seconds:.2f} s, {took.peak:.0f} MiB\n")
        if options.verbose:
            sys.stderr.write("".join(f"    {line}\n" for line in took.told.splitlines()))

    measure(NOTHING, BY_HAND, None, lambda _: here.by_hand.nothing())
    measure(NOTHING, "execute, ssh", nothing, lambda target: here.execute.run(nothing, target))
    measure(FILES, BY_HAND, files, lambda target: here.by_hand.run(files, target))
    measure(FILES, "execute, ssh", files, lambda target: here.execute.run(files, target))
    shared = directory / "shared"
    shared.mkdir(exist_ok=True)
    measure(
        FILES,
        "execute, shared directory",
        files,
        lambda target: here.execute.run(files, target, "-r", f"dir:{shared}"),
    )


def _fill(directory: Path, size: int, files: int) -> None:
    """Make files that cannot be compressed."""
    directory.mkdir()
    for number in range(files):
        left = size // files
        with (directory / f"{number:04}").open("wb") as file:
            while left:
                block = os.urandom(min(left, _BLOCK))
                file.write(block)
                left -= len(block)


def _compare(source: Path, target: Path) -> None:
    if subprocess.run(["diff", "-rq", str(source), str(target)], check=False).returncode:
        raise RuntimeError(f"{target} is not what {source} is")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
