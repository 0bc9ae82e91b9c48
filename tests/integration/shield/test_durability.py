"""What was asked to be durable is there after the shield was killed, whichever way it was asked for."""

from __future__ import annotations

import mmap
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_DATA = bytes(range(256)) * 1000


def _by(sync: Callable[[int], None]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(_DATA)
            file.flush()
            sync(file.fileno())

    return write


def _by_flag(flag: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
        try:
            assert os.write(descriptor, _DATA) == len(_DATA)
        finally:
            os.close(descriptor)

    return write


def _by_map(path: Path) -> None:
    with path.open("w+b") as file:
        file.truncate(len(_DATA))
        with mmap.mmap(file.fileno(), 0) as area:
            area[:] = _DATA
            area.flush()


@pytest.mark.parametrize(
    "write",
    [_by(os.fsync), _by(os.fdatasync), _by_flag(os.O_SYNC), _by_flag(os.O_DSYNC), _by_map],
    ids=["fsync", "fdatasync", "O_SYNC", "O_DSYNC", "msync"],
)
def test_data_is_durable(host: Host, write: Callable[[Path], None]) -> None:
    """A write that was acknowledged as durable survives, and its state is the keeper's."""
    before = host.keeper.tag
    write(host.path / "file")
    assert host.keeper.tag != before
    host.kill()
    host.start()
    assert (host.path / "file").read_bytes() == _DATA


def test_names_are_durable(host: Host) -> None:
    """After fsync(2) of a directory, what was made, moved and removed in it stays so."""
    (host.path / "dir").mkdir()
    for name in ("moved", "removed", "replaced", "replacing"):
        (host.path / name).write_text(name)
    host.commit()
    (host.path / "moved").rename(host.path / "dir/here")
    (host.path / "removed").unlink()
    (host.path / "replacing").replace(host.path / "replaced")
    (host.path / "link").symlink_to("dir")
    (host.path / "link/hard").hardlink_to(host.path / "replaced")
    host.commit()
    host.kill()
    host.start()
    assert sorted(path.name for path in host.path.iterdir()) == ["dir", "link", "replaced"]
    assert (host.path / "dir/here").read_text() == "moved"
    assert (host.path / "link/hard").read_text() == "replacing"
    assert (host.path / "replaced").stat().st_nlink == 2


def test_what_is_closed_is_durable_soon(host: Host) -> None:
    """close(2) waits for nothing, and within seconds the data is in the state in force all the same."""
    before = host.keeper.tag
    (host.path / "file").write_bytes(_DATA)
    host.wait_for_commit(before)
    host.kill()
    host.start()
    assert (host.path / "file").read_bytes() == _DATA


def test_a_thousand_closed_files_are_few_states(host: Host) -> None:
    """Files that are written and closed one after the other are committed together."""
    moves = host.keeper.moves
    for number in range(1000):
        (host.path / f"file {number}").write_bytes(b"text")
    host.commit()
    assert host.keeper.moves - moves < 50


def test_a_file_without_a_name_goes_with_who_had_it_open(host: Host) -> None:
    """An unlinked open file lives through commits, and after a kill neither it nor its ciphertext is left."""
    descriptor = os.open(host.path / "gone", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, _DATA)
    host.commit()
    (host.path / "gone").unlink()
    host.commit()
    os.write(descriptor, _DATA)
    os.fsync(descriptor)
    assert os.pread(descriptor, 3 * len(_DATA), 0) == _DATA + _DATA
    host.kill()
    with suppress(OSError):
        # ENOTCONN, if the kernel still asks.
        os.close(descriptor)
    host.start()
    assert list(host.path.iterdir()) == []
    host.commit()
    host.stop()
    assert [path.name for path in host.directory.iterdir() if path.stat().st_size > 8192] == ["volume.fspf"]


def test_attributes_stay_as_they_were(host: Host) -> None:
    """Mode, owner, size and times of files, directories and links are the same after a remount."""
    (host.path / "dir").mkdir(mode=0o751)
    (host.path / "dir/file").write_bytes(_DATA)
    (host.path / "dir/file").chmod(0o640)
    os.chown(host.path / "dir/file", 1234, 5678)
    (host.path / "dir/empty").touch()
    (host.path / "dir/link").symlink_to("file")
    os.utime(host.path / "dir/empty", ns=(123_456_789, 987_654_321_123_456_789))
    os.utime(host.path / "dir/link", ns=(1, -1_000_000_001), follow_symlinks=False)
    before = _attributes(host.path)
    assert (987_654_321_123_456_789, 0) in {(each[5], each[3]) for each in before.values()}
    assert any(each[5] == -1_000_000_001 for each in before.values())
    host.remount()
    assert _attributes(host.path) == before


def _attributes(top: Path) -> dict[str, tuple[int, ...]]:
    found = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        names = ("st_mode", "st_uid", "st_gid", "st_size", "st_nlink", "st_mtime_ns", "st_ctime_ns", "st_ino")
        found[str(path)] = tuple(getattr(status, name) for name in names)
        assert stat.S_ISDIR(status.st_mode) or status.st_size > 0 or path.name == "empty"
    return found
