"""The command: measure and print, or print what was measured before."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.command import show
from benchmarks.shield.goals import Contender
from benchmarks.shield.run import Options, run
from benchmarks.shield.sizes import FULL, QUICK, TINY

#: Not /tmp, which may be memory.
_DIRECTORY: Final = Path("/var/tmp")  # noqa: S108 # as the next: a directory of ours in it is made and used
_OURS: Final = "bannock-bench"


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code: 1 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shield", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    _add_run(commands.add_parser("run", help="measure"))
    return _run(_options(parser.parse_args(arguments)))


def _add_run(parser: argparse.ArgumentParser) -> None:
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sizes and one run: a minute or two")
    size.add_argument("--tiny", action="store_true", help="next to nothing: whether the benchmark itself works")
    parser.add_argument("--runs", type=int, help="how often everything is measured")
    parser.add_argument("--rows", default="", help="patterns of row names, for example walk-*,untar")
    parser.add_argument("--only", default="", help="contenders, for example bannock,plain")
    parser.add_argument(
        "--directory",
        type=Path,
        default=_DIRECTORY,
        help="where the work is done, in a directory bannock-bench of its own (%(default)s)",
    )
    parser.add_argument(
        "--keep", type=Path, help="where the volume of a million files stays (DIRECTORY/bannock-bench/kept)"
    )
    parser.add_argument("--csv", type=Path, help="where the results go (DIRECTORY/bannock-bench/results.csv)")


def _options(given: argparse.Namespace) -> Options:
    sizes = QUICK if given.quick else TINY if given.tiny else FULL
    if given.runs is not None:
        sizes = replace(sizes, runs=max(1, given.runs))
    names = {contender.name.lower(): contender for contender in Contender}
    wanted = _list(given.only)
    if unknown := [name for name in wanted if name not in names]:
        raise SystemExit(f"Error: no contender {', '.join(unknown)}; there are {', '.join(names)}")
    directory = given.directory.resolve() / _OURS
    return Options(
        sizes=sizes,
        runs=sizes.runs,
        rows=_list(given.rows),
        only=frozenset(names[name] for name in wanted),
        directory=directory,
        keep=given.keep or directory / "kept",
        csv=given.csv or directory / "results.csv",
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _run(options: Options) -> int:
    if os.geteuid() != 0:
        raise SystemExit("Error: mounting and emptying caches needs root\nHint: sudo make bench-shield")
    started = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - started:6.1f} s] {line}\n")

    results = run(options, say)
    show(results.as_rows())
    sys.stdout.write(f"\nEvery value is in {options.csv}\n")
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
