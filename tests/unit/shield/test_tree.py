"""The tree of a protection file behaves as a sorted map, fits its pages, and gives pages back."""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bannock.errors import Bug, IntegrityError
from bannock.shield.format import tree as tree_module
from bannock.shield.format.pages import NO_PAGE, PAGE_BYTES, Pager, Superblock, read_superblocks
from bannock.shield.format.seal import page_sealer
from bannock.shield.format.tree import MAX_KEY_BYTES, MAX_VALUE_BYTES, Tree
from tests.unit.shield.support import KEY, MemoryPages, deterministic

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAST = b"\xff" * (MAX_KEY_BYTES + 1)
_SMALL_CACHE = 3


class Store:
    """A tree in a protection file in memory, with commits and no volume around it."""

    def __init__(self) -> None:
        self.file = MemoryPages()
        self._random = deterministic(b"tree")
        self._sealer = page_sealer(KEY, self._random)
        self.state = Pager.new_superblock(self._random)
        self._open(self.state)

    def _open(self, state: Superblock) -> None:
        self.pager = Pager(self.file, self._sealer, state)
        self.tree = Tree(self.pager, state.root)

    def commit(self) -> None:
        """Make what the tree holds the state."""
        root = self.tree.flush()
        free = self.pager.flush_free()
        self.state = replace(
            self.state, generation=self.state.generation + 1, root=root, free=free, pages=self.pager.pages, tag=None
        )
        tag, block, offset = self.pager.seal_superblock(self.state)
        self.file.pwrite(block, offset)
        self.state = replace(self.state, tag=tag)
        self.pager.confirmed()

    def reopen(self) -> None:
        """Forget all that is in memory."""
        if self.state.generation == 0:
            self._open(self.state)
            return
        newest = read_superblocks(self.file, self._sealer)[0]
        assert newest == self.state
        self._open(newest)

    def depths(self) -> set[int]:
        """Return at which depths there are leaves; check sizes, order and bounds of every page on the way."""
        return set() if self.tree._root == NO_PAGE else set(self._depths(self.tree._root, b"", _LAST, 0))

    def _depths(self, child: tree_module._Child, low: bytes, high: bytes, depth: int) -> Iterator[int]:
        node = self.tree._load(child)
        assert node.size + 3 <= PAGE_BYTES
        assert node.keys == sorted(set(node.keys))
        assert all(low <= key < high for key in node.keys)
        if isinstance(node, tree_module._Leaf):
            assert node.keys, "an empty leaf stays behind"
            assert len(node.encode()) == node.size + 3
            yield depth
            return
        bounds = [low, *node.keys, high]
        assert len(node.children) == len(node.keys) + 1
        for below, start, end in zip(list(node.children), bounds, bounds[1:], strict=False):
            yield from self._depths(below, start, end, depth + 1)


#: A few of each length, so that the same key comes up again, and some as long as can be.
_keys = st.one_of(
    st.binary(max_size=2),
    st.integers(0, 400).map(lambda n: n.to_bytes(8, "big")),
    st.integers(0, 30).map(lambda n: bytes([n]).ljust(MAX_KEY_BYTES, b"k")),
)
_values = st.one_of(
    st.binary(max_size=20),
    st.integers(0, MAX_VALUE_BYTES).map(lambda n: b"v" * n),
    st.just(b"V" * MAX_VALUE_BYTES),
)


class TreeMachine(RuleBasedStateMachine):
    """Does the same to a tree and to a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(tree_module, "_CACHED_PAGES", _SMALL_CACHE)
        self.store = Store()
        self.model: dict[bytes, bytes] = {}
        self.saved: dict[bytes, bytes] = {}

    def teardown(self) -> None:
        """Compare everything once more after a commit."""
        self.commit()
        self.reopen()
        assert self.store.tree.scan(b"", _LAST, 10**6) == sorted(self.model.items())
        self._patch.undo()

    @rule(key=_keys, value=_values)
    def put(self, key: bytes, value: bytes) -> None:
        """Set one key."""
        self.store.tree.put(key, value)
        self.model[key] = value

    @rule(start=st.integers(0, 300), count=st.integers(1, 120), size=st.integers(0, 300), down=st.booleans())
    def put_many(self, start: int, count: int, size: int, *, down: bool) -> None:
        """Set many in order, up or down, so that the tree is several pages deep."""
        for number in sorted(range(start, start + count), reverse=down):
            self.put(number.to_bytes(8, "big"), b"m" * size)

    @rule(key=_keys)
    def delete(self, key: bytes) -> None:
        """Remove one key, which may not be there."""
        assert self.store.tree.delete(key) == (self.model.pop(key, None) is not None)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), share=st.integers(2, 10))
    def delete_many(self, data: st.DataObject, share: int) -> None:
        """Remove a run of keys."""
        keys = sorted(self.model)
        first = data.draw(st.integers(0, len(keys) - 1))
        for key in keys[first : first + max(len(keys) // share, 1)]:
            self.delete(key)

    @rule(key=_keys)
    def get(self, key: bytes) -> None:
        """Look for one key."""
        assert self.store.tree.get(key) == self.model.get(key)

    @rule(one=_keys, other=_keys, limit=st.integers(1, 50))
    def scan(self, one: bytes, other: bytes, limit: int) -> None:
        """List a range, at once and by batches."""
        start, end = sorted((one, other))
        keys = sorted(self.model)
        inside = [(key, self.model[key]) for key in keys[bisect_left(keys, start) : bisect_left(keys, end)]]
        assert self.store.tree.scan(start, end, limit) == inside[:limit]
        assert list(self.store.tree.walk(start, end, batch=limit)) == inside

    @rule()
    def commit(self) -> None:
        """Write it down."""
        self.store.commit()
        self.saved = dict(self.model)

    @rule()
    def reopen(self) -> None:
        """Go back to what was written down last."""
        self.store.reopen()
        self.model = dict(self.saved)

    @invariant()
    def is_balanced(self) -> None:
        """Every leaf is as deep as the others, every page fits and is in order, and memory is bounded."""
        assert len(self.store.depths()) <= 1
        assert len(self.store.tree._cache) <= _SMALL_CACHE


TestTree = TreeMachine.TestCase
TestTree.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


def test_small_changes_do_not_make_the_file_grow() -> None:
    """Over a thousand commits of one change each, the file stays within a few pages of what it was."""
    store = Store()
    for number in range(2000):
        store.tree.put(number.to_bytes(8, "big"), b"v" * 50)
    store.commit()
    before, largest = store.pager.pages, 0
    choose = random.Random(7)  # noqa: S311 # a fixed sequence
    for commit in range(1000):
        store.tree.put(choose.randrange(2000).to_bytes(8, "big"), b"%d" % commit)
        store.commit()
        if commit % 100 == 0:
            store.reopen()
        largest = max(largest, store.pager.pages)
    assert largest <= before + 16


def test_what_is_deleted_gives_its_pages_back() -> None:
    """A tree that is filled and emptied again and again needs no more pages than the first time."""
    store = Store()
    sizes = []
    for _ in range(20):
        for number in range(1000):
            store.tree.put(number.to_bytes(8, "big"), b"v" * 100)
        store.commit()
        for number in range(1000):
            store.tree.delete(number.to_bytes(8, "big"))
        store.commit()
        assert store.tree._root == NO_PAGE
        sizes.append(store.pager.pages)
    assert sizes[-1] <= sizes[1] + 4


def test_keys_in_order_fill_their_pages() -> None:
    """A tree that is written in order takes little more space than its entries."""
    store = Store()
    for number in range(5000):
        store.tree.put(number.to_bytes(8, "big"), b"v" * 100)
    store.commit()
    assert store.pager.pages * PAGE_BYTES < 5000 * 112 * 1.1


@pytest.mark.parametrize(("key", "value"), [(MAX_KEY_BYTES + 1, 0), (1, MAX_VALUE_BYTES + 1)])
def test_entry_that_does_not_fit_is_refused(key: int, value: int) -> None:
    """Three entries fit a page, or it could not be split; larger ones are our own mistake."""
    with pytest.raises(Bug, match="does not fit"):
        Store().tree.put(b"k" * key, b"v" * value)


def test_tree_that_leads_into_itself_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree deeper than any can be, which only who has the key can make, is refused and not followed for ever."""
    monkeypatch.setattr(tree_module, "MAX_DEPTH", 3)
    store = Store()
    for number in range(40):
        store.tree.put(number.to_bytes(2, "big"), b"v" * 1000)
    child = store.tree._root
    for _ in range(5):
        child = tree_module._Inner([], [child])
    store.tree._root = child
    with pytest.raises(IntegrityError, match="deep"):
        store.tree.get(b"\0\1")
    with pytest.raises(IntegrityError, match="deep"):
        store.tree.scan(b"", _LAST, 10)
    with pytest.raises(IntegrityError, match="deep"):
        store.tree.put(b"\0\1", b"")
