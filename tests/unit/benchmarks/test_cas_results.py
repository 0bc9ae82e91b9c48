"""What a CAS's values are turned into: a file that keeps them, and a table with medians, ratios and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cas.load import Load, drive
from benchmarks.cas.results import LIMIT, Results

if TYPE_CHECKING:
    from collections.abc import Callable

_DOCUMENTS = Path(__file__).parents[3] / "docs"


def _load(rate: float, p50: float = 10.0, p99: float = 40.0, failures: tuple[str, ...] = ()) -> Load:
    return Load(rate=rate, p50=p50, p99=p99, failures=failures)


def test_a_table_has_medians_ratios_and_verdicts() -> None:
    """A goal that is not reached says so, each on its own; failures are never hidden."""
    results = Results(facts={"kernel": "Linux"})
    results.add(LIMIT, _load(1000))
    for rate in (100, 600, 700):
        results.add("attestations, SQLite, 1 process", _load(rate, p99=60))
    results.add("session reads, SQLite, 1 process", _load(4999, failures=("no",)))
    lines = results.table().splitlines()
    assert lines[0] == "- kernel: Linux"
    assert "| attestations, SQLite, 1 process | 600 | 10.0 | 60.0 | 0.60 |" in lines[5]
    assert lines[5].endswith("| 500/s, p50 15 ms, p99 50 ms MISSED, 0.25 of the limit |")
    assert "(1 FAILED)" in lines[6]
    assert lines[6].endswith("| 5,000/s MISSED |")


def test_a_file_keeps_what_was_measured(tmp_path: Path) -> None:
    """What is read is what was written."""
    results = Results(facts={"kernel": "Linux"})
    results.add(LIMIT, _load(1000.04))
    results.write(tmp_path / "cas.csv")
    assert Results.read(tmp_path / "cas.csv") == results


def test_clients_work_at_the_same_time_and_tell_of_failures() -> None:
    """Rates are added up, and a turn that fails is counted as such."""

    def prepare(number: int) -> Callable[[], int]:
        def turn() -> int:
            if number == 1:
                raise ValueError("no")
            return 2

        return turn

    load = drive(2, 0.1, prepare)
    assert load.rate > 0
    assert load.failures
    assert set(load.failures) == {"ValueError: no"}


def test_the_published_table_is_that_of_the_published_values() -> None:
    """docs/cas-performance.md shows what the CSV file beside it says."""
    table = Results.read(_DOCUMENTS / "cas-performance.csv").table()
    text = (_DOCUMENTS / "cas-performance.md").read_text(encoding="utf-8")
    assert f"<!-- cas -->\n\n{table}\n<!-- end of cas -->" in text
