"""The tree of a damaged protection file: what is lost is named by its keys, and reading goes on."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from bannock.errors import IntegrityError
from bannock.shield.format.pages import PAGE_BYTES, Pager
from bannock.shield.format.salvage import Lost, LostRanges, PageUse, salvage
from bannock.shield.format.seal import page_sealer
from bannock.shield.format.tree import Tree
from tests.unit.shield.support import KEY, MemoryPages

if TYPE_CHECKING:
    from bannock.shield.format.pages import Superblock


class _BadDisk(MemoryPages):
    """Has sectors that cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: set[int] = set()

    def pread(self, size: int, offset: int) -> bytes:
        """Read, or fail as disks do."""
        if offset // PAGE_BYTES in self.bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().pread(size, offset)


def _entries(count: int) -> dict[bytes, bytes]:
    return {b"%08d" % number: b"%d" % number * 20 for number in range(count)}


def _tree(disk: MemoryPages, entries: dict[bytes, bytes]) -> tuple[Pager, Superblock]:
    sealer = page_sealer(KEY, os.urandom)
    state = Pager.new_superblock(os.urandom)
    pager = Pager(disk, sealer, state)
    tree = Tree(pager, state.root)
    for key, value in entries.items():
        tree.put(key, value)
    root = tree.flush()
    found = {"root": root, "free": pager.flush_free(), "pages": pager.pages, "generation": 1}
    made = type(state)(identity=state.identity, next_inode=1, **found)  # type: ignore[arg-type]
    return Pager(disk, sealer, made), made


@pytest.mark.parametrize("count", [0, 1, 100, 5000])
def test_whole_tree_is_read_in_order(count: int) -> None:
    """Every entry comes once, in order, and every page is accounted for."""
    entries, use = _entries(count), PageUse()
    pager, state = _tree(MemoryPages(), entries)
    assert list(salvage(pager, state, use)) == list(entries.items())
    use.read_lists(pager, state)
    assert list(use.defects(state)) == []


def test_each_lost_page_names_its_keys() -> None:
    """Whatever page cannot be read: each entry is there, or its key is in what was lost, and never both."""
    disk, entries = _BadDisk(), _entries(5000)
    pager, state = _tree(disk, entries)
    inner = 0
    for page in range(2, state.pages):
        disk.bad = {page}
        found = list(salvage(pager, state))
        lost = [each for each in found if isinstance(each, Lost)]
        read = {each[0] for each in found if not isinstance(each, Lost)}
        assert [each.page for each in lost] == [page]
        assert lost[0].reason == "it cannot be read: Input/output error"
        ranges = LostRanges(lost)
        for key in entries:
            assert (ranges.of(key) is None) == (key in read)
        inner += len(entries) - len(read) > 200
    assert inner > 1


def test_ranges_that_touch_a_lost_page() -> None:
    """A range of keys is hit by exactly the pages that may hold some of them."""
    one, two = Lost(3, b"b", b"d", ""), Lost(4, b"f", None, "")
    ranges = LostRanges([two, one])
    assert ranges.within(b"a", b"b") == []
    assert ranges.within(b"a", b"bb") == [one]
    assert ranges.within(b"c", b"g") == [one, two]
    assert ranges.within(b"d", b"f") == []
    assert ranges.within(b"x", b"z") == [two]
    assert ranges.of(b"a") is None
    assert ranges.of(b"b") is one
    assert ranges.of(b"d") is None
    assert ranges.of(b"zz") is two
    assert LostRanges([]).within(b"a", b"z") == []


def test_pages_that_are_used_twice_are_told() -> None:
    """A page that is in use and listed as free would be written over."""
    disk, entries = MemoryPages(), _entries(300)
    pager, state = _tree(disk, entries)
    pager.free(state.root.page)
    free = pager.flush_free()
    broken = type(state)(
        generation=2, identity=state.identity, root=state.root, free=free, pages=pager.pages, next_inode=1
    )
    use = PageUse()
    list(salvage(pager, broken, use))
    use.read_lists(pager, broken)
    assert f"pages {state.root.page} are in use, and listed as free" in list(use.defects(broken))


def test_tree_of_more_pages_than_the_file_is_refused() -> None:
    """Who has the key could make a tree that refers to one page again and again."""
    pager, state = _tree(MemoryPages(), _entries(5000))
    small = type(state)(generation=1, identity=state.identity, root=state.root, free=state.free, pages=5, next_inode=1)
    with pytest.raises(IntegrityError, match="more pages than its file"):
        list(salvage(pager, small))
