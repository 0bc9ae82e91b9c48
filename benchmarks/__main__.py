"""Run all benchmarks one after another, draw what they found, and put it into the page that is published."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.command import show
from benchmarks.page import write_page
from benchmarks.plots import draw
from benchmarks.rows import read_rows

_ROOT: Final = Path(__file__).parents[1]
_PUBLISHED: Final = _ROOT / "bench"
_PAGE: Final = _ROOT / "docs" / "performance.md"

#: Benchmark → its turns: options when it is published, and when it is to be quick.
_TURNS: Final[dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]] = {
    "shield": (
        (("--runs", "3"), ("--quick",)),
        (
            ("--runs", "3", "--directory", "/dev/shm", "--rows", "random-*,chunk-*,create*,delete,untar"),  # noqa: S108
            ("--quick", "--directory", "/dev/shm", "--rows", "random-*,chunk-*"),  # noqa: S108 # a directory of ours
        ),
    ),
    "cas": ((("--runs", "3"), ("--runs", "1", "--seconds", "2", "--workers", "1")),),
    "appraisal": (((), ("--runs", "1", "--seconds", "0.2")),),
    "images": (((), ("--starts", "3", "--runs", "1", "--megabytes", "20")),),
    "remote": (((), ("--runs", "1", "--mib", "64", "--files", "8")),),
    "mesh": (((), ("--runs", "2")),),
}
#: Programs without which a benchmark, or a part of it, has nothing to measure.
_NEEDED: Final = {
    "shield": ("fusermount3",),
    "images": ("dockerd", "docker"),
    "remote": ("dockerd", "docker", "sshd", "age"),
    "mesh": ("dockerd", "docker"),
}


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code: 1 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    running = commands.add_parser("run", help="measure, draw, and write the page")
    running.add_argument("--quick", action="store_true", help="small sizes: minutes, and only to be looked at")
    running.add_argument("--only", default="", help=f"of these, for example shield,cas: {', '.join(_TURNS)}")
    reporting = commands.add_parser("report", help="print, draw and write what was measured before")
    for one in (running, reporting):
        one.add_argument("--into", type=Path, help="where results and plots go (bench, or bench/quick with --quick)")
    given = parser.parse_args(arguments)
    quick = given.command == "run" and given.quick
    directory = (given.into or (_PUBLISHED / "quick" if quick else _PUBLISHED)).resolve()
    failed = _run(directory, _wanted(given.only), quick=quick) if given.command == "run" else []
    _report(directory)
    for name in failed:
        sys.stderr.write(f"FAILED: {name}\n")
    return int(bool(failed))


def _wanted(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in _TURNS]:
        raise SystemExit(f"Error: no benchmark {', '.join(unknown)}; there are {', '.join(_TURNS)}")
    return names or list(_TURNS)


def _run(directory: Path, names: list[str], *, quick: bool) -> list[str]:
    """Give each its turns, in a process of its own; say which failed."""
    failed = []
    for name in names:
        if missing := [program for program in _NEEDED.get(name, ()) if shutil.which(program) is None]:
            sys.stderr.write(f"{name}: left out, {', '.join(missing)} not installed\n")
            continue
        for published, small in _TURNS[name]:
            options = small if quick else published
            sys.stderr.write(f"\n# {name} {' '.join(options)}\n")
            began = time.monotonic()
            words = [sys.executable, "-m", f"benchmarks.{name}", "run", *options]
            target = directory / "results" / f"{name}.csv"
            target.parent.mkdir(parents=True, exist_ok=True)
            code = subprocess.run([*words, "--csv", str(target)], cwd=_ROOT, check=False).returncode
            sys.stderr.write(f"# {name}: {time.monotonic() - began:.0f} s\n")
            if code:
                failed.append(" ".join((name, *options)))
    return failed


def _report(directory: Path) -> None:
    """Print all tables, draw all plots; write the page if these are the published ones."""
    files = {path.stem: read_rows(path) for path in sorted((directory / "results").glob("*.csv"))}
    show([row for rows in files.values() for row in rows])
    for path in draw(files, directory / "plots"):
        sys.stderr.write(f"{path}\n")
    if directory == _PUBLISHED:
        write_page(_PAGE, files)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
