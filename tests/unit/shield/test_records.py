"""Records from outside: any bytes are read as a record within its bounds, or refused as our error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import IntegrityError
from bannock.shield.format import records
from bannock.shield.format.names import Names
from bannock.shield.format.pages import NO_PAGE, PAGE_BYTES, Pager, encode_ref
from bannock.shield.format.records import Chunk, Inode, decode_chunk, decode_name, decode_slots, name_key
from bannock.shield.format.seal import page_sealer
from bannock.shield.format.tree import _decode as decode_page
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, MemoryPages, deterministic, look, make_file

if TYPE_CHECKING:
    from pathlib import Path


@given(st.binary(max_size=300))
def test_inode_of_any_bytes(data: bytes) -> None:
    """What is read as an inode is written as the same bytes again, and is within the bounds."""
    try:
        inode = Inode.decode(data)
    except IntegrityError:
        return
    assert inode.encode() == data
    assert 0 < inode.chunk_bytes <= 16 << 20
    assert inode.size < 2**63


@given(
    st.builds(
        Inode,
        mode=st.integers(0, 2**32 - 1),
        links=st.integers(0, 2**32 - 1),
        size=st.integers(0, 2**63 - 1),
        modified=st.integers(-(2**63), 2**63 - 1),
        chunk_bytes=st.integers(1, 16 << 20),
        slots=st.integers(0, 2**38),
        key=st.binary(min_size=32, max_size=32),
        backing=st.binary(max_size=900).filter(lambda path: b"\0" not in path),
    )
)
def test_inode_round_trip(inode: Inode) -> None:
    """An inode comes back as it was; the key does not show itself."""
    assert Inode.decode(inode.encode()) == inode
    assert inode.key.hex() not in repr(inode)


@pytest.mark.parametrize(
    "inode",
    [
        Inode(0o100644, size=2**63),
        Inode(0o100644, slots=2**39),
        Inode(0o100644, chunk_bytes=0),
        Inode(0o100644, chunk_bytes=2**25),
        Inode(0o100644, backing=b"a\0b"),
    ],
)
def test_inode_out_of_bounds(inode: Inode) -> None:
    """A size that no file can have, a chunk that is none, and a path that no system takes, are refused."""
    with pytest.raises(IntegrityError):
        Inode.decode(inode.encode())


@given(st.binary(max_size=200), st.integers(0, 40))
def test_chunk_of_any_bytes(data: bytes, index: int) -> None:
    """A chunk that is read lies where a file can be read."""
    try:
        chunk = decode_chunk(data, index)
    except IntegrityError:
        return
    assert chunk.length <= 16 << 20
    assert chunk.slot * (16 << 20) + chunk.length < 2**63


@given(st.builds(Chunk, st.integers(0, 16 << 20), st.integers(0, 2**38), st.just(bytes(12)), st.just(b"t" * 16)))
def test_chunk_round_trip(chunk: Chunk) -> None:
    """A chunk's record comes back from any place of its group."""
    assert decode_chunk(records.encode_chunk(Chunk(*chunk)) * 3, 2) == chunk


@given(st.binary(max_size=100))
def test_slots_and_names_of_any_bytes(data: bytes) -> None:
    """Lists of slots and names' values are refused, or lie within the bounds."""
    for decode in (decode_slots, decode_name):
        try:
            decode(data)
        except IntegrityError:
            continue


@given(st.binary(max_size=PAGE_BYTES).map(lambda data: data.ljust(PAGE_BYTES, b"\0")) | st.binary(max_size=50))
def test_page_of_any_bytes(content: bytes) -> None:
    """A page of the tree with any content is refused by our error or read; it is no exception of Python."""
    try:
        node = decode_page(content)
    except IntegrityError:
        return
    assert node.size <= PAGE_BYTES


@pytest.mark.parametrize("numbers", [[0], [1], [10**6], [2**63]])
def test_free_list_that_names_pages_which_cannot_be_free(numbers: list[int]) -> None:
    """A list of free pages cannot have a superblock, or a page that is not there, written over."""
    sealer, file = page_sealer(KEY, deterministic(b"")), MemoryPages()
    state = Pager.new_superblock(deterministic(b""))
    pager = Pager(file, sealer, state)
    body = len(numbers).to_bytes(2, "little") + encode_ref(NO_PAGE)
    pager._stack = pager.write(body + b"".join(n.to_bytes(8, "little") for n in numbers))
    with pytest.raises(IntegrityError, match="free"):
        pager.write(b"content")


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"../../etc/passwd", b"a\0b"])
def test_name_that_is_a_path_is_refused(tmp_path: Path, name: bytes) -> None:
    """A directory whose writer put a path into it, to have files made elsewhere, is not listed."""
    with Volume.create(tmp_path, KEY) as volume:
        ino = make_file(volume, b"file", b"content")
        volume._protection.tree.put(name_key(1, name), records.encode_name(ino, 0o100644))
        assert isinstance(volume.names, Names)
        with pytest.raises(IntegrityError, match="name"):
            look(volume)
