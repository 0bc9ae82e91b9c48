"""The main protection file: made in the clear, given regions and files, encrypted last."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from bannock.errors import ConflictError, InputError, IntegrityError, RollbackError
from bannock.shield.fspf import Fspf, encrypt_fspf, headers, newest_tag
from bannock.shield.pack import add_files, create_volume
from bannock.shield.regions import Protection, Region
from bannock.shield.unpack import extract_volume
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, find, look, make_file

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.values import FspfKey, FspfTag

ROOT = Region(path="/", protection=Protection.NOT_PROTECTED, kernel="/")
APP = Region(path="/app", protection=Protection.ENCRYPTED, kernel="/app", chunk_bytes=1024, key_bytes=16)
LIBRARY = Region(path="/lib", protection=Protection.AUTHENTICATED, kernel="/lib", chunk_bytes=1024)
MEMORY = Region(path="/tmp", protection=Protection.ENCRYPTED, kernel=None)  # noqa: S108 # a name in the enclave


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a small tree with a file of several chunks, links, modes and an owner."""
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "long").write_bytes(os.urandom(5000))
    (source / "below" / "short").write_text("short")
    (source / "below" / "short").chmod(0o640)
    (source / "link").symlink_to("below/short")
    (source / "same").hardlink_to(source / "long")
    return source


def _make(tmp_path: Path, source: Path) -> Path:
    """Make a protection file with a region of each kind, with files in those that are kept."""
    path = tmp_path / "fspf.pb"
    Fspf.create(path)
    with Fspf.open(path) as fspf:
        for region in (ROOT, APP, LIBRARY, MEMORY):
            fspf.add_region(region)
        (tmp_path / "app").mkdir()
        add_files(fspf.open_region("/app", tmp_path / "app"), source)
        add_files(fspf.open_region("/lib", None), source)
        fspf.commit()
    return path


def _contents(path: Path, key: FspfKey | None, tag: FspfTag, directories: dict[str, Path]) -> list[object]:
    with Fspf.open(path, key, tag, writable=False) as fspf:
        return [look(fspf.open_region(region, directory)) for region, directory in directories.items()]


def test_every_change_is_a_new_state_that_the_file_shows(tmp_path: Path, source: Path) -> None:
    """Each step gives another tag; without a key the newest one can be read from the file."""
    path = tmp_path / "fspf.pb"
    tags = [Fspf.create(path)]
    for region in (ROOT, APP):
        with Fspf.open(path, None, tags[-1]) as fspf:
            fspf.add_region(region)
            tags.append(fspf.commit())
            assert newest_tag(path) == tags[-1]
    with Fspf.open(path) as fspf:
        (tmp_path / "out").mkdir()
        add_files(fspf.open_region("/app", tmp_path / "out"), source)
        tags.append(fspf.commit())
    assert len(set(tags)) == 4
    assert [header.tag for header in headers(path)] == tags[:-3:-1]
    with pytest.raises(RollbackError):
        Fspf.open(path, None, tags[0])


def test_regions_keep_their_files(tmp_path: Path, source: Path) -> None:
    """Encrypted ones as ciphertext in the output, authenticated ones where they are; both read alike afterwards."""
    path = _make(tmp_path, source)
    tag, key = encrypt_fspf(path)
    app, library = _contents(path, key, tag, {"/app": tmp_path / "app", "/lib": source})
    assert app == library
    assert (tmp_path / "app" / "long").stat().st_size == 5000
    assert (source / "long").read_bytes() not in (tmp_path / "app" / "long").read_bytes()
    with Fspf.open(path, key, tag) as fspf:
        assert fspf.regions == (ROOT, APP, LIBRARY, MEMORY)
        assert fspf.encrypted
        volume = fspf.open_region("/app", tmp_path / "app")
        inode = volume.inodes.get(find(volume, b"below/short"))
        assert (stat.S_IMODE(inode.mode), inode.uid, inode.chunk_bytes) == (0o640, os.getuid(), 1024)
        with pytest.raises(InputError, match="not protected"):
            fspf.open_region("/", tmp_path)
        with pytest.raises(InputError, match="ephemeral"):
            fspf.open_region("/tmp", tmp_path)  # noqa: S108
        with pytest.raises(InputError, match="no region"):
            fspf.open_region("/app/below", tmp_path)
        with pytest.raises(InputError, match="directory to be written"):
            fspf.open_region("/app", None)


@pytest.mark.parametrize("change", ["flip", "cut", "longer", "exchanged", "gone", "older"])
def test_changed_file_of_an_authenticated_region_is_refused(tmp_path: Path, source: Path, change: str) -> None:
    """What was recorded reads as it was or not at all; what was added behind its end is not there."""
    path = _make(tmp_path, source)
    tag, key = encrypt_fspf(path)
    victim = source / "long"
    data = victim.read_bytes()
    changed = {
        "flip": data[:2000] + bytes([data[2000] ^ 1]) + data[2001:],
        "cut": data[:4000],
        "longer": data + b"more",
        "exchanged": data[1024:2048] + data[:1024] + data[2048:],
        "older": bytes(len(data)),
    }
    victim.unlink()
    if change != "gone":
        victim.write_bytes(changed[change])
    with Fspf.open(path, key, tag, writable=False) as fspf:
        volume = fspf.open_region("/lib", source)
        ino = find(volume, b"long")
        if change == "longer":
            assert bytes(volume.inodes.read(ino, 0, 9999)) == data
        else:
            with pytest.raises(IntegrityError):
                volume.inodes.read(ino, 0, 9999)
        assert bytes(volume.inodes.read(find(volume, b"below/short"), 0, 99)) == b"short"


def test_adding_again_replaces_files_and_leaves_the_source_alone(tmp_path: Path, source: Path) -> None:
    """The second version is what is read; a file that was recorded where it stays is never removed."""
    path = _make(tmp_path, source)
    (source / "below" / "short").write_text("another")
    with Fspf.open(path) as fspf:
        for region, directory in (("/app", tmp_path / "app"), ("/lib", None)):
            add_files(fspf.open_region(region, directory), source)
        fspf.commit()
    assert (source / "below" / "short").read_text() == "another"
    assert (source / "long").exists()
    app, library = _contents(path, None, newest_tag(path), {"/app": tmp_path / "app", "/lib": source})
    assert app == library
    (source / "long").unlink()
    (source / "long").mkdir()
    with Fspf.open(path) as fspf, pytest.raises(InputError, match="another type"):
        add_files(fspf.open_region("/lib", None), source)


def test_regions_share_their_states(tmp_path: Path, source: Path) -> None:
    """A commit of one region is one of all; an older state of the file opens none of them."""
    path = _make(tmp_path, source)
    tag, key = encrypt_fspf(path)
    with Fspf.open(path, key, tag) as fspf:
        app, library = fspf.open_region("/app", tmp_path / "app"), fspf.open_region("/lib", source)
        make_file(app, b"new", b"encrypted")
        make_file(library, b"new", b"in clear")
        assert app.changed
        assert library.changed
        newer = app.commit()
        assert (app.tag, library.tag, fspf.tag) == (newer, newer, newer)
        assert library.begin_commit() is None
        app.names.unlink(app.root, b"new")
        library.names.unlink(library.root, b"link")
    assert (source / "new").read_bytes() == b"in clear"
    assert newest_tag(path) == newer
    with Fspf.open(path, key, newer) as fspf:
        assert b"new" in look(fspf.open_region("/app", tmp_path / "app"))
    with Fspf.open(path, key, newer), pytest.raises(ConflictError):
        Fspf.open(path, key, newer)


def test_encrypting_needs_a_file_that_is_not(tmp_path: Path, source: Path) -> None:
    """Key and kind have to fit, and nothing of the file in clear is left in the one that takes its place."""
    path = _make(tmp_path, source)
    before = path.read_bytes()
    with pytest.raises(InputError, match="not encrypted"):
        Fspf.open(path, KEY)
    tag, key = encrypt_fspf(path)
    with pytest.raises(InputError, match="is encrypted"):
        Fspf.open(path)
    with pytest.raises(InputError):
        encrypt_fspf(path)
    with pytest.raises(IntegrityError):
        Fspf.open(path, KEY, tag)
    pages = {before[at : at + 4096] for at in range(0, len(before), 4096)} - {bytes(4096)}
    after = path.read_bytes()
    assert not pages & {after[at : at + 4096] for at in range(0, len(after), 4096)}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["app", "fspf.pb", "source"]
    with Fspf.open(path, key) as fspf:
        assert fspf.tag == tag


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    """No file, a file of another kind, a name that is taken: errors that say so."""
    with pytest.raises(InputError, match="no file"):
        Fspf.open(tmp_path / "missing")
    (tmp_path / "text").write_text("x" * 10_000)
    with pytest.raises(InputError, match="no file-system protection file"):
        newest_tag(tmp_path / "text")
    with pytest.raises(InputError, match="exists"):
        Fspf.create(tmp_path / "text")
    Fspf.create(tmp_path / "fspf")
    with Fspf.open(tmp_path / "fspf") as fspf:
        fspf.add_region(APP)
        with pytest.raises(InputError, match="already"):
            fspf.add_region(APP)


def test_authenticated_volume_in_place_and_copied(tmp_path: Path, source: Path) -> None:
    """Its files stay readable by everybody, and a change is found out; encrypting in place is refused."""
    tag = create_volume(source, source, KEY, protection=Protection.AUTHENTICATED)
    extract_volume(source, KEY, tag, tmp_path / "out")
    assert (tmp_path / "out" / "long").read_bytes() == (source / "long").read_bytes()
    assert not (tmp_path / "out" / "volume.fspf").exists()
    with (source / "below" / "short").open("w") as file:
        file.write("SHORT")
    with pytest.raises(IntegrityError, match="short"):
        extract_volume(source, KEY, tag, tmp_path / "again")
    (source / "volume.fspf").unlink()
    copied = create_volume(source, tmp_path / "copy", KEY, protection=Protection.AUTHENTICATED)
    assert (tmp_path / "copy" / "long").read_bytes() == (source / "long").read_bytes()
    with Volume.open(tmp_path / "copy", KEY, copied) as volume:
        assert volume.region.protection is Protection.AUTHENTICATED
    with pytest.raises(InputError, match="in place"):
        create_volume(source, source, KEY)


def test_changes_of_a_volume_with_scratch_are_forgotten(tmp_path: Path, source: Path) -> None:
    """Everything can be changed and read back, the volume is not written to, and the next one starts from before."""
    tag = create_volume(source, tmp_path / "volume", KEY)
    before = {path: path.read_bytes() for path in (tmp_path / "volume").rglob("*") if path.is_file()}
    (tmp_path / "scratch").mkdir()
    for _ in range(2):
        with Volume.open(tmp_path / "volume", KEY, tag, scratch=tmp_path / "scratch") as volume:
            old = look(volume)
            ino = find(volume, b"long")
            volume.inodes.write(ino, 10, b"changed" * 20_000)
            volume.inodes.write(ino, 100_000, b"again" * 20_000)
            make_file(volume, b"below/new", b"n" * 3000)
            volume.names.unlink(volume.root, b"link")
            volume.names.rename(volume.root, b"same", find(volume, b"below"), b"moved")
            assert not volume.changed
            assert volume.commit() == tag
            changed = look(volume)
            assert changed[b"long"].content[10:17] == b"changed"
            assert changed[b"below/new"].content == b"n" * 3000
            assert set(old) - set(changed) == {b"link", b"same"}
            with Volume.open(tmp_path / "volume", KEY, tag, scratch=tmp_path / "scratch") as other:
                assert look(other) == old
    assert {path: path.read_bytes() for path in (tmp_path / "volume").rglob("*") if path.is_file()} == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_newest_state_is_opened_when_none_is_named(tmp_path: Path, source: Path) -> None:
    """Without a tag the newest authentic state is taken; the one before it, where the newest is not."""
    tag = create_volume(source, tmp_path / "volume", KEY)
    with Volume.open(tmp_path / "volume", KEY, None) as volume:
        assert volume.tag == tag
        make_file(volume, b"new", b"x")
        newer = volume.commit()
    with Volume.open(tmp_path / "volume", KEY, None, writable=False) as volume:
        assert volume.tag == newer
    with (tmp_path / "volume" / "volume.fspf").open("r+b") as file:
        newest = next(n for n in (0, 1) if os.pread(file.fileno(), 16, n * 4096 + 52) == newer.value)
        os.pwrite(file.fileno(), b"\0", newest * 4096 + 70)
    with Volume.open(tmp_path / "volume", KEY, None, writable=False) as volume:
        assert volume.tag == tag
