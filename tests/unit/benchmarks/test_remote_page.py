"""The page on encrypted runs shows what was measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks.remote.results import Results

_DOCUMENTS = Path(__file__).parents[3] / "docs"


def test_the_published_table_is_that_of_the_published_values() -> None:
    """docs/remote-performance.md shows what the CSV file beside it says."""
    table = Results.read(_DOCUMENTS / "remote-performance.csv").table()
    text = (_DOCUMENTS / "remote-performance.md").read_text(encoding="utf-8")
    assert f"<!-- remote -->\n\n{table}\n<!-- end of remote -->" in text
