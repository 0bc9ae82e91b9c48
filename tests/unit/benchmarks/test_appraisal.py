"""Evidence of the benchmark is appraised."""

from __future__ import annotations

from benchmarks.appraisal.samples import samples


def test_every_sample_is_appraised() -> None:
    """A benchmark of what is refused would measure nothing."""
    for sample in samples():
        assert sample.ours() is not None
