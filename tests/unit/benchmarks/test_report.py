"""What a benchmark's values are turned into: medians, ratios, verdicts, and a file that keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.shield.goals import Contender, Unit, speed
from benchmarks.shield.report import insert, missed, table
from benchmarks.shield.results import Results, RowInfo

_DOCUMENTS = Path(__file__).parents[3] / "docs"


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


def test_speed_is_more_where_more_is_better_and_less_elsewhere() -> None:
    """A ratio says how many times as fast something is, whatever its unit counts."""
    assert speed(Unit.MEGABYTES_PER_SECOND, 30, 10) == 3
    assert speed(Unit.SECONDS, 30, 10) == pytest.approx(1 / 3)


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
    assert missed(results(**{row: good})) == []
    assert len(missed(results(**{row: bad}))) == 1


def test_growth_is_judged_by_the_other_row() -> None:
    """What is done in the large volume may cost twice what it costs in the small one."""
    assert missed(results(open_few=10, open_many=20)) == []
    assert missed(results(open_few=10, open_many=20.1)) == ["row open-many: <= 2 x row open-few (2.01): MISSED"]


def test_no_data_moved_is_judged_by_bindfs_too() -> None:
    """Deleting may take one and a half times what bindfs needs, however slow gocryptfs is."""
    given = results(delete=140)
    given.values["delete", Contender.GOCRYPTFS] = [1000]
    assert missed(given) == []
    given.values["delete", Contender.BINDFS] = [90]
    assert missed(given) == ["row delete: >= 0.67 x bindfs: MISSED"]


def test_values_survive_the_file(tmp_path: Path) -> None:
    """The CSV file gives back every fact, row, value and failure, and so the same table."""
    given = results(untar=1.25, memory_now=100)
    given.failures.append('walk, bindfs: a, "b"')
    given.write(tmp_path / "results.csv")
    read = Results.read(tmp_path / "results.csv")
    assert read == given
    assert table(read) == table(given)
    assert "FAILED: walk, bindfs" in table(read)


def test_tables_are_put_between_their_marks(tmp_path: Path) -> None:
    """A document keeps what is around the marks; one without marks is refused."""
    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- disk -->\nold\n<!-- end of disk -->\nafter\n", encoding="utf-8")
    insert(document, "disk", "new\\1\n")
    insert(document, "disk", "new\\1\n")
    assert document.read_text(encoding="utf-8") == "before\n<!-- disk -->\n\nnew\\1\n\n<!-- end of disk -->\nafter\n"
    with pytest.raises(ValueError, match="marks"):
        insert(document, "memory", "new")


def test_published_tables_are_those_of_the_published_values() -> None:
    """docs/performance.md shows what the CSV files beside it say."""
    page = _DOCUMENTS / "performance.md"
    text = page.read_text(encoding="utf-8")
    for path in (_DOCUMENTS / "performance").glob("*.csv"):
        assert f"<!-- {path.stem} -->\n\n{table(Results.read(path))}\n<!-- end of {path.stem} -->" in text, path.stem
