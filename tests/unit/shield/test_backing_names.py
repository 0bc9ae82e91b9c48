"""Where ciphertext goes: whatever a file is called, and wherever it is, its content has a place of its own."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from bannock.errors import IntegrityError
from bannock.shield.format.backing import Backing
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, look, make_directory, make_file, take

if TYPE_CHECKING:
    from pathlib import Path

_AWKWARD = [
    b"~1", b"~", b".~1", b"..~2", b"a~1", b"a", b"a~1~1", b"volume.fspf", b"volume.fspf~1", b".long", b".long~1",
    b"x" * 255, b"x" * 240, b"x" * 241, b"x" * 253 + b"~1", "ä".encode() * 127, b"new\nline",
    b" ", b"\xff\xfe", b"-rf",
]  # fmt: skip


@pytest.mark.parametrize("above", [b"", b"d/", b"~1/", b"volume.fspf/", b".long/"])
def test_file_of_any_name_keeps_its_content(tmp_path: Path, above: bytes) -> None:
    """Names that collide with ours, with each other's places, or are as long as can be, all work at once."""
    with Volume.create(tmp_path, KEY) as volume:
        for number, name in enumerate(_AWKWARD):
            make_file(volume, above + name, b"%d" % number * 50)
        tag = volume.commit()
    with Volume.open(tmp_path, KEY, tag) as volume:
        seen = look(volume)
    assert [seen[above + name].content for name in _AWKWARD] == [b"%d" % n * 50 for n in range(len(_AWKWARD))]


def test_directory_takes_the_name_of_a_file_whose_ciphertext_remains(tmp_path: Path) -> None:
    """A directory may be called as a file was, before the ciphertext of that file is gone."""
    with Volume.create(tmp_path, KEY) as volume:
        make_file(volume, b"name", b"a file")
        volume.commit()
        volume.names.unlink(1, b"name")
        make_file(volume, b"name/inside", b"a file in a directory")
        make_file(volume, b"name/" + b"i" * 255, b"one with a long name")
        tag = volume.commit()
    with Volume.open(tmp_path, KEY, tag) as volume:
        assert look(volume)[b"name/inside"].content == b"a file in a directory"
        assert look(volume)[b"name/" + b"i" * 255].content == b"one with a long name"


def test_file_called_as_our_own_directory_is_in_nobodys_way(tmp_path: Path) -> None:
    """A file `.long` in the root leaves room for those whose names are too long for the storage."""
    with Volume.create(tmp_path, KEY) as volume:
        make_file(volume, b".long", b"mine")
        make_file(volume, b"x" * 255, b"long")
        tag = volume.commit()
    with Volume.open(tmp_path, KEY, tag) as volume:
        seen = look(volume)
    assert (seen[b".long"].content, seen[b"x" * 255].content) == (b"mine", b"long")


def test_deep_directories(tmp_path: Path) -> None:
    """Paths far longer than any that the storage could name hold files, links and empty files."""
    path = b""
    with Volume.create(tmp_path, KEY) as volume:
        for level in range(40):
            path += (b"%d" % level).ljust(100, b"d") + b"/"
            make_file(volume, path + b"file", b"%d" % level * 9)
            make_file(volume, path + b"empty")
            volume.names.symlink(make_directory(volume, path), b"link", b"l" * 4095)
        tag = volume.commit()
    with Volume.open(tmp_path, KEY, tag) as volume:
        seen = look(volume)
    assert seen[path + b"file"].content == b"39" * 9
    assert seen[path + b"link"].content == b"l" * 4095
    assert len(seen) == 160
    assert max(map(len, take(tmp_path))) <= 1200


def test_ciphertext_goes_with_its_file_and_so_do_empty_directories(tmp_path: Path) -> None:
    """After files are removed and that is committed, the storage holds the protection file alone."""
    with Volume.create(tmp_path, KEY) as volume:
        make_file(volume, b"a/b/c/file", b"content")
        volume.commit()
        above = make_directory(volume, b"a/b/c")
        volume.names.unlink(above, b"file")
        assert b"a/b/c/file" in take(tmp_path), "the confirmed state still needs it"
        volume.commit()
    assert [path.name for path in tmp_path.rglob("*")] == ["volume.fspf"]


def test_file_that_was_never_committed_goes_at_once(tmp_path: Path) -> None:
    """What no confirmed state knows takes no space longer than it is needed."""
    with Volume.create(tmp_path, KEY) as volume:
        volume.commit()
        make_file(volume, b"temporary", b"content")
        volume.names.unlink(1, b"temporary")
        assert set(take(tmp_path)) == {b"volume.fspf"}


def test_rename_leaves_the_ciphertext_where_it_is(tmp_path: Path) -> None:
    """Storage sees the name that a file was made with, whatever it or a directory above it is called later."""
    with Volume.create(tmp_path, KEY) as volume:
        make_file(volume, b"one/file", b"content")
        volume.commit()
        volume.names.rename(1, b"one", 1, b"two")
        make_file(volume, b"one/file", b"another")
        tag = volume.commit()
    assert set(take(tmp_path)) == {b"volume.fspf", b"one/file", b"one/file~1"}
    with Volume.open(tmp_path, KEY, tag) as volume:
        seen = look(volume)
    assert (seen[b"two/file"].content, seen[b"one/file"].content) == (b"content", b"another")


def test_ciphertext_says_nothing_of_the_content(tmp_path: Path) -> None:
    """No file of the storage holds a piece of what was written, or the target of a link, or a mode in clear."""
    with Volume.create(tmp_path, KEY) as volume:
        make_file(volume, b"file", b"canary-content" * 100)
        volume.names.symlink(1, b"link", b"canary-target")
        volume.names.make(1, b"renamed-canary", stat.S_IFREG | 0o644)
        volume.names.rename(1, b"renamed-canary", 1, b"other")
        volume.commit()
    assert not [name for name, data in take(tmp_path).items() if b"canary" in data or b"canary" in name]


@pytest.mark.parametrize("path", [b"", b"/", b"..", b"a/..", b"../a", b"a/../../b", b".", b"a/", b"a//b", b"a/./b"])
def test_path_that_is_none_of_ours_is_refused(tmp_path: Path, path: bytes) -> None:
    """A record that names something outside of the volume's directory, or nothing at all, is not followed."""
    inside = tmp_path / "inside"
    (inside / "a").mkdir(parents=True)
    (tmp_path / "a").write_bytes(b"outside")
    (tmp_path / "b").write_bytes(b"outside")
    (inside / "a" / "b").write_bytes(b"inside")
    backing = Backing(inside, writable=False)
    with pytest.raises(IntegrityError):
        backing.open(path)
    backing.close()


@pytest.mark.parametrize("levels", [450, 30_000])
def test_path_of_many_directories(tmp_path: Path, levels: int) -> None:
    """A path through more directories than Python recurses is walked as any other."""
    backing = Backing(tmp_path, writable=True)
    path = b"d/" * levels + b"file"
    with pytest.raises(IntegrityError, match="missing"):
        backing.open(path)
    if levels < 1000:
        backing.create(path)
        backing.close()
        backing = Backing(tmp_path, writable=True)
        assert backing.open(path).pread(1, 0) == b""
        backing.unlink(path)
        assert list(tmp_path.iterdir()) == []
    backing.close()
