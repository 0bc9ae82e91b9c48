"""Volumes that are sealed while they are passed on, and opened while they come."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from bannock.errors import EnvironmentFault, InputError, IntegrityError, RollbackError
from bannock.shield.arriving import ArrivingVolume
from bannock.shield.outgoing import pass_on
from bannock.shield.pack import create_volume
from bannock.shield.unpack import extract_volume
from bannock.shield.volume import PROTECTION_FILE, Volume
from tests.unit.shield.support import KEY, OTHER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.shield.unpack import Extracted
    from bannock.values import FspfKey, FspfTag

_CHUNK = 64 << 10


class _Directory:
    """An outlet that keeps what it takes."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.root = root
        self.sizes: dict[str, int] = {}
        self.order: list[str] = []

    def directory(self, path: str) -> None:
        (self.root / path).mkdir()

    def file(self, path: str, size: int) -> None:
        (self.root / path).touch(exist_ok=False)
        self.sizes[path] = size
        self.order.append(path)

    def content(self, data: bytes | memoryview) -> None:
        with (self.root / self.order[-1]).open("ab") as file:
            file.write(data)


def _source(root: Path) -> Path:
    root.mkdir()
    (root / "empty").touch()
    (root / "short").write_bytes(b"short")
    for length in (_CHUNK - 1, _CHUNK, _CHUNK + 1, 40 * _CHUNK + 5):
        (root / f"of {length}").write_bytes(os.urandom(length))
    (root / "below" / "further").mkdir(parents=True)
    (root / "below" / "further" / "volume.fspf").write_bytes(b"a name that means something elsewhere")
    (root / "volume.fspf").write_bytes(b"here too")
    (root / "name~1").write_bytes(b"1")
    (root / "name").write_bytes(b"0")
    (root / "link").symlink_to("below/nowhere")
    (root / "hard").hardlink_to(root / "short")
    (root / "short").chmod(0o640)
    os.utime(root / "below", ns=(10**18, 10**18))
    with (root / "hole").open("wb") as file:
        file.truncate(3 * _CHUNK)
    return root


def _tree(root: Path) -> dict[str, tuple[int, int, bytes | str | None]]:
    found: dict[str, tuple[int, int, bytes | str | None]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: bytes | str | None = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        found[str(path.relative_to(root))] = status.st_mode, status.st_mtime_ns, content
    return found


def _arrive(
    volume: Path, staging: Path, tag: FspfTag, target: Path, *, key: FspfKey = KEY, piece: int = 100_001
) -> Extracted:
    """Let the files of a volume come, from the last to the first."""
    staging.mkdir(exist_ok=True)
    (staging / PROTECTION_FILE).write_bytes((volume / PROTECTION_FILE).read_bytes())
    with ArrivingVolume(staging, key, tag) as arriving:
        for path, data in reversed(list(_ciphertext(volume))):
            file = arriving.begin(path, len(data))
            if file is None:
                continue
            try:
                for start in range(0, len(data), piece):
                    file.write(data[start : start + piece])
                file.finish()
            finally:
                file.close()
        target.mkdir(exist_ok=True)
        return arriving.place(target)


def _ciphertext(volume: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(volume.rglob("*")):
        if path.is_file() and path != volume / PROTECTION_FILE:
            yield str(path.relative_to(volume)), path.read_bytes()


def test_volume_that_was_passed_on_is_a_volume(tmp_path: Path) -> None:
    """What an outlet got is a volume like any other: all that is kept comes out of it."""
    source, outlet = _source(tmp_path / "source"), _Directory(tmp_path / "volume")
    (tmp_path / "scratch").mkdir()
    seen: list[int] = []
    tag = pass_on(source, KEY, outlet, scratch=tmp_path / "scratch", observer=seen.append)
    extract_volume(outlet.root, KEY, tag, tmp_path / "target")
    assert _tree(tmp_path / "target") == _tree(source)
    assert (tmp_path / "target" / "hard").samefile(tmp_path / "target" / "short")
    assert sum(seen) == sum(p.stat().st_size for p in source.rglob("*") if p.is_file() and p.name != "hard")


def test_protection_file_comes_last_and_sizes_are_true(tmp_path: Path) -> None:
    """Each file has the size that was said before its content, and the protection file has no copy here."""
    outlet = _Directory(tmp_path / "volume")
    (tmp_path / "scratch").mkdir()
    pass_on(_source(tmp_path / "source"), KEY, outlet, scratch=tmp_path / "scratch")
    assert outlet.order[-1] == PROTECTION_FILE
    assert outlet.sizes == {path: (outlet.root / path).stat().st_size for path in outlet.order}
    assert list((tmp_path / "scratch").iterdir()) == []


def test_names_of_files_are_not_passed_on(tmp_path: Path) -> None:
    """Who carries the volume sees neither names nor contents."""
    source, outlet = tmp_path / "source", _Directory(tmp_path / "volume")
    (source / "patients").mkdir(parents=True)
    (source / "patients" / "alice.txt").write_bytes(b"secret content")
    (tmp_path / "scratch").mkdir()
    pass_on(source, KEY, outlet, scratch=tmp_path / "scratch")
    passed = repr(outlet.order).encode() + b"".join((outlet.root / path).read_bytes() for path in outlet.order)
    assert not any(word in passed for word in (b"patients", b"alice", b"secret"))


def test_same_content_is_never_sealed_alike(tmp_path: Path) -> None:
    """Sealed once more, even under the same key of the volume, nothing is as it was."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(bytes(3 * _CHUNK))
    sealed = []
    for number in range(2):
        outlet = _Directory(tmp_path / f"volume{number}")
        (tmp_path / f"scratch{number}").mkdir()
        pass_on(source, KEY, outlet, scratch=tmp_path / f"scratch{number}")
        sealed.append((outlet.root / outlet.order[0]).read_bytes())
    blocks = [{one[at : at + 16] for at in range(0, len(one), 16)} for one in sealed]
    assert not blocks[0] & blocks[1]


def test_empty_volume_is_passed_on(tmp_path: Path) -> None:
    """Without a source there is a volume with nothing in it, that can be written to."""
    outlet = _Directory(tmp_path / "volume")
    (tmp_path / "scratch").mkdir()
    tag = pass_on(None, KEY, outlet, scratch=tmp_path / "scratch")
    with Volume.open(outlet.root, KEY, tag) as volume:
        ino = volume.names.make(volume.root, b"new", stat.S_IFREG | 0o644)
        volume.inodes.write(ino, 0, b"content")
        tag = volume.commit()
    assert extract_volume(outlet.root, KEY, tag, tmp_path / "target").files == 1


def test_what_cannot_be_kept_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """A pipe in the source is found before a byte is passed on."""
    source, outlet = _source(tmp_path / "source"), _Directory(tmp_path / "volume")
    os.mkfifo(source / "pipe")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InputError, match="cannot be protected"):
        pass_on(source, KEY, outlet, scratch=tmp_path / "scratch")
    assert outlet.order == []


@pytest.mark.parametrize("piece", [1000, _CHUNK, 3_000_000])
def test_volume_is_opened_while_it_comes(tmp_path: Path, piece: int) -> None:
    """However it is cut on the way and in whatever order its files come, all that is kept is there at the end."""
    source = _source(tmp_path / "source")
    tag = create_volume(source, tmp_path / "volume", KEY)
    extracted = _arrive(tmp_path / "volume", tmp_path / "staging", tag, tmp_path / "target", piece=piece)
    assert _tree(tmp_path / "target") == _tree(source)
    assert (tmp_path / "target" / "hard").samefile(tmp_path / "target" / "short")
    assert extracted == extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "other")


def test_volume_that_was_worked_on_is_opened(tmp_path: Path) -> None:
    """Chunks that were written over, cut, punched and moved are where they belong, and the names are the last ones."""
    with Volume.create(tmp_path / "volume", KEY) as volume:
        ino = volume.names.make(volume.root, b"a", stat.S_IFREG | 0o644)
        volume.inodes.write(ino, 0, os.urandom(50 * _CHUNK + 7))
        volume.commit()
        for at in (7, 3, 20, 49, 3):
            volume.inodes.write(ino, at * _CHUNK + 9, os.urandom(_CHUNK))
            volume.commit()
        volume.inodes.modify(ino)
        volume.inodes.content(ino).punch(10 * _CHUNK, 4 * _CHUNK)
        volume.inodes.truncate(ino, 45 * _CHUNK + 3)
        volume.inodes.write(ino, 60 * _CHUNK, b"behind a hole")
        volume.names.rename(volume.root, b"a", volume.root, b"b")
        other = volume.names.make(volume.root, b"a", stat.S_IFREG | 0o600)
        volume.inodes.write(other, 0, b"another one of the name that it had")
        tag = volume.commit()
    _arrive(tmp_path / "volume", tmp_path / "staging", tag, tmp_path / "target")
    extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "other")
    assert _tree(tmp_path / "target") == _tree(tmp_path / "other")


def test_files_that_no_state_needs_are_left_out(tmp_path: Path) -> None:
    """What lies beside a volume is no part of it."""
    tag = create_volume(_source(tmp_path / "source"), tmp_path / "volume", KEY)
    (tmp_path / "volume" / "stray").write_bytes(b"stray")
    _arrive(tmp_path / "volume", tmp_path / "staging", tag, tmp_path / "target")
    assert _tree(tmp_path / "target") == _tree(tmp_path / "source")


@pytest.mark.parametrize("at", [0, _CHUNK + 3, 40 * _CHUNK + 4])
def test_changed_byte_is_refused_by_name(tmp_path: Path, at: int) -> None:
    """The error names file and bytes, and nothing appears in the target."""
    tag = create_volume(_source(tmp_path / "source"), tmp_path / "volume", KEY)
    path = tmp_path / "volume" / f"of {40 * _CHUNK + 5}"
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"'of {40 * _CHUNK + 5}' .* bytes {at // _CHUNK * _CHUNK} to"):
        _arrive(tmp_path / "volume", tmp_path / "staging", tag, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_exchanged_files_are_refused(tmp_path: Path) -> None:
    """Two files of one volume, each authentic, are not each other."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(os.urandom(_CHUNK))
    (source / "b").write_bytes(os.urandom(_CHUNK))
    tag = create_volume(source, tmp_path / "volume", KEY)
    volume = tmp_path / "volume"
    (volume / "a").rename(volume / "c")
    (volume / "b").rename(volume / "a")
    (volume / "c").rename(volume / "b")
    with pytest.raises(IntegrityError, match="were changed"):
        _arrive(volume, tmp_path / "staging", tag, tmp_path / "target")


@pytest.mark.parametrize("length", [0, _CHUNK, 40 * _CHUNK + 4])
def test_cut_file_is_refused(tmp_path: Path, length: int) -> None:
    """A file that ends early is not taken for a whole one."""
    tag = create_volume(_source(tmp_path / "source"), tmp_path / "volume", KEY)
    os.truncate(tmp_path / "volume" / f"of {40 * _CHUNK + 5}", length)
    with pytest.raises(IntegrityError, match="it was cut"):
        _arrive(tmp_path / "volume", tmp_path / "staging", tag, tmp_path / "target")


def test_longer_file_is_refused(tmp_path: Path) -> None:
    """A file cannot go on for ever."""
    tag = create_volume(_source(tmp_path / "source"), tmp_path / "volume", KEY)
    os.truncate(tmp_path / "volume" / "name", _CHUNK + 1)
    with pytest.raises(IntegrityError, match="longer than it can be"):
        _arrive(tmp_path / "volume", tmp_path / "staging", tag, tmp_path / "target")


def test_withheld_file_is_missed(tmp_path: Path) -> None:
    """Without one file nothing is put into the target; when that comes, the others are there already."""
    tag = create_volume(_source(tmp_path / "source"), tmp_path / "volume", KEY)
    (tmp_path / "volume" / "below/further/volume.fspf").rename(tmp_path / "withheld")
    with pytest.raises(IntegrityError, match=r"1 files .* did not come, the first is 'below/further/volume\.fspf'"):
        _arrive(tmp_path / "volume", tmp_path / "staging", tag, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []
    only = tmp_path / "only"
    (only / "below/further").mkdir(parents=True)
    (tmp_path / "withheld").rename(only / "below/further/volume.fspf")
    (only / PROTECTION_FILE).write_bytes((tmp_path / "volume" / PROTECTION_FILE).read_bytes())
    _arrive(only, tmp_path / "staging", tag, tmp_path / "target")
    assert _tree(tmp_path / "target") == _tree(tmp_path / "source")


def test_older_state_is_refused(tmp_path: Path) -> None:
    """A volume in another state than the one that is expected is not opened."""
    with Volume.create(tmp_path / "volume", KEY) as volume:
        older = volume.commit()
        volume.names.make(volume.root, b"new", stat.S_IFREG | 0o644)
        volume.commit()
        volume.names.make(volume.root, b"newer", stat.S_IFREG | 0o644)
        volume.commit()
    with pytest.raises(RollbackError):
        _arrive(tmp_path / "volume", tmp_path / "staging", older, tmp_path / "target")


def test_other_volume_is_refused(tmp_path: Path) -> None:
    """Another run's volume is not authentic under this one's key."""
    tag = create_volume(_source(tmp_path / "source"), tmp_path / "volume", OTHER_KEY)
    with pytest.raises(IntegrityError, match="not authentic"):
        _arrive(tmp_path / "volume", tmp_path / "staging", tag, tmp_path / "target")


def test_large_file_goes_on_where_it_was(tmp_path: Path) -> None:
    """What came of a file, and was noted, has not to come again."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(100 * _CHUNK + 1))
    tag = create_volume(source, tmp_path / "volume", KEY)
    staging = tmp_path / "staging"
    staging.mkdir()
    (staging / PROTECTION_FILE).write_bytes((tmp_path / "volume" / PROTECTION_FILE).read_bytes())
    data = (tmp_path / "volume" / "large").read_bytes()
    with ArrivingVolume(staging, KEY, tag) as arriving:
        file = arriving.begin("large", len(data))
        assert file is not None
        file.write(data[: 90 * _CHUNK])
        slots = file.slots
        file.close()
    assert 0 < slots <= 90
    with ArrivingVolume(staging, KEY, tag) as arriving:
        file = arriving.begin("large", len(data), slots=slots)
        assert file is not None
        file.write(data[slots * file.step :])
        file.finish()
        file.close()
        (tmp_path / "target").mkdir()
        arriving.place(tmp_path / "target")
    assert _tree(tmp_path / "target") == _tree(source)


def test_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes no more is an error of this machine, not of the volume."""
    tag = create_volume(_source(tmp_path / "source"), tmp_path / "volume", KEY)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        _arrive(tmp_path / "volume", tmp_path / "staging", tag, tmp_path / "target")
