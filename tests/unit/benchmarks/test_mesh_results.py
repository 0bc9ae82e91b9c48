"""What a measurement of services is turned into: a file that keeps it, and a table with a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.mesh.results import APPLY, BUILD, Results

if TYPE_CHECKING:
    from pathlib import Path


def _results() -> Results:
    results = Results(facts={"kernel": "Linux"})
    for row, runs in ((f"a: {BUILD}", (1, 2, 9)), (f"a: {APPLY}", (3,)), (f"b: {BUILD}", (2,)), (f"b: {APPLY}", (4,))):
        for seconds in runs:
            results.add(row, seconds)
    return results


def test_the_table_has_medians_ratios_and_verdicts() -> None:
    """A goal that is missed says so."""
    assert _results().table().splitlines()[4:] == [
        "| a: docker build | 2.00 | 1.00 to 9.00 |  |  |",
        "| a: sconectl apply | 3.00 | 3.00 to 3.00 | x 1.50 | x 1.5 |",
        "| b: docker build | 2.00 | 2.00 to 2.00 |  |  |",
        "| b: sconectl apply | 4.00 | 4.00 to 4.00 | x 2.00 | x 1.5 MISSED |",
    ]


def test_a_file_keeps_what_was_measured(tmp_path: Path) -> None:
    """What is read is what was written."""
    _results().write(tmp_path / "mesh.csv")
    assert Results.read(tmp_path / "mesh.csv") == _results()


def test_another_file_is_refused(tmp_path: Path) -> None:
    """What another benchmark wrote is not taken for this one's."""
    path = tmp_path / "other.csv"
    path.write_text("kind,name,run,seconds,peak\nrow,a,1,2,3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has the columns kind, name, run, seconds, peak; expected are"):
        Results.read(path)
    path.write_text("kind,name,run,seconds\nline,a,1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="of kind 'line'"):
        Results.read(path)
