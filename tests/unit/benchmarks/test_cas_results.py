"""What a CAS's load becomes: rows with goals, failures that are never hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.cas.load import Load, drive
from benchmarks.cas.results import ATTESTATIONS, LIMIT, add, measurement

if TYPE_CHECKING:
    from collections.abc import Callable


def _load(rate: float, p99: float = 40.0, failures: tuple[str, ...] = ()) -> Load:
    return Load(rate=rate, p50=10.0, p99=p99, failures=failures)


def test_rows_have_goals_and_failures() -> None:
    """A goal that is not reached says so, each on its own; so does a turn that failed."""
    found = measurement({})
    add(found, ATTESTATIONS, LIMIT, _load(1000))
    for rate in (100, 600, 700):
        add(found, ATTESTATIONS, "SQLite", _load(rate, p99=60))
    add(found, "session reads", "SQLite", _load(4999, failures=("no",)))
    rows = {(row.case, row.subject): row for row in found.rows()}
    assert rows[ATTESTATIONS, "SQLite"].ratios == {LIMIT: 0.6}
    assert rows[ATTESTATIONS, "SQLite"].remark == f">= 500 op/s: met; >= 0.25 x {LIMIT}: met"
    assert rows[f"{ATTESTATIONS}, p99", "SQLite"].remark == "<= 50 ms: MISSED"
    assert rows["session reads", "SQLite"].remark == "FAILED: 1 turns, one with no; >= 5,000 op/s: MISSED"
    assert found.failed == ["session reads, SQLite: FAILED: 1 turns, one with no"]


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
