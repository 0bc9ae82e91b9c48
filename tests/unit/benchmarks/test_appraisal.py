"""The published figures of appraisals are those of the published file."""

from __future__ import annotations

from pathlib import Path

from benchmarks.appraisal.__main__ import table
from benchmarks.appraisal.samples import samples

_DOCUMENTS = Path(__file__).parents[3] / "docs"


def test_the_published_table_is_that_of_the_published_values() -> None:
    """docs/platforms.md shows what the CSV file says, a row for each sample."""
    shown = table(_DOCUMENTS / "appraisal-performance.csv")
    text = (_DOCUMENTS / "platforms.md").read_text(encoding="utf-8")
    assert f"<!-- appraisal -->\n\n{shown}\n<!-- end of appraisal -->" in text
    assert all(f"| {sample.name} |" in shown for sample in samples())


def test_every_sample_is_appraised() -> None:
    """A benchmark of what is refused would measure nothing."""
    for sample in samples():
        assert sample.ours() is not None
