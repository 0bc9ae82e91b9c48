"""Regions as values: which path belongs to which, what is refused, and records that somebody made up."""

from __future__ import annotations

import itertools

import pytest

from bannock.errors import InputError, IntegrityError
from bannock.shield.regions import Protection, Region, decode_region, encode_region, region_of

CLASSES = list(itertools.product(Protection, ["/srv/data", None]))


@pytest.mark.parametrize(("protection", "kernel"), CLASSES)
def test_each_of_the_six_classes_survives_its_record(protection: Protection, kernel: str | None) -> None:
    """What is written is read, for {ephemeral, kernel} x {not-protected, authenticated, encrypted}."""
    region = Region(path="/app/ü", protection=protection, kernel=kernel, chunk_bytes=4096, key_bytes=16)
    root = 7 if region.kept else 0
    assert decode_region(region.path.encode(), encode_region(region, root)) == (region, root)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/etc/db.conf", "/"),
        ("/data", "/data"),
        ("/data/db/table.db", "/data/db"),
        ("/data/database", "/data"),
        ("/datafile", "/"),
        ("/data/db", "/data/db"),
    ],
)
def test_longest_prefix_wins(path: str, expected: str) -> None:
    """A path belongs to the deepest region that it is in; a name that merely begins alike is not in it."""
    regions = [Region(path=each, protection=Protection.ENCRYPTED, kernel=each) for each in ("/", "/data", "/data/db")]
    found = region_of(regions, path)
    assert found is not None
    assert found.path == expected
    assert region_of(regions[1:], "/etc") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "relative"}, {"path": "/a/../b"}, {"path": "/a/"}, {"path": "/" + "a" * 255}, {"path": "/a\0b"},
        {"kernel": "relative"}, {"kernel": "/" + "a" * 1024},
        {"chunk_bytes": 1023}, {"chunk_bytes": (16 << 20) + 1}, {"chunk_bytes": 0},
        {"key_bytes": 15}, {"key_bytes": 0}, {"key_bytes": 33},
    ],
)  # fmt: skip
def test_values_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    """Nothing that a record could not hold, or a reader would refuse, becomes a region."""
    values: dict[str, object] = {"path": "/app", "protection": Protection.ENCRYPTED, "kernel": "/app", **wrong}
    with pytest.raises(InputError):
        Region(**values)  # type: ignore[arg-type] # wrong on purpose


def _records() -> list[tuple[str, bytes, bytes]]:
    good = encode_region(Region(path="/app", protection=Protection.ENCRYPTED, kernel="/app"), 5)
    return [
        ("empty", b"/app", b""),
        ("cut", b"/app", good[:-1]),
        ("longer", b"/app", good + b"x"),
        ("class", b"/app", good[:8] + b"\x04" + good[9:]),
        ("no class", b"/app", good[:8] + b"\0" + good[9:]),
        ("place", b"/app", good[:9] + b"\x03" + good[10:]),
        ("no root", b"/app", bytes(8) + good[8:]),
        ("root of an ephemeral one", b"/app", good[:9] + b"\x02" + good[10:]),
        ("chunks", b"/app", good[:10] + bytes(4) + good[14:]),
        ("keys", b"/app", good[:14] + b"\x11" + good[15:]),
        ("path", b"/app/../x", good),
        ("text", b"/\xff\xfe", good),
    ]


@pytest.mark.parametrize(("path", "record"), [each[1:] for each in _records()], ids=[each[0] for each in _records()])
def test_hostile_records_are_refused(path: bytes, record: bytes) -> None:
    """Who made the record had the key, and still gets no further than an error of ours."""
    with pytest.raises(IntegrityError):
        decode_region(path, record)
