"""What a measurement of encrypted runs is turned into: a file that keeps it, and a table with verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.remote.results import BIG_BY_HAND, NOTHING_BY_HAND, Results

if TYPE_CHECKING:
    from pathlib import Path


def _results() -> Results:
    results = Results(facts={"kernel": "Linux"})
    for seconds in (1.0, 2.0, 30.0):
        results.add(NOTHING_BY_HAND, seconds, 5)
    results.add("nothing: execute", 5.1, 90)
    results.add(BIG_BY_HAND, 10.0, 20)
    results.add("files: execute, ssh", 12.0, 120)
    results.add("files: execute, shared directory", 12.1, 120)
    return results


def test_a_table_has_medians_comparisons_and_verdicts() -> None:
    """Large inputs are compared by their ratio, nothing by its difference; a goal that is missed says so."""
    lines = _results().table().splitlines()
    assert lines[0] == "- kernel: Linux"
    assert lines[4:] == [
        f"| {NOTHING_BY_HAND} | 2.0 | 1.0 to 30.0 | 5 |  |  |",
        "| nothing: execute | 5.1 | 5.1 to 5.1 | 90 | + 3.1 s | + 3 s MISSED |",
        f"| {BIG_BY_HAND} | 10.0 | 10.0 to 10.0 | 20 |  |  |",
        "| files: execute, ssh | 12.0 | 12.0 to 12.0 | 120 | x 1.20 | x 1.2 |",
        "| files: execute, shared directory | 12.1 | 12.1 to 12.1 | 120 | x 1.21 | x 1.2 MISSED |",
    ]


def test_a_file_keeps_what_was_measured(tmp_path: Path) -> None:
    """What is read is what was written."""
    _results().write(tmp_path / "remote.csv")
    assert Results.read(tmp_path / "remote.csv") == _results()
