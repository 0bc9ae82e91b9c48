"""Pages: what a state needs is never written over, what it does not need is used again, and none can be exchanged."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import pytest

from bannock.errors import IntegrityError
from bannock.shield.format import tree as tree_module
from bannock.shield.format.pages import (
    NO_PAGE,
    PAGE_BYTES,
    Pager,
    PageRef,
    decode_ref,
    encode_ref,
    read_superblocks,
)
from bannock.shield.format.seal import page_sealer
from tests.unit.shield.support import KEY, OTHER_KEY, MemoryPages, deterministic
from tests.unit.shield.test_tree import Store


def reachable(store: Store) -> set[int]:
    """Return the pages that the committed state consists of: those of its tree, and of its list of free pages."""
    found: set[int] = set()
    pager = Pager(store.file, store._sealer, store.state)

    def visit(ref: PageRef) -> None:
        assert ref.page not in found, "a page is used twice"
        found.add(ref.page)
        node = tree_module._decode(pager.read(ref))
        if isinstance(node, tree_module._Inner):
            for child in node.children:
                assert isinstance(child, PageRef)
                visit(child)

    if store.state.root != NO_PAGE:
        visit(store.state.root)
    for page, _ in free_lists(store):
        assert page not in found
        found.add(page)
    return found


def free_lists(store: Store) -> list[tuple[int, list[int]]]:
    """Return the pages of the committed list of free pages, and what each names."""
    pager, ref, lists = Pager(store.file, store._sealer, store.state), store.state.free, []
    while ref.page:
        content = pager.read(ref)
        (count,) = struct.unpack_from("<H", content)
        lists.append((ref.page, list(struct.unpack_from(f"<{count}Q", content, 38))))
        ref = decode_ref(content[2:38])
    return lists


def test_pages_of_the_confirmed_state_are_not_written_over() -> None:
    """No write of a transaction, and of its commit, goes to a page that the state before it consists of."""
    store, choose = Store(), random.Random(1)  # noqa: S311 # a fixed sequence
    for round_ in range(120):
        needed = reachable(store) if store.state.generation else set()
        current = store.state.generation % 2
        store.file.written.clear()
        for _ in range(choose.choice([1, 3, 40, 400])):
            key = choose.randrange(600).to_bytes(8, "big")
            if choose.random() < 0.4:
                store.tree.delete(key)
            else:
                store.tree.put(key, b"v" * choose.choice([0, 10, 300, 1280]))
        store.commit()
        assert not store.file.written & needed
        assert current not in store.file.written or round_ == 0, "the confirmed superblock was written over"
        if round_ % 7 == 0:
            store.reopen()


def test_every_page_is_needed_or_free() -> None:
    """After any commit, the pages of the state and those on its list of free ones are all there are, each once."""
    store, choose = Store(), random.Random(2)  # noqa: S311 # a fixed sequence
    for round_ in range(40):
        for _ in range(choose.choice([1, 50, 500])):
            store.tree.put(choose.randrange(3000).to_bytes(8, "big"), b"v" * choose.randrange(200))
            store.tree.delete(choose.randrange(3000).to_bytes(8, "big"))
        store.commit()
        free = [number for _, numbers in free_lists(store) for number in numbers]
        assert len(free) == len(set(free))
        assert not set(free) & reachable(store)
        assert set(free) | reachable(store) | {0, 1} == set(range(store.pager.pages))
        if round_ % 5 == 0:
            store.reopen()


def test_free_pages_outlive_the_handle() -> None:
    """Pages that one handle has freed are what the next one writes to."""
    store = Store()
    for number in range(3000):
        store.tree.put(number.to_bytes(8, "big"), b"v" * 100)
    store.commit()
    for number in range(3000):
        store.tree.delete(number.to_bytes(8, "big"))
    store.commit()
    pages = store.pager.pages
    for _ in range(3):
        store.reopen()
        for number in range(500):
            store.tree.put(number.to_bytes(8, "big"), b"w" * 100)
        store.commit()
    assert store.pager.pages == pages


def test_long_list_of_free_pages() -> None:
    """More free pages than fit one page of the list are kept over several."""
    store = Store()
    for number in range(2400):
        store.tree.put(number.to_bytes(8, "big"), b"v" * 1200)
    store.commit()
    for number in range(2400):
        store.tree.delete(number.to_bytes(8, "big"))
    store.commit()
    assert len(free_lists(store)) > 1
    assert sum(len(numbers) for _, numbers in free_lists(store)) > 700


def test_two_superblocks_alternate() -> None:
    """The newest two states are both there, the newest first; the tags differ though the content is the same."""
    store = Store()
    tags = []
    for number in range(4):
        store.tree.put(b"key", b"%d" % number)
        store.commit()
        tags.append(store.state.tag)
        found = read_superblocks(store.file, store._sealer)
        assert [state.tag for state in found] == tags[-1:-3:-1]
    assert len(set(tags)) == 4


def test_page_is_good_in_its_place_alone() -> None:
    """A page that is moved, older, of another volume, or cut, is not what its parent means."""
    random_bytes = deterministic(b"pages")
    sealer = page_sealer(KEY, random_bytes)
    file, state = MemoryPages(), Pager.new_superblock(random_bytes)
    pager = Pager(file, sealer, state)
    one, two = pager.write(b"one"), pager.write(b"two")
    assert pager.read(one).rstrip(b"\0") == b"one"
    other = Pager(file, sealer, replace(state, identity=bytes(16)))
    bad = [
        (pager, one._replace(page=two.page)),
        (pager, one._replace(nonce=two.nonce)),
        (pager, one._replace(tag=two.tag)),
        (pager, one._replace(page=0)),
        (pager, one._replace(page=1)),
        (pager, one._replace(page=99)),
        (pager, one._replace(page=2**63)),
        (other, one),
        (Pager(file, page_sealer(OTHER_KEY, random_bytes), state), one),
    ]
    for reader, ref in bad:
        with pytest.raises(IntegrityError):
            reader.read(ref)
    del file.data[two.page * PAGE_BYTES + 100 :]
    with pytest.raises(IntegrityError):
        pager.read(two)


@pytest.mark.parametrize("size", [0, 35, 37])
def test_reference_of_the_wrong_size(size: int) -> None:
    """A reference has one size."""
    assert decode_ref(encode_ref(NO_PAGE)) == NO_PAGE
    with pytest.raises(IntegrityError, match="36 bytes"):
        decode_ref(bytes(size))


def test_what_a_failed_commit_freed_is_not_used_by_the_next_one() -> None:
    """A commit may come to its end but for the superblock, again and again: the confirmed state stays as it is."""
    store = Store()
    for number in range(400):
        store.tree.put(b"key %d" % number, bytes(200))
    store.commit()
    needed = reachable(store)
    for turn in range(5):
        for number in range(turn, 400, 3):
            store.tree.put(b"key %d" % number, bytes([turn]) * 200)
        store.tree.flush()
        store.file.written.clear()
        store.pager.flush_free()
        store.tree.put(b"another", bytes([turn]))
        store.tree.flush()
        assert not needed & store.file.written
    store.commit()
    store.reopen()
    assert store.tree.get(b"another") == bytes([4])
