"""The one shape of rows: files that keep it, tables and pictures that are made of it, and what is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.goals import AtMost, Unit, speed
from benchmarks.page import shown
from benchmarks.plots import OVERVIEW, draw, name_of, stamp
from benchmarks.rows import COLUMNS, Measurement, merge_rows, read_rows
from benchmarks.tables import insert, parts, peers_of, table

_ROOT = Path(__file__).parents[3]
_PUBLISHED = _ROOT / "bench"


def _measurement(name: str = "shield") -> Measurement:
    found = Measurement(
        name,
        peers=("peer", "other"),
        goals=lambda *_: (AtMost(2),),
        facts={"date": "today; late", "Bannock": "1.0", "peer": "2"},
    )
    for value in (1, 2, 4):
        found.add("work", "Bannock", Unit.SECONDS, value)
        found.add("work", "peer", Unit.SECONDS, 2 * value)
    found.remark("", "other", "left out: not installed")
    return found


def test_speed_is_more_where_more_is_better_and_less_elsewhere() -> None:
    """A ratio says how many times as fast something is, whatever its unit counts."""
    assert speed(Unit.MEGABYTES_PER_SECOND, 30, 10) == 3
    assert speed(Unit.SECONDS, 30, 10) == pytest.approx(1 / 3)
    assert speed(Unit.MEGABYTES, 0, 10) == float("inf")


def test_a_row_says_everything() -> None:
    """Machine, versions, values, ratio to the peer, and whether the goal is reached."""
    ours = _measurement().rows()[0]
    assert (ours.median, ours.ratios, ours.remark) == (2, {"peer": 2}, "<= 2 s: met")
    assert (ours.machine, ours.versions) == ("date: today, late", "Bannock: 1.0; peer: 2")


def test_a_file_keeps_rows_and_those_of_other_benchmarks(tmp_path: Path) -> None:
    """What is measured again takes the place of what was."""
    path = tmp_path / "results" / "all.csv"
    merge_rows(path, _measurement("one").rows())
    merge_rows(path, _measurement("two").rows())
    merge_rows(path, _measurement("one").rows())
    assert read_rows(path) == [*_measurement("two").rows(), *_measurement("one").rows()]
    assert path.read_text(encoding="utf-8").splitlines()[0] == ",".join(COLUMNS)


def test_another_file_is_refused(tmp_path: Path) -> None:
    """What has other columns is not taken for rows."""
    path = tmp_path / "other.csv"
    path.write_text("kind,name\nrow,a\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has the columns kind, name; expected benchmark, case"):
        read_rows(path)


def test_a_table_has_medians_spreads_peers_and_verdicts() -> None:
    """Who it is stands in the head where it is always the same; who is left out is said."""
    assert table(_measurement().rows()).splitlines() == [
        "- date: today, late",
        "- Bannock: 1.0; peer: 2",
        "- runs: 3",
        "- other: left out: not installed",
        "",
        "|      |   | Bannock |       spread |          peer | goal        |",
        "| ---- | - | ------: | -----------: | ------------: | ----------- |",
        "| work | s |    2.00 | 1.00 to 4.00 | 4.00 (x 2.00) | <= 2 s: met |",
    ]


def test_tables_are_put_between_their_marks(tmp_path: Path) -> None:
    """A document keeps what is around the marks; one without marks is refused."""
    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- disk -->\nold\n<!-- end of disk -->\nafter\n", encoding="utf-8")
    insert(document, "disk", "new\\1\n")
    insert(document, "disk", "new\\1\n")
    assert document.read_text(encoding="utf-8") == "before\n<!-- disk -->\n\nnew\\1\n\n<!-- end of disk -->\nafter\n"
    with pytest.raises(ValueError, match="marks"):
        insert(document, "memory", "new")


def test_pictures_are_the_same_for_the_same_rows(tmp_path: Path) -> None:
    """A part with a peer has a picture with the text of its cases, and all together have one."""
    rows = _measurement("a part, of it").rows()
    for directory in ("first", "second"):
        drawn = draw({"one": rows}, tmp_path / directory)
    assert {path.name for path in drawn} == {
        f"{name}.{kind}" for name in ("a-part-of-it", OVERVIEW) for kind in ("svg", "png")
    }
    for path in drawn:
        assert path.read_bytes() == (tmp_path / "first" / path.name).read_bytes()
    text = (tmp_path / "first" / "a-part-of-it.svg").read_text(encoding="utf-8")
    assert ">work</text>" in text
    assert stamp(rows) in text


def test_what_is_published_is_made_of_the_published_values() -> None:
    """docs/performance.md and the pictures show what bench/results says."""
    text = (_ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    everything = []
    for path in sorted((_PUBLISHED / "results").glob("*.csv")):
        rows = read_rows(path)
        everything += rows
        assert f"<!-- {path.stem} -->\n\n{shown(rows)}\n<!-- end of {path.stem} -->" in text, path.stem
        for part, found in parts(rows).items():
            if peers_of(found):
                picture = (_PUBLISHED / "plots" / f"{name_of(part)}.svg").read_text(encoding="utf-8")
                assert stamp(found) in picture, f"{part}: run make bench-report"
                assert (_PUBLISHED / "plots" / f"{name_of(part)}.png").exists()
    assert stamp(everything) in (_PUBLISHED / "plots" / f"{OVERVIEW}.svg").read_text(encoding="utf-8")
