"""What a mount remembers of the kernel: inodes it knows, and positions in directories."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bannock.shield.fuse.known import Known, Places

STEPS = st.lists(st.tuples(st.integers(1, 100), st.integers(1, 5), st.booleans()), max_size=200)


@given(STEPS)
def test_lookups_are_counted(steps: list[tuple[int, int, bool]]) -> None:
    """An inode is known from the first lookup to the last forget, in the directory that it was found in last."""
    known, counts, parents = Known(), dict[int, int](), dict[int, int]()
    for ino, number, told in steps:
        if told:
            known.add(ino, number)
            counts[ino] = counts.get(ino, 0) + 1
            parents[ino] = number
        elif ino in counts:
            counts[ino] -= number
            assert known.drop(ino, number) == (counts[ino] <= 0)
            if counts[ino] <= 0:
                del counts[ino], parents[ino]
    assert [ino for ino in range(200) if ino in known] == sorted(counts)
    assert {ino: known.parent(ino) for ino in counts} == parents
    assert sorted(known.clear()) == sorted(counts)
    assert not list(known.clear())


def test_what_is_not_known_is_not_moved() -> None:
    """A rename moves what the kernel knows; of the rest nothing is kept."""
    known = Known()
    known.add(1000, 1)
    for ino in (1000, 1001, 5000):
        known.moved(ino, 7)
    assert [known.parent(ino) for ino in (1000, 1001, 5000)] == [7, 0, 0]
    assert not known.drop(5000, 1)


def test_a_million_inodes_are_small() -> None:
    """Numbers that are given out one after the other take some 20 bytes each."""
    known = Known()
    for ino in range(1, 100_001):
        known.add(ino, 1)
    pages = known._pages
    assert sum(page.itemsize * len(page) for page in pages.values()) + 180 * len(pages) < 100_000 * 25


def test_every_position_of_a_listing_is_exact() -> None:
    """The kernel may go on from any entry, and gets the one behind it, also when two listings are under way."""
    places = Places()
    one, other = list[bytes](), list[bytes]()
    first, second = places.begin(0, one), places.begin(0, other)
    one += [b"a", b"b", b"c"]
    other += [b"a", b"c"]
    assert [places.find(first + count) for count in (1, 2, 3)] == [b"a", b"b", b"c"]
    assert [places.find(second + count) for count in (1, 2)] == [b"a", b"c"]
    assert places.find(second + 3) is None
    assert places.before(first + 2) == 2


def test_where_a_listing_ended_is_remembered_longer() -> None:
    """Of old listings the end stays, since it is where the kernel goes on; the rest is counted from the start."""
    places = Places()
    names = [b"a", b"b"]
    old = places.begin(300, names)
    places.end(old + 2, b"b")
    for _ in range(100):
        places.begin(0, [])
    assert places.find(old + 1) is None
    assert places.before(old + 1) == 301
    assert places.find(old + 2) == b"b"
    for count in range(5000):
        places.end(places.begin(0, []) + 1, b"%d" % count)
    assert places.find(old + 2) is None


def test_positions_fit_a_file_offset() -> None:
    """However many listings there were, a position is positive as a signed number of 64 bits."""
    places = Places()
    places._token = (1 << 24) - 2
    for _ in range(4):
        assert 0 <= places.begin((1 << 39) - 1, []) < 1 << 63
