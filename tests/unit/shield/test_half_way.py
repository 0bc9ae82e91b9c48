"""A change that meets damage half-way: it is made as a whole, or not at all, or nothing is ever committed any more."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import IntegrityError
from bannock.shield.format import tree
from bannock.shield.format.pages import PAGE_BYTES
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, Keeper, find, look, make_directory, make_file, put, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.shield.support import Disk, Seen

_FILES: Final = 90
_PROTECTION: Final = b"volume.fspf"


def _rename_over(volume: Volume) -> None:
    volume.names.rename(find(volume, b"d1"), b"file-10", find(volume, b"d2"), b"file-11")


def _rename_large_over(volume: Volume) -> None:
    volume.names.rename(find(volume, b"d1"), b"file-10", volume.root, b"large")


def _rename_directory(volume: Volume) -> None:
    volume.names.rename(volume.root, b"d1", find(volume, b"d2"), b"below")


def _rename_over_directory(volume: Volume) -> None:
    volume.names.rename(volume.root, b"d1", volume.root, b"empty")


def _exchange(volume: Volume) -> None:
    volume.names.exchange(find(volume, b"d1"), b"file-10", volume.root, b"empty")


def _unlink(volume: Volume) -> None:
    volume.names.unlink(volume.root, b"large")


def _rmdir(volume: Volume) -> None:
    volume.names.rmdir(volume.root, b"empty")


def _make(volume: Volume) -> None:
    volume.names.make(find(volume, b"d2"), b"x" * 200, stat.S_IFDIR | 0o755)


def _link(volume: Volume) -> None:
    volume.names.link(find(volume, b"d1/file-10"), find(volume, b"d2"), b"hard")


def _symlink(volume: Volume) -> None:
    volume.names.symlink(find(volume, b"d2"), b"soft", b"t" * 4000)


def _truncate(volume: Volume) -> None:
    volume.inodes.truncate(find(volume, b"large"), 700)


def _empty(volume: Volume) -> None:
    volume.inodes.truncate(find(volume, b"large"), 0)


def _unlink_open(volume: Volume) -> None:
    ino = find(volume, b"large")
    volume.inodes.handles.open(ino)
    volume.names.unlink(volume.root, b"large")
    volume.inodes.handles.release(ino)


_CHANGES: Final = [
    _rename_over, _rename_large_over, _rename_directory, _rename_over_directory, _exchange, _unlink, _rmdir, _make,
    _link, _symlink, _truncate, _empty, _unlink_open,
]  # fmt: skip
#: Those for which more than one entry of the tree is read after the first was changed.
_LONG: Final = [_rename_large_over, _unlink, _truncate, _empty, _unlink_open]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Disk, Keeper]:
    """Make a volume whose tree has many pages."""
    directory, keeper = tmp_path_factory.mktemp("made"), Keeper()
    with Volume.create(directory, KEY, keeper=keeper) as volume:
        for number in range(_FILES):
            make_file(volume, b"d%d/file-%d" % (number % 3, number), b"%d" % number * 50)
        make_file(volume, b"large", os.urandom(120_000))
        make_directory(volume, b"empty")
        make_directory(volume, b"d2/" + b"y" * 250)
        volume.commit()
    return take(directory), keeper


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every page be read when it is needed, and not be in memory by chance."""
    monkeypatch.setattr(tree, "_CACHED_PAGES", 1)


@pytest.mark.parametrize("change", _CHANGES, ids=lambda change: change.__name__.lstrip("_"))
def test_change_that_meets_a_damaged_page(
    made: tuple[Disk, Keeper], tmp_path: Path, change: Callable[[Volume], None]
) -> None:
    """Whichever page is damaged, what is committed afterwards is what was there before the change, or after it."""
    disk, keeper = made
    assert keeper.tag is not None
    good = disk[_PROTECTION]
    with Volume.open(put(disk, tmp_path / "good"), KEY, keeper.tag) as volume:
        before = look(volume)
        change(volume)
        after = look(volume)
    directory, met, failed = put(disk, tmp_path / "damaged"), 0, 0
    for page in range(2, len(good) // PAGE_BYTES):
        # Whole files are put back each time, since a commit writes to them.
        for path, data in disk.items():
            (directory / os.fsdecode(path)).write_bytes(data)
        refused, stopped = _meet(directory, page, good, Keeper(keeper.tag), change, before, after)
        met, failed = met + refused, failed + stopped
    assert met, "some of the pages are needed"
    assert failed or change not in _LONG, "and some of them only after the change has begun"


def _meet(
    directory: Path,
    page: int,
    good: bytes,
    keeper: Keeper,
    change: Callable[[Volume], None],
    before: dict[bytes, Seen],
    after: dict[bytes, Seen],
) -> tuple[bool, bool]:
    """Damage a page, make the change and commit; return whether it was refused, and whether the handle failed then."""
    assert keeper.tag is not None
    path, old, at = directory / "volume.fspf", keeper.tag, page * PAGE_BYTES
    volume = Volume.open(directory, KEY, keeper.tag, keeper=keeper)
    _patch(path, at, bytes(PAGE_BYTES))
    with volume:
        try:
            change(volume)
        except IntegrityError:
            refused = True
        else:
            refused = False
        try:
            volume.commit()
        except IntegrityError:
            assert volume.failure is not None
            assert keeper.tag == old
            with pytest.raises(OSError, match="nothing can be changed any more") as caught:
                volume.names.make(volume.root, b"later", stat.S_IFREG | 0o644)
            assert caught.value.errno == errno.EIO
    if path.read_bytes()[at : at + PAGE_BYTES] == bytes(PAGE_BYTES):
        _patch(path, at, good[at : at + PAGE_BYTES])
    stopped = refused and volume.failure is not None
    with Volume.open(directory, KEY, keeper.tag, writable=False) as volume:
        found = look(volume)
    # Where nothing was committed the old state is in force; and what was not refused was made.
    assert found == before if keeper.tag == old else found == after or (refused and found == before)
    return refused, stopped


def _patch(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_write_that_meets_a_damaged_page(made: tuple[Disk, Keeper], tmp_path: Path) -> None:
    """A write that is stopped half-way leaves each chunk old or new, whatever is written and committed after it."""
    disk, keeper = made
    assert keeper.tag is not None
    with Volume.open(put(disk, tmp_path / "good"), KEY, keeper.tag) as volume:
        old = look(volume)[b"large"].content
    directory, stopped = put(disk, tmp_path / "damaged"), 0
    for page in range(2, len(disk[_PROTECTION]) // PAGE_BYTES):
        for path, data in disk.items():
            (directory / os.fsdecode(path)).write_bytes(data)
        stopped += _write_half_way(directory, page, old, Keeper(keeper.tag))
    assert stopped, "some of the pages are needed"


def _write_half_way(directory: Path, page: int, old: bytes, keeper: Keeper) -> bool:
    """Damage a page, write over a large file, and then to other places of it; return whether the first was stopped."""
    assert keeper.tag is not None
    path, at, size, stopped = directory / "volume.fspf", page * PAGE_BYTES, len(old), False
    good = path.read_bytes()[at : at + PAGE_BYTES]
    with Volume.open(directory, KEY, keeper.tag, keeper=keeper) as volume:
        _patch(path, at, bytes(PAGE_BYTES))
        try:
            ino = find(volume, b"large")
            volume.inodes.write(ino, 0, b"1" * (size // 512 * 512))
        except IntegrityError:
            stopped = True
        _patch(path, at, good)
        ino = find(volume, b"large")
        for start in range(0, 10 * 1024, 1024):
            volume.inodes.write(ino, start, b"2" * 512)
        volume.commit()
        for start in range(512, 10 * 1024, 1024):
            volume.inodes.write(ino, start, b"2" * 512)
        volume.commit()
    with Volume.open(directory, KEY, keeper.tag, writable=False) as volume:
        found = look(volume)[b"large"].content
    for start in range(0, size, 512):
        chunk = found[start : start + 512]
        assert chunk in (old[start : start + 512], b"1" * 512, b"2" * 512)
    return stopped
