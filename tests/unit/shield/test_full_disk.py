"""A disk that takes no more: errors to who writes and who commits, and a volume that opens in its last state."""

from __future__ import annotations

import errno
import random
import resource
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bannock.errors import EnvironmentFault
from bannock.shield.format import storage
from bannock.shield.pack import create_volume
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, Keeper, find, look, make_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.values import FspfTag

_CHUNK = 4096
_CHUNKS = 10


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """Have every write(2) beyond a size fail with EFBIG, as a full disk has it fail with ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def keeper() -> Keeper:
    """Give a keeper that knows nothing yet."""
    return Keeper()


def _tag(keeper: Keeper) -> FspfTag:
    assert keeper.tag is not None
    return keeper.tag


def _make(directory: Path, keeper: Keeper) -> None:
    with Volume.create(directory, KEY, keeper=keeper) as volume:
        make_file(volume, b"file", b"".join(b"%d" % n * _CHUNK for n in range(_CHUNKS)), chunk=_CHUNK)
        volume.commit()


def _content(directory: Path, keeper: Keeper) -> bytes:
    with Volume.open(directory, KEY, _tag(keeper), writable=False) as volume:
        return look(volume)[b"file"].content


def test_chunk_that_could_not_be_written_keeps_its_old_content(tmp_path: Path, keeper: Keeper) -> None:
    """A write that fails changes nothing, and no later write takes the place of what it would have replaced."""
    _make(tmp_path, keeper)
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper) as volume:
        ino = find(volume, b"file")
        with _files_of_at_most(_CHUNKS * _CHUNK), pytest.raises(OSError, match="too large") as caught:
            volume.inodes.write(ino, 3 * _CHUNK, b"x" * _CHUNK)
        assert caught.value.errno == errno.EFBIG
        volume.commit()
        volume.inodes.write(ino, 5 * _CHUNK, b"y" * _CHUNK)
        volume.commit()
        volume.inodes.write(ino, 6 * _CHUNK, b"z" * _CHUNK)
        volume.commit()
    found = _content(tmp_path, keeper)
    assert [found[n * _CHUNK : (n + 1) * _CHUNK][:1] for n in range(_CHUNKS)] == [
        b"0", b"1", b"2", b"3", b"4", b"y", b"z", b"7", b"8", b"9",
    ]  # fmt: skip


def test_write_that_succeeded_outlives_one_that_did_not(
    tmp_path: Path, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that wait in memory are not lost when they find no room; they wait on, and the next commit takes them."""
    monkeypatch.setattr(storage, "_DIRTY_BYTES", _CHUNK)
    _make(tmp_path, keeper)
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper) as volume:
        ino = find(volume, b"file")
        with _files_of_at_most(_CHUNKS * _CHUNK):
            volume.inodes.write(ino, 3 * _CHUNK, b"kept")
            with pytest.raises(OSError, match="too large"):
                volume.inodes.write(ino, 4 * _CHUNK, b"refused")
            assert volume.inodes.read(ino, 3 * _CHUNK, 5) == b"kept3"
        volume.commit()
    assert _content(tmp_path, keeper)[3 * _CHUNK :][:5] == b"kept3"


def test_chunk_written_twice_before_a_commit_survives_a_failure(tmp_path: Path, keeper: Keeper) -> None:
    """What a first write of an uncommitted state put is there after a second one, at the same place, has failed."""
    _make(tmp_path, keeper)
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper) as volume:
        ino = find(volume, b"file")
        volume.inodes.write(ino, 3 * _CHUNK, b"x" * _CHUNK)
        with _files_of_at_most(_CHUNKS * _CHUNK + 100), pytest.raises(OSError, match="too large"):
            volume.inodes.write(ino, 3 * _CHUNK, b"y" * _CHUNK)
        assert volume.inodes.read(ino, 3 * _CHUNK, _CHUNK) == b"x" * _CHUNK
        volume.commit()
    assert _content(tmp_path, keeper)[3 * _CHUNK :][:_CHUNK] == b"x" * _CHUNK


@pytest.mark.parametrize("room", [0, 100, 4096, 3 * 4096, 3 * 4096 + 1])
def test_commit_that_finds_no_room_leaves_the_last_state(tmp_path: Path, keeper: Keeper, room: int) -> None:
    """Wherever a commit is stopped by the disk, it is an error, the keeper has not moved, and the state is whole."""
    _make(tmp_path, keeper)
    before = _content(tmp_path, keeper)
    limit = (tmp_path / "volume.fspf").stat().st_size + room
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper) as volume:
        for number in range(50):
            make_file(volume, b"%d" % number * 60)
        with _files_of_at_most(limit), pytest.raises(EnvironmentFault, match="too large"):
            volume.commit()
    assert keeper.moves == 1
    assert _content(tmp_path, keeper) == before
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper) as volume:
        make_file(volume, b"later", b"there is room again")
        volume.commit()
    assert _content(tmp_path, keeper) == before


def test_packing_onto_a_full_disk_blames_the_disk(tmp_path: Path) -> None:
    """When the ciphertext finds no room, the error is the machine's and not about the user's files."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(bytes(200_000))
    with _files_of_at_most(100_000), pytest.raises(EnvironmentFault, match="too large"):
        create_volume(source, tmp_path / "volume", KEY)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of half a MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=512k", "small", disk], check=False).returncode:
        pytest.skip("this root may not mount")
    yield disk
    subprocess.run(["/bin/umount", disk], check=True)


@pytest.mark.root
def test_full_file_system(small_disk: Path, keeper: Keeper) -> None:
    """ENOSPC to the writer, an error to who commits, and the last state whole; what is removed gives room again."""
    _make(small_disk, keeper)
    before = _content(small_disk, keeper)
    with Volume.open(small_disk, KEY, _tag(keeper), keeper=keeper) as volume:
        ino = make_file(volume, b"big", chunk=_CHUNK)
        with pytest.raises(OSError, match="No space left") as caught:
            volume.inodes.write(ino, 0, bytes(1 << 20))
        assert caught.value.errno == errno.ENOSPC
        with pytest.raises(EnvironmentFault, match="No space left"):
            volume.commit()
    assert _content(small_disk, keeper) == before
    with Volume.open(small_disk, KEY, _tag(keeper), keeper=keeper) as volume:
        assert set(look(volume)) == {b"file"}


@pytest.mark.parametrize("room", [0, 100, 4096, 3 * 4096, 3 * 4096 + 1])
def test_commit_succeeds_once_there_is_room(tmp_path: Path, keeper: Keeper, room: int) -> None:
    """Whoever has the volume open goes on: what was written before and after the failure is in the next state."""
    _make(tmp_path, keeper)
    limit = (tmp_path / "volume.fspf").stat().st_size + room
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper) as volume:
        for number in range(50):
            make_file(volume, b"%d" % number * 60)
        for _ in range(3):
            with _files_of_at_most(limit), pytest.raises(EnvironmentFault, match="too large"):
                volume.commit()
        assert volume.failure is None
        make_file(volume, b"later", b"there is room again")
        volume.commit()
    assert keeper.moves == 2
    with Volume.open(tmp_path, KEY, _tag(keeper), writable=False) as volume:
        found = look(volume)
    assert len(found) == 52
    assert found[b"later"].content == b"there is room again"


def test_the_first_superblock_finds_no_room(tmp_path: Path, keeper: Keeper) -> None:
    """It is the last that a commit writes, and the next commit writes it."""
    with Volume.create(tmp_path, KEY, keeper=keeper) as volume:
        make_file(volume, b"file", b"content")
        commit = volume.begin_commit()
        assert commit is not None
        with _files_of_at_most(4096):
            commit.finish()
        with pytest.raises(EnvironmentFault, match="too large"):
            volume.end_commit(commit)
        assert volume.failure is None
        volume.commit()
    assert _content(tmp_path, keeper) == b"content"


@pytest.mark.parametrize("seed", range(30))
def test_whatever_fails_the_confirmed_state_stays_whole(tmp_path: Path, keeper: Keeper, seed: int) -> None:
    """Changes, commits that find no room, and more of both: at any moment a copy opens in the state of the keeper."""
    chance = random.Random(seed)  # noqa: S311 # a fixed sequence
    inodes, expected = dict[bytes, int](), dict[bytes, bytes]()
    confirmed: dict[bytes, bytes] = {}
    failures = 0
    with Volume.create(tmp_path / "volume", KEY, keeper=keeper) as volume:
        for turn in range(60):
            name = b"file-%d" % chance.randrange(8)
            if name not in inodes:
                inodes[name], expected[name] = make_file(volume, name, chunk=_CHUNK), b""
            place, data = chance.randrange(6) * _CHUNK, bytes([turn]) * chance.randrange(1, 3 * _CHUNK)
            # Kept in memory until the commit, or sealed at once.
            volume.inodes.write(inodes[name], place, data)
            before = expected[name].ljust(place, b"\0")
            expected[name] = before[:place] + data + before[place + len(data) :]
            if chance.random() < 0.2:
                size = chance.randrange(len(expected[name]) + 1)
                volume.inodes.truncate(inodes[name], size)
                expected[name] = expected[name][:size]
            largest = max(path.stat().st_size for path in (tmp_path / "volume").rglob("*") if path.is_file())
            with _files_of_at_most(chance.choice([largest + _CHUNK, largest, largest // 2, 1 << 30])):
                try:
                    volume.commit()
                except EnvironmentFault:
                    failures += 1
                else:
                    confirmed = dict(expected)
            if keeper.tag is not None:
                copy = tmp_path / "copy"
                shutil.copytree(tmp_path / "volume", copy)
                with Volume.open(copy, KEY, _tag(keeper), writable=False) as other:
                    assert {path: entry.content for path, entry in look(other).items()} == confirmed
                shutil.rmtree(copy)
        volume.commit()
    with Volume.open(tmp_path / "volume", KEY, _tag(keeper), writable=False) as volume:
        assert {path: entry.content for path, entry in look(volume).items()} == expected
    assert failures
