"""What the shield's values become: rows with goals beside gocryptfs, bindfs and other rows."""

from __future__ import annotations

import pytest

from benchmarks.goals import Unit
from benchmarks.shield.goals import Contender
from benchmarks.shield.results import Results, RowInfo
from benchmarks.tables import missed


def results(**ours: float) -> Results:
    """Give results in which gocryptfs and bindfs always have 100."""
    units = {"sequential-read-warm": Unit.MEGABYTES_PER_SECOND, "memory-now": Unit.MEBIBYTES}
    given = Results(facts={"kernel": "Linux"})
    for option, value in ours.items():
        name = option.replace("_", "-")
        given.declare({name: RowInfo(f"row {name}", units.get(name, Unit.SECONDS))})
        for spread in (-1, 0, 50):
            given.add(name, Contender.BANNOCK, value + spread)
            given.add(name, Contender.GOCRYPTFS, 100)
            given.add(name, Contender.BINDFS, 100)
    return given


@pytest.mark.parametrize(
    ("row", "good", "bad"),
    [
        ("untar", 100, 101),  # as fast as gocryptfs
        ("sequential_read_warm", 200, 199),  # twice as fast
        ("walk_cold", 100, 101),
        ("memory_now", 200, 201),
    ],
)
def test_goals_are_met_or_missed_at_their_bound(row: str, good: float, bad: float) -> None:
    """The median decides, and a row that misses its goal is named."""
    assert missed(results(**{row: good}).as_rows()) == []
    assert len(missed(results(**{row: bad}).as_rows())) == 1


def test_growth_is_judged_by_the_other_row() -> None:
    """What is done in the large volume may cost twice what it costs in the small one."""
    assert missed(results(open_few=10, open_many=20).as_rows()) == []
    assert missed(results(open_few=10, open_many=20.1).as_rows()) == [
        'shield on a disk: row open-many, Bannock: <= 2 x "row open-few" (2.01): MISSED'
    ]


def test_no_data_moved_is_judged_by_bindfs_too() -> None:
    """Deleting may take one and a half times what bindfs needs, however slow gocryptfs is."""
    given = results(delete=140)
    given.values["delete", Contender.GOCRYPTFS] = [1000]
    assert missed(given.as_rows()) == []
    given.values["delete", Contender.BINDFS] = [90]
    assert missed(given.as_rows()) == ["shield on a disk: row delete, Bannock: >= 0.67 x bindfs: MISSED"]


def test_what_failed_and_who_is_left_out_is_told() -> None:
    """Neither is a row with values."""
    given = results(untar=1)
    given.failures["walk", Contender.BINDFS] = "a; b\nc"
    given.missing[Contender.AGE] = "age not installed"
    told = [row.remark for row in given.as_rows() if not row.values]
    assert told == ["FAILED: a, b c", "left out: age not installed"]
