"""Storage that fails below a mounted volume: an error to the application, and the volume whole in its last state.

Real file systems are made small, full, read-only, broken, or lose their power while an application works on the mount.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import EnvironmentFault
from bannock.shield.volume import Volume
from tests.integration.shield.disks import Ext4, Tmpfs
from tests.integration.shield.hosting import KEY, Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.fuse]

_MIB: Final = 1 << 20
_NAMES: Final = 400
_KEPT: Final = b"fsynced before the disk failed" * 5000


def _write(path: Path, data: bytes) -> None:
    """Write a file and make it durable, as a careful application does."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _fill(path: Path, size: int) -> None:
    with path.open("wb", buffering=0) as file:
        for _ in range(size // _MIB):
            file.write(os.urandom(_MIB))
        os.fsync(file.fileno())


def _fill_files(directory: Path, count: int) -> None:
    for number in range(count):
        (directory / f"{number}").write_bytes(b"x")
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_empty_files(directory: Path, turn: int) -> None:
    """Make files that are nothing but names, so that the commit alone needs room."""
    for number in range(_NAMES):
        (directory / f"{turn}-{number}").touch()
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _refused(*numbers: int) -> Iterator[None]:
    with pytest.raises(OSError, match=r".") as caught:
        yield
    assert caught.value.errno in numbers, caught.value


def _host(base: Path, disk: Path) -> Host:
    """Give a volume on a disk, whose tag is kept elsewhere."""
    host = Host(base)
    host.directory = disk / "volume"
    return host


def _check_and_go_on(host: Host) -> None:
    """Start anew: what was fsynced is there, and there is more to come."""
    host.start()
    assert (host.path / "kept").read_bytes() == _KEPT
    _write(host.path / "later", b"written after the disk was repaired")
    host.remount()
    assert (host.path / "later").read_bytes() == b"written after the disk was repaired"
    assert (host.path / "kept").read_bytes() == _KEPT
    host.stop()


@contextmanager
def _working(host: Host) -> Iterator[None]:
    """Have a volume with a file that is durable; afterwards nothing of the mount is left."""
    host.start()
    try:
        _write(host.path / "kept", _KEPT)
        yield
    finally:
        host.kill()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_full_disk(tmp_path: Path, kind: str) -> None:
    """Who writes too much is told ENOSPC; what was durable stays, and once there is space there is more."""
    disk = (
        Tmpfs(tmp_path / "disk", size=8 * _MIB)
        if kind == "tmpfs"
        else Ext4(tmp_path / "disk", tmp_path / "image", size=16 * _MIB)
    )
    with disk:
        (disk.path / "filler").write_bytes(bytes(2 * _MIB))
        host = _host(tmp_path, disk.path)
        with _working(host), _refused(errno.ENOSPC):
            _fill(host.path / "large", 32 * _MIB)
        (disk.path / "filler").unlink()
        _check_and_go_on(host)


def test_space_comes_back_without_a_restart(tmp_path: Path) -> None:
    """Where a write was refused, and not a commit, the application removes something and goes on."""
    with Tmpfs(tmp_path / "disk", size=8 * _MIB) as disk:
        host = _host(tmp_path, disk.path)
        with _working(host):
            with _refused(errno.ENOSPC):
                _fill(host.path / "large", 32 * _MIB)
            assert (host.path / "kept").read_bytes() == _KEPT
            (host.path / "large").unlink()
            _write(host.path / "small", b"there is room again")
        host.start()
        assert (host.path / "small").read_bytes() == b"there is room again"
        host.stop()


def test_commits_go_on_where_there_is_room_again(tmp_path: Path) -> None:
    """A commit that was refused is tried again: fsync(2) fails until there is room, and then nothing is missing."""
    with Tmpfs(tmp_path / "disk", size=8 * _MIB) as disk:
        host = _host(tmp_path, disk.path)
        with _working(host):
            for size in (_MIB, 4096):
                with suppress(OSError), (disk.path / "filler").open("ab", buffering=0) as file:
                    while True:
                        file.write(bytes(size))
            for turn in range(3):
                with _refused(errno.ENOSPC):
                    _make_empty_files(host.path, turn)
            (disk.path / "filler").unlink()
            _make_empty_files(host.path, 3)
            made = {path.name for path in host.path.iterdir()}
        host.start()
        assert {path.name for path in host.path.iterdir()} == made
        assert len(made) == 1 + 4 * _NAMES
        assert (host.path / "kept").read_bytes() == _KEPT
        host.stop()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_disk_without_room_for_more_files(tmp_path: Path, kind: str) -> None:
    """Where the disk takes no more files, fsync(2) says so; the state before is whole."""
    disk = (
        Tmpfs(tmp_path / "disk", size=8 * _MIB, files=40)
        if kind == "tmpfs"
        else Ext4(tmp_path / "disk", tmp_path / "image", size=16 * _MIB, files=64)
    )
    with disk:
        (disk.path / "filler").mkdir()
        for number in range(15):
            (disk.path / "filler" / f"{number}").touch()
        host = _host(tmp_path, disk.path)
        with _working(host), _refused(errno.ENOSPC, errno.EIO):
            _fill_files(host.path, 100)
        for path in (disk.path / "filler").iterdir():
            path.unlink()
        _check_and_go_on(host)


def test_disk_that_has_less_than_it_promised(tmp_path: Path) -> None:
    """A disk that took a write and then cannot keep it fails at fsync(2), and the state before is whole."""
    with (
        Tmpfs(tmp_path / "below", size=10 * _MIB) as below,
        Ext4(tmp_path / "disk", below.path / "image", size=64 * _MIB) as disk,
    ):
        host = _host(tmp_path, disk.path)
        with _working(host), _refused(errno.ENOSPC, errno.EIO):
            _fill(host.path / "large", 30 * _MIB)
        disk.unmount()
        below.resize(100 * _MIB)
        disk.repair()
        disk.mount()
        _check_and_go_on(host)


def _make_read_only(disk: Ext4) -> None:
    disk.make_read_only()


def _cut_power(disk: Ext4) -> None:
    disk.cut_power()


@pytest.mark.parametrize(
    ("fail", "numbers"), [(_make_read_only, (errno.EROFS, errno.EIO)), (_cut_power, (errno.EIO,))],
    ids=["read-only", "broken"],
)  # fmt: skip
def test_disk_that_fails_while_an_application_writes(
    tmp_path: Path, fail: Callable[[Ext4], None], numbers: tuple[int, ...]
) -> None:
    """EROFS or EIO to who writes on, and once the disk is well again every byte that was durable is there."""
    with Ext4(tmp_path / "disk", tmp_path / "image", size=16 * _MIB) as disk:
        host = _host(tmp_path, disk.path)
        with _working(host):
            with (host.path / "open").open("wb", buffering=0) as file:
                file.write(b"not durable yet")
                fail(disk)
                with _refused(*numbers):
                    file.write(b"and refused" * 100_000)
                    os.fsync(file.fileno())
            with _refused(errno.EIO):
                # A commit has failed, so nothing can be changed until the volume is opened anew.
                _write(host.path / "another", b"refused as well")
        disk.unmount()
        disk.mount()
        _check_and_go_on(host)


def test_read_only_disk_stays_readable(tmp_path: Path) -> None:
    """After a commit has failed everything that was committed is still read from the same mount."""
    with Ext4(tmp_path / "disk", tmp_path / "image", size=16 * _MIB) as disk:
        host = _host(tmp_path, disk.path)
        with _working(host):
            disk.make_read_only()
            with _refused(errno.EROFS, errno.EIO):
                _write(host.path / "new", b"refused")
            assert (host.path / "kept").read_bytes() == _KEPT


def test_volume_on_a_disk_that_is_read_only_from_the_start(tmp_path: Path) -> None:
    """It opens to be read, and to be written it is refused with what the disk says."""
    with Ext4(tmp_path / "disk", tmp_path / "image", size=16 * _MIB) as disk:
        host = _host(tmp_path, disk.path)
        with _working(host):
            tag = host.keeper.tag
        disk.make_read_only()
        with pytest.raises(EnvironmentFault, match="Read-only file system"):
            Volume.open(host.directory, KEY, tag, keeper=host.keeper)
        with Volume.open(host.directory, KEY, tag, writable=False) as volume:
            assert volume.inodes.read(volume.names.lookup(volume.root, b"kept"), 0, 1 << 20) == _KEPT
