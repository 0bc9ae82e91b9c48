"""The benchmark itself works: its work is done, measured, written down and shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]


def benchmark(of: str, *arguments: str) -> str:
    """Run a benchmark's command and return what it prints."""
    command = [sys.executable, "-m", of, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=_ROOT).stdout


@pytest.mark.fuse
@pytest.mark.root
def test_next_to_nothing_is_measured_and_reported(tmp_path: Path) -> None:
    """A tiny measurement gives a table with a line for each row, and the same table from its CSV file."""
    rows = "sequential-*,chunk-*,create*,delete,walk-*,untar,pack-*,open-*,memory-*"
    csv = tmp_path / "bench" / "results" / "shield.csv"
    csv.parent.mkdir(parents=True)
    shown = benchmark(
        "benchmarks.shield", "run", "--tiny", "--only", "bannock,plain", "--rows", rows, "--directory", str(tmp_path),
        "--csv", str(csv),
    )  # fmt: skip
    for line in (
        "write 2 MiB",
        "fsync, in a file of 64 GiB",
        "delete 20 files",
        "untar",
        "encrypt",
        "memory of the mount",
    ):
        assert line in shown
    assert "FAILED" not in shown
    table = shown.partition("\n\nEvery value")[0]
    assert benchmark("benchmarks", "report", "--into", str(tmp_path / "bench")).strip() == table.strip()
    assert (tmp_path / "bench" / "plots" / "overview.svg").stat().st_size
