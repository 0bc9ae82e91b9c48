"""What a measurement of images is turned into: a file that keeps it, and tables with verdicts, which are published."""

from __future__ import annotations

from pathlib import Path

from benchmarks.images.results import BUILD, NATIVE, SCONIFIED, Measured, Results

_DOCUMENTS = Path(__file__).parents[3] / "docs"


def _results() -> Results:
    results = Results(facts={"kernel": "Linux"})
    for seconds in (0.3, 0.5, 0.9):
        results.add(f"pass: {NATIVE}", Measured(seconds=seconds))
    results.add("pass: FUSE", Measured(seconds=0.9))
    results.add("pass: memory", Measured(seconds=0.9016))
    results.add(f"20 MB: {BUILD}", Measured(seconds=10))
    results.add(f"20 MB: {SCONIFIED}", Measured(seconds=15, peak=100.04, sealed=20_000_000))
    results.add(f"20 MB: {SCONIFIED}, nothing changed", Measured(seconds=2, peak=100, pushed=10_000))
    results.add(f"200 MB: {BUILD}", Measured(seconds=1))
    results.add(f"200 MB: {SCONIFIED}", Measured(seconds=1.51, peak=100))
    return results


def test_tables_have_medians_comparisons_and_verdicts() -> None:
    """Starts are compared by their difference, conversions by their ratio; a goal that is missed says so."""
    lines = [line for line in _results().table().splitlines() if line.startswith(("|", "-"))]
    assert lines[0] == "- kernel: Linux"
    assert lines[3:6] == [
        f"| pass: {NATIVE} | 500 | 300 to 900 |  |  |",
        "| pass: FUSE | 900 | 900 to 900 | + 400 ms | + 400 ms |",
        "| pass: memory | 902 | 902 to 902 | + 402 ms | + 400 ms MISSED |",
    ]
    assert lines[8:] == [
        f"| 20 MB: {BUILD} | 10.0 | 10.0 to 10.0 |  |  |  |  |  |",
        f"| 20 MB: {SCONIFIED} | 15.0 | 15.0 to 15.0 | x 1.50 | 100 | 20.00 | 0.00 | x 1.5 |",
        f"| 20 MB: {SCONIFIED}, nothing changed | 2.0 | 2.0 to 2.0 | x 0.20 | 100 | 0.00 | 0.01 |  |",
        f"| 200 MB: {BUILD} | 1.0 | 1.0 to 1.0 |  |  |  |  |  |",
        f"| 200 MB: {SCONIFIED} | 1.5 | 1.5 to 1.5 | x 1.51 | 100 | 0.00 | 0.00 | x 1.5 MISSED |",
    ]


def test_a_file_keeps_what_was_measured(tmp_path: Path) -> None:
    """What is read is what was written."""
    _results().write(tmp_path / "images.csv")
    assert Results.read(tmp_path / "images.csv") == _results()


def test_the_published_tables_are_those_of_the_published_values() -> None:
    """docs/images-performance.md shows what the CSV file says."""
    shown = Results.read(_DOCUMENTS / "images-performance.csv").table()
    text = (_DOCUMENTS / "images-performance.md").read_text(encoding="utf-8")
    assert f"<!-- images -->\n\n{shown}\n<!-- end of images -->" in text
