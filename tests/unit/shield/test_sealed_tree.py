"""Protection files that are made at once, of files that were sealed as streams."""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING

import pytest

from bannock.errors import Bug, InputError, IntegrityError
from bannock.shield.fspf import Fspf
from bannock.shield.regions import CHUNK_BYTES, Protection, Region
from bannock.shield.sealed_files import FileSealing, SealedFile
from bannock.shield.sealed_tree import Item, RegionContent, write_sealed_tree
from tests.unit.shield.support import KEY

if TYPE_CHECKING:
    from pathlib import Path

_SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 33 * CHUNK_BYTES + 5]


def _seal(content: bytes, target: Path) -> SealedFile:
    sealing = FileSealing(io.BytesIO(content), len(content), os.urandom)
    with target.open("wb") as file:
        while block := sealing.read(100_000):
            file.write(block)
    return sealing.sealed()


def _write(directory: Path, contents: dict[str, bytes]) -> tuple[Path, Region]:
    store = directory / "store"
    store.mkdir()
    items = [Item(path="", mode=stat.S_IFDIR | 0o751, uid=7, gid=8, modified=12)]
    for name, content in contents.items():
        sealed = _seal(content, store / name)
        items.append(
            Item(path=name, mode=stat.S_IFREG | 0o640, uid=1, gid=2, modified=99, file=sealed, stored=name)
        )  # fmt: skip
    region = Region(path="/app", protection=Protection.ENCRYPTED, kernel=str(store))
    file = directory / "image.fspf"
    tag = write_sealed_tree(file, KEY, [RegionContent(region=region, items=items)])
    with Fspf.open(file, KEY, tag, writable=False) as opened:
        assert opened.regions == (region,)
    return file, region


def test_files_of_every_size_are_read_back(tmp_path: Path) -> None:
    """What was sealed as a stream is what the region shows, with modes, owners and times."""
    contents = {f"file{size}": os.urandom(size) for size in _SIZES}
    file, region = _write(tmp_path, contents)
    with Fspf.open(file, KEY, writable=False) as opened:
        volume = opened.open_region(region.path, tmp_path / "store", writable=False)
        for name, content in contents.items():
            ino = volume.names.lookup(volume.root, name.encode())
            inode = volume.inodes.get(ino)
            assert bytes(volume.inodes.read(ino, 0, len(content) + 1)) == content
            assert (inode.size, inode.mode, inode.uid, inode.gid) == (len(content), stat.S_IFREG | 0o640, 1, 2)
            assert inode.modified == 99_000_000_000
        root = volume.inodes.get(volume.root)
        assert (root.mode, root.uid, root.links) == (stat.S_IFDIR | 0o751, 7, 2)


def test_ciphertext_is_not_the_content(tmp_path: Path) -> None:
    """Nothing of the content is on the storage, and what is there is as long as it."""
    content = b"secret code\n" * 10_000
    _write(tmp_path, {"code": content})
    stored = (tmp_path / "store" / "code").read_bytes()
    assert len(stored) == len(content)
    assert b"secret" not in stored


@pytest.mark.parametrize("at", [0, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 9])
def test_a_changed_byte_is_found(tmp_path: Path, at: int) -> None:
    """A byte that was changed on the storage is an error of the chunk that it is in."""
    file, region = _write(tmp_path, {"code": bytes(CHUNK_BYTES + 10)})
    path = tmp_path / "store" / "code"
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with Fspf.open(file, KEY, writable=False) as opened:
        volume = opened.open_region(region.path, tmp_path / "store", writable=False)
        ino = volume.names.lookup(volume.root, b"code")
        with pytest.raises(IntegrityError):
            volume.inodes.read(ino, at, 1)


def test_changes_are_kept_in_memory_alone(tmp_path: Path) -> None:
    """A region with a scratch directory takes changes and new files, and its storage stays as it was."""
    file, region = _write(tmp_path, {"code": b"x" * 10})
    before = (file.read_bytes(), (tmp_path / "store" / "code").read_bytes())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with Fspf.open(file, KEY, writable=False) as opened:
        volume = opened.open_region(region.path, tmp_path / "store", scratch=scratch)
        ino = volume.names.lookup(volume.root, b"code")
        volume.inodes.write(ino, 2, b"yy")
        new = volume.names.make(volume.root, b"new", stat.S_IFREG | 0o600)
        volume.inodes.write(new, 0, b"new")
        assert bytes(volume.inodes.read(ino, 0, 10)) == b"xxyyxxxxxx"
        assert bytes(volume.inodes.read(new, 0, 10)) == b"new"
        assert not volume.changed
    assert before == (file.read_bytes(), (tmp_path / "store" / "code").read_bytes())
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["code"]


def test_directories_links_and_hard_links(tmp_path: Path) -> None:
    """Names that mean one file are one; links keep their targets, however long; directories count their own."""
    store = tmp_path / "store"
    store.mkdir()
    sealed = _seal(b"one", store / "a")
    target = "/" + "t" * 3000
    items = [
        Item(path="d", mode=stat.S_IFDIR | 0o755),
        Item(path="d/a", mode=stat.S_IFREG | 0o644, file=sealed, stored="a"),
        Item(path="d/b", mode=stat.S_IFREG | 0o644, file=sealed, stored="a"),
        Item(path="link", mode=stat.S_IFLNK | 0o777, target=target),
    ]
    region = Region(path="/r", protection=Protection.ENCRYPTED, kernel=str(store))
    rest = Region(path="/", protection=Protection.NOT_PROTECTED, kernel="/")
    write_sealed_tree(
        tmp_path / "f", KEY, [RegionContent(region=rest), RegionContent(region=region, items=items)]
    )  # fmt: skip
    with Fspf.open(tmp_path / "f", KEY, writable=False) as opened:
        volume = opened.open_region("/r", store, writable=False)
        names = volume.names
        directory = names.lookup(volume.root, b"d")
        first, second = names.lookup(directory, b"a"), names.lookup(directory, b"b")
        assert first == second
        assert volume.inodes.get(first).links == 2
        assert volume.inodes.get(volume.root).links == 3
        assert names.link_target(names.lookup(volume.root, b"link")) == target.encode()


def test_one_file_cannot_be_in_two_regions(tmp_path: Path) -> None:
    """Two entries under one number would be one file with two contents."""
    sealed = SealedFile(number=1 << 50, size=0, key=bytes(32), chunks=b"", digest=bytes(32))
    contents = [
        RegionContent(
            region=Region(path=path, protection=Protection.ENCRYPTED, kernel=path),
            items=[Item(path="a", mode=stat.S_IFREG | 0o644, file=sealed)],
        )
        for path in ("/a", "/b")
    ]
    with pytest.raises(Bug, match="one number"):
        write_sealed_tree(tmp_path / "f", KEY, contents)


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    """A path or a target that records have no room for."""
    sealed = SealedFile(number=1 << 50, size=1, key=bytes(32), chunks=bytes(28), digest=bytes(32))
    region = Region(path="/r", protection=Protection.ENCRYPTED, kernel="/r")
    deep = Item(path="a", mode=stat.S_IFREG, file=sealed, stored="x/" * 600)
    empty = Item(path="a", mode=stat.S_IFLNK | 0o777)
    for item in (deep, empty):
        with pytest.raises(InputError):
            write_sealed_tree(tmp_path / "f", KEY, [RegionContent(region=region, items=[item])])


def test_sealing_needs_the_whole_source() -> None:
    """A source that ends early, or was not read to its end, gives no record."""
    sealing = FileSealing(io.BytesIO(b"ab"), 3, os.urandom)
    with pytest.raises(IntegrityError, match="ends before"):
        sealing.read(10)
    sealing = FileSealing(io.BytesIO(b"abc"), 3, os.urandom)
    sealing.read(1)
    with pytest.raises(IntegrityError, match="not sealed"):
        sealing.sealed()


@pytest.mark.parametrize(("key", "chunks"), [(bytes(31), bytes(28)), (bytes(32), bytes(27)), (bytes(32), b"")])
def test_records_that_are_not_whole_are_refused(key: bytes, chunks: bytes) -> None:
    """Records come from a cache on a disk."""
    with pytest.raises(IntegrityError, match="not whole"):
        SealedFile(number=1, size=1, key=key, chunks=chunks, digest=bytes(32))


def test_records_do_not_show_their_key() -> None:
    """A key is in no message."""
    assert "0101" not in repr(SealedFile(number=1, size=0, key=b"\x01" * 32, chunks=b"", digest=bytes(32)))
