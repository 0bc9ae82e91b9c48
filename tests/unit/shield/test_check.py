"""A check names what is damaged, in a volume of which any part may be, and never writes."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from bannock.errors import BannockError, ConflictError, InputError, IntegrityError
from bannock.shield.check import check
from bannock.shield.format.pages import PAGE_BYTES
from bannock.shield.format.records import encode_name, name_key
from bannock.shield.fspf import Fspf, encrypt_fspf
from bannock.shield.pack import add_files, create_volume
from bannock.shield.regions import Protection, Region
from bannock.shield.volume import PROTECTION_FILE, Volume
from bannock.values import FspfKey, FspfTag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.shield.findings import CheckReport

_KEY = FspfKey(bytes(range(32)))
_CHUNK = 4096


def _source(path: Path, *, files: int = 0) -> Path:
    (path / "sub" / "deep").mkdir(parents=True)
    (path / "a").write_bytes(os.urandom(3 * _CHUNK + 100))
    (path / "empty").touch()
    (path / "sub" / "b").write_bytes(os.urandom(10))
    os.link(path / "sub" / "b", path / "sub" / "again")
    (path / "sub" / "deep" / "c").write_bytes(os.urandom(200 * _CHUNK))
    (path / "link").symlink_to("sub/b")
    for number in range(files):
        (path / "sub" / f"f{number}").write_bytes(b"%d" % number)
    return path


def _volume(directory: Path, source: Path, protection: Protection = Protection.ENCRYPTED) -> FspfTag:
    return create_volume(source, directory, _KEY, protection=protection, chunk_bytes=_CHUNK)


def _change(path: Path, at: int, size: int = 1) -> None:
    data = bytearray(path.read_bytes())
    for position in range(at, at + size):
        data[position] ^= 0x55
    path.write_bytes(bytes(data))


def _snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(directory))] = status.st_mode, status.st_mtime_ns, data
    return found


def _check(directory: Path, tag: FspfTag | None = None, **more: object) -> CheckReport:
    """Check, and see that nothing was written."""
    before = _snapshot(directory)
    report = check(directory, _KEY, tag, **more)  # type: ignore[arg-type]
    assert _snapshot(directory) == before
    return report


@pytest.mark.parametrize("protection", [Protection.ENCRYPTED, Protection.AUTHENTICATED])
def test_whole_volume(tmp_path: Path, protection: Protection) -> None:
    """What is as it was written is whole, and everything was read."""
    source = _source(tmp_path / "src")
    tag = _volume(tmp_path / "vol", source, protection)
    seen: list[int] = []
    report = _check(tmp_path / "vol", tag, observer=seen.append)
    assert report.whole
    assert not report.rollback
    assert report.leftovers == ()
    assert (report.tag, report.expected) == (tag, tag)
    assert sum(seen) == report.size == 203 * _CHUNK + 110
    assert report.files == 8
    assert [(state.generation, state.authentic, state.checked, state.expected) for state in report.states] == [
        (1, True, True, True)
    ]


@pytest.mark.parametrize("protection", [Protection.ENCRYPTED, Protection.AUTHENTICATED])
def test_damaged_bytes_are_named(tmp_path: Path, protection: Protection) -> None:
    """File, bytes and the file on the disk are told; neighbouring chunks make one range, and all else is whole."""
    _volume(tmp_path / "vol", _source(tmp_path / "src"), protection)
    _change(tmp_path / "vol" / "a", 3 * _CHUNK + 5)
    _change(tmp_path / "vol" / "sub" / "deep" / "c", 7 * _CHUNK, 1)
    _change(tmp_path / "vol" / "sub" / "deep" / "c", 8 * _CHUNK, 1)
    _change(tmp_path / "vol" / "sub" / "deep" / "c", 100 * _CHUNK, 1)
    report = _check(tmp_path / "vol")
    assert not report.whole
    assert [(each.path, each.ciphertext, each.ranges) for each in report.damaged] == [
        ("/a", "a", ((3 * _CHUNK, 3 * _CHUNK + 99),)),
        ("/sub/deep/c", "sub/deep/c", ((7 * _CHUNK, 9 * _CHUNK - 1), (100 * _CHUNK, 101 * _CHUNK - 1))),
    ]
    assert not report.lost
    assert not report.defects


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    os.truncate(path, 2 * _CHUNK)


def _exchange(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("attack", "first", "reason"),
    [
        (_remove, 0, "is missing or exchanged"),
        (_cut, 2 * _CHUNK, "the ciphertext file was cut"),
        (_exchange, 0, "is not a regular file"),
        (_link, 0, "is missing or exchanged"),
    ],
)
def test_missing_ciphertext_is_named(tmp_path: Path, attack: Callable[[Path], None], first: int, reason: str) -> None:
    """What is missing, cut or exchanged is lost from where it ends."""
    _volume(tmp_path / "vol", _source(tmp_path / "src"))
    attack(tmp_path / "vol" / "a")
    [damage] = _check(tmp_path / "vol").damaged
    assert damage.path == "/a"
    assert damage.ranges == ((first, 3 * _CHUNK + 99),)
    assert any(reason in each for each in damage.reasons)


@pytest.mark.parametrize("files", [0, 120])
def test_every_page_can_be_lost(tmp_path: Path, files: int) -> None:
    """Whatever page is damaged: each file is taken out whole, or is told of; and nothing wrong is taken out."""
    source = _source(tmp_path / "src", files=files)
    _volume(tmp_path / "vol", source)
    protection_file = tmp_path / "vol" / PROTECTION_FILE
    good = protection_file.read_bytes()
    names = [path for path in sorted(source.rglob("*")) if not path.is_dir()]
    lost_something = 0
    for page in range(2, len(good) // PAGE_BYTES):
        _change(protection_file, page * PAGE_BYTES + 1000)
        target = tmp_path / f"out{page}"
        report = check(tmp_path / "vol", _KEY, extract=target)
        protection_file.write_bytes(good)
        if report.whole:
            # A page that no state uses: it was free, or given up in between.
            continue
        lost_something += 1
        assert [each.page for each in report.lost] == [page]
        told = {each.path for each in report.damaged} | {name for each in report.lost for name in each.hides}
        assert report.recovered is not None
        for path in names:
            relative = path.relative_to(source)
            taken = target / relative
            if taken.is_symlink() or taken.exists():
                assert _same(path, taken), f"page {page}: {relative}"
            else:
                above = [f"/{each}".replace("/.", "/") for each in relative.parents]
                assert told & {f"/{relative}", *above, *(f"names in {each}" for each in above)}, (page, relative)
        shutil.rmtree(target)
    assert lost_something >= 2


def _same(one: Path, other: Path) -> bool:
    if one.is_symlink():
        return one.readlink() == other.readlink()
    return one.read_bytes() == other.read_bytes()


def test_lost_names_leave_the_files(tmp_path: Path) -> None:
    """Files whose names are lost go to lost+found, by the names of their ciphertext."""
    source = _source(tmp_path / "src", files=120)
    _volume(tmp_path / "vol", source)
    protection_file = tmp_path / "vol" / PROTECTION_FILE
    good, found = protection_file.read_bytes(), 0
    for page in range(2, len(good) // PAGE_BYTES):
        _change(protection_file, page * PAGE_BYTES)
        target = tmp_path / f"out{page}"
        check(tmp_path / "vol", _KEY, extract=target)
        protection_file.write_bytes(good)
        for path in (target / "lost+found").glob("*-f*") if (target / "lost+found").exists() else ():
            found += 1
            assert path.read_bytes() == (source / "sub" / path.name.partition("-")[2]).read_bytes()
    assert found > 10


def test_damaged_file_is_taken_out_in_part(tmp_path: Path) -> None:
    """What is authentic of it is there, the rest is zeros, and its name says that it is damaged."""
    source = _source(tmp_path / "src")
    (source / "a").chmod(0o640)
    _volume(tmp_path / "vol", source)
    _change(tmp_path / "vol" / "a", _CHUNK)
    report = _check(tmp_path / "vol", extract=tmp_path / "out")
    plain = (source / "a").read_bytes()
    assert (report.recovered, report.partial) == (4, ("a.damaged",))
    assert not (tmp_path / "out" / "a").exists()
    assert (tmp_path / "out" / "a.damaged").read_bytes() == plain[:_CHUNK] + bytes(_CHUNK) + plain[2 * _CHUNK :]
    assert stat.S_IMODE((tmp_path / "out" / "a.damaged").stat().st_mode) == 0o640
    for name in ("empty", "sub/b", "sub/again", "sub/deep/c", "link"):
        assert _same(source / name, tmp_path / "out" / name)
    assert (tmp_path / "out" / "sub" / "b").samefile(tmp_path / "out" / "sub" / "again")
    assert (tmp_path / "out" / "sub" / "b").stat().st_mtime_ns == (source / "sub" / "b").stat().st_mtime_ns


def test_sparse_files_stay_sparse(tmp_path: Path) -> None:
    """A hole costs nothing to read, and nothing where it is taken out."""
    with Volume.create(tmp_path / "vol", _KEY) as volume:
        ino = volume.names.make(volume.root, b"big", stat.S_IFREG | 0o600)
        volume.inodes.write(ino, 1 << 36, b"end")
        volume.commit()
    report = _check(tmp_path / "vol", extract=tmp_path / "out")
    assert report.whole
    status = (tmp_path / "out" / "big").stat()
    assert status.st_size == (1 << 36) + 3
    assert status.st_blocks < 1000


@pytest.mark.parametrize("where", ["vol/out", "vol", "full"])
def test_extraction_needs_an_empty_place_elsewhere(tmp_path: Path, where: str) -> None:
    """Nothing is written into the volume, nor over anything."""
    _volume(tmp_path / "vol", _source(tmp_path / "src"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(InputError):
        _check(tmp_path / "vol", extract=tmp_path / where)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


# -- states


def _commit(directory: Path, name: str, tag: FspfTag | None = None) -> FspfTag:
    with Volume.open(directory, _KEY, tag) as volume:
        ino = volume.names.make(volume.root, name.encode(), stat.S_IFREG | 0o600)
        volume.inodes.write(ino, 0, name.encode() * 1000)
        return volume.commit()


def test_both_states_are_told(tmp_path: Path) -> None:
    """The newest is checked unless the other one is expected; both are listed."""
    first = _volume(tmp_path / "vol", _source(tmp_path / "src"))
    second = _commit(tmp_path / "vol", "new")
    report = _check(tmp_path / "vol", second)
    assert [(state.tag, state.checked) for state in report.states] == [(second, True), (first, False)]
    older = _check(tmp_path / "vol", first)
    assert older.tag == first
    assert older.whole
    assert not older.rollback


def test_rollback_is_named(tmp_path: Path) -> None:
    """An older copy in the place of the volume is whole, and is not the expected state."""
    first = _volume(tmp_path / "vol", _source(tmp_path / "src"))
    shutil.copytree(tmp_path / "vol", tmp_path / "old")
    _commit(tmp_path / "vol", "new")
    newest = _commit(tmp_path / "vol", "newer")
    report = _check(tmp_path / "old", newest)
    assert report.rollback
    assert report.whole
    assert (report.tag, report.expected) == (first, newest)
    assert not check(tmp_path / "old", _KEY, newest, remove_unreferenced=True).removed


def test_damaged_superblock_leaves_the_other_state(tmp_path: Path) -> None:
    """A superblock that is not authentic is told as such; that of the state before is taken."""
    first = _volume(tmp_path / "vol", _source(tmp_path / "src"))
    second = _commit(tmp_path / "vol", "new")
    _change(tmp_path / "vol" / PROTECTION_FILE, 100)
    report = _check(tmp_path / "vol", second)
    assert [(state.tag, state.authentic) for state in report.states] == [(second, False), (first, True)]
    assert report.rollback
    assert report.tag == first


def test_nothing_authentic_is_an_error(tmp_path: Path) -> None:
    """With another key, or both superblocks changed, nothing can be told; what is claimed is in the reasons."""
    tag = _volume(tmp_path / "vol", _source(tmp_path / "src"))
    with pytest.raises(IntegrityError, match="is authentic under this key") as caught:
        check(tmp_path / "vol", FspfKey(bytes(32)))
    assert caught.value.reasons == (f"it claims state {tag}, commit 1",)
    (tmp_path / "vol" / PROTECTION_FILE).write_bytes(bytes(PAGE_BYTES * 4))
    with pytest.raises(IntegrityError):
        check(tmp_path / "vol", _KEY)


def test_key_has_to_fit_the_file(tmp_path: Path) -> None:
    """A key that is missing, and one that is too many, are told as that."""
    _volume(tmp_path / "vol", _source(tmp_path / "src"))
    with pytest.raises(InputError, match="its key is needed"):
        check(tmp_path / "vol", None)
    Fspf.create(tmp_path / "fspf.pb")
    assert check(tmp_path / "fspf.pb", None).whole
    with pytest.raises(InputError, match="is not encrypted, and a key was given"):
        check(tmp_path / "fspf.pb", _KEY)
    with pytest.raises(InputError, match="there is no file"):
        check(tmp_path / "absent", _KEY)


def test_writing_meanwhile_is_found_out(tmp_path: Path) -> None:
    """What somebody writes while it is checked looks like damage, so it is told as what it is."""
    _volume(tmp_path / "vol", _source(tmp_path / "src"))
    written: list[FspfTag] = []

    def observer(_: int) -> None:
        if not written:
            written.append(_commit(tmp_path / "vol", "new"))

    with pytest.raises(ConflictError, match="was written to while it was checked"):
        check(tmp_path / "vol", _KEY, observer=observer)


# -- what is left over


def _interrupt(directory: Path) -> None:
    """Write a commit that is cut short before its superblock."""
    with Volume.open(directory, _KEY, None) as volume:
        ino = volume.names.make(volume.root, b"half", stat.S_IFREG | 0o600)
        volume.inodes.write(ino, 0, os.urandom(3 * 65536))
        assert volume.begin_commit() is not None


def test_leftovers_are_found_and_removed(tmp_path: Path) -> None:
    """What an interrupted commit wrote, and strange files, are told; on request they go, and nothing else."""
    tag = _volume(tmp_path / "vol", _source(tmp_path / "src"))
    kept = set(_snapshot(tmp_path / "vol"))
    _interrupt(tmp_path / "vol")
    (tmp_path / "vol" / "strange" / "below").mkdir(parents=True)
    (tmp_path / "vol" / "strange" / "below" / "f").write_text("12345")
    (tmp_path / "vol" / "sub" / "x").symlink_to("/")
    (tmp_path / "vol" / "lost+found").mkdir()
    report = _check(tmp_path / "vol", tag)
    assert report.whole
    assert sorted((str(each), each.size) for each in report.leftovers) == [
        ("half", 3 * 65536),
        ("strange", None),
        ("strange/below", None),
        ("strange/below/f", 5),
        ("sub/x", 1),
    ]
    removed = check(tmp_path / "vol", _KEY, tag, remove_unreferenced=True)
    assert removed.removed
    assert len(removed.leftovers) == 5
    assert set(_snapshot(tmp_path / "vol")) == {*kept, "lost+found"}
    again = _check(tmp_path / "vol", tag)
    assert again.whole
    assert again.leftovers == ()


def test_state_that_was_not_confirmed_keeps_its_files(tmp_path: Path) -> None:
    """While two states are on the disk, what either needs is left alone, whichever is expected."""
    first = _volume(tmp_path / "vol", _source(tmp_path / "src"))
    second = _commit(tmp_path / "vol", "new")
    for tag in (first, second):
        assert check(tmp_path / "vol", _KEY, tag, remove_unreferenced=True).leftovers == ()
    assert _check(tmp_path / "vol", second).whole


def test_nothing_is_removed_where_pages_are_lost(tmp_path: Path) -> None:
    """Where it is not known what is needed, nothing goes."""
    _volume(tmp_path / "vol", _source(tmp_path / "src"))
    (tmp_path / "vol" / "strange").touch()
    _change(tmp_path / "vol" / PROTECTION_FILE, 2 * PAGE_BYTES)
    report = check(tmp_path / "vol", _KEY, remove_unreferenced=True)
    assert not report.removed
    assert report.kept_because == "pages are lost, so it is not known which files are referred to"
    assert (tmp_path / "vol" / "strange").exists()


def test_open_volume_is_left_alone(tmp_path: Path) -> None:
    """What a running application has not committed yet is no leftover."""
    _volume(tmp_path / "vol", _source(tmp_path / "src"))
    with Volume.open(tmp_path / "vol", _KEY, None), pytest.raises(ConflictError):
        check(tmp_path / "vol", _KEY, remove_unreferenced=True)


def test_files_beside_authenticated_ones_are_nobodys_leftovers(tmp_path: Path) -> None:
    """An authenticated volume that was made in place has other files beside it, which it does not know."""
    source = _source(tmp_path / "src")
    create_volume(source, source, _KEY, protection=Protection.AUTHENTICATED)
    (source / "mine").touch()
    report = check(source, _KEY, remove_unreferenced=True)
    assert report.whole
    assert report.leftovers == ()
    assert (source / "mine").exists()


# -- main protection files


def _main(tmp_path: Path) -> tuple[Path, FspfKey, FspfTag]:
    """Make a main protection file: /data is encrypted beside it, /data/in is within that, /usr authenticated."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "fspf.pb"
    Fspf.create(path)
    with Fspf.open(path) as fspf:
        for region, protection, kernel in (
            ("/", Protection.NOT_PROTECTED, "/"),
            ("/tmp", Protection.ENCRYPTED, None),  # noqa: S108
            ("/data", Protection.ENCRYPTED, str(tmp_path / "data")),
            ("/data/in", Protection.ENCRYPTED, "/somewhere/in"),
            ("/usr", Protection.AUTHENTICATED, str(tmp_path / "usr")),
        ):
            fspf.add_region(Region(path=region, protection=protection, kernel=kernel))
        fspf.commit()
    with Fspf.open(path) as fspf:
        source = _source(tmp_path / "usr")
        (tmp_path / "data" / "in").mkdir()
        add_files(fspf.open_region("/data", tmp_path / "data"), source)
        add_files(fspf.open_region("/data/in", tmp_path / "data" / "in"), source)
        add_files(fspf.open_region("/usr", None), source)
        fspf.commit()
    tag, key = encrypt_fspf(path)
    return path, key, tag


def test_regions_are_checked_where_they_are(tmp_path: Path) -> None:
    """Each region's files are looked for in its directory, or where the caller says; they are no other's leftovers."""
    path, key, tag = _main(tmp_path)
    with pytest.raises(InputError, match="there is no directory /somewhere/in") as caught:
        check(path, key, tag)
    assert caught.value.hint == "say where they are: --region /data/in=DIR"
    places = {"/data/in": tmp_path / "data" / "in"}
    report = check(path, key, tag, directories=places)
    assert report.whole
    assert report.leftovers == ()
    assert dict(report.regions) == {
        "/": None,
        "/tmp": None,  # noqa: S108
        "/data": tmp_path / "data",
        "/data/in": tmp_path / "data" / "in",
        "/usr": tmp_path / "usr",
    }
    (tmp_path / "usr" / "a").write_bytes(b"other")
    _change(tmp_path / "data" / "a", 0)
    (tmp_path / "data" / "in" / "strange").touch()
    report = check(path, key, tag, directories=places, extract=tmp_path / "out", remove_unreferenced=True)
    assert [each.path for each in report.damaged] == ["/data/a", "/usr/a"]
    assert [(each.region, str(each)) for each in report.leftovers] == [("/data/in", "strange")]
    assert (tmp_path / "out" / "data" / "in" / "a").exists()
    assert (tmp_path / "out" / "usr" / "sub" / "b").exists()
    assert (tmp_path / "data" / "in" / "a").exists()
    assert path.exists()


def test_unknown_region_is_refused(tmp_path: Path) -> None:
    """A directory for a region that is not there is a slip."""
    path, key, _ = _main(tmp_path)
    with pytest.raises(InputError, match="there is no region /dta"):
        check(path, key, directories={"/dta": tmp_path})


# -- contradictions that only a faulty writer makes


def _write(directory: Path, change: Callable[[Volume], None]) -> None:
    with Volume.open(directory, _KEY, None) as volume:
        change(volume)
        volume.inodes.change(volume.root)
        volume.commit()


def _wrong_count(volume: Volume) -> None:
    volume.inodes.change(volume.names.lookup(volume.root, b"a")).links = 7


def _name_of_nothing(volume: Volume) -> None:
    volume._protection.tree.put(name_key(volume.root, b"ghost"), encode_name(999, stat.S_IFREG))


def _name_that_leads_out(volume: Volume) -> None:
    volume._protection.tree.put(name_key(volume.root, b"../x"), encode_name(2, stat.S_IFREG))


def _circle(volume: Volume) -> None:
    above = volume.names.lookup(volume.root, b"sub")
    volume._protection.tree.put(
        name_key(volume.names.lookup(above, b"deep"), b"loop"), encode_name(above, stat.S_IFDIR)
    )
    volume._protection.tree.delete(name_key(volume.root, b"sub"))


def _unknown_entry(volume: Volume) -> None:
    volume._protection.tree.put((5).to_bytes(8, "big") + b"\x63", b"")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_wrong_count, "has 1 names, and counts 7"),
        (_name_of_nothing, "/ghost has no inode (number 999)"),
        (_name_that_leads_out, "b'../x' is in the place of a name"),
        (_circle, "is in no directory of a region"),
        (_unknown_entry, "is of the unknown kind 99"),
    ],
)
def test_contradictions_are_told(tmp_path: Path, change: Callable[[Volume], None], told: str) -> None:
    """Records that are authentic, and contradict each other, are defects; what is taken out stays below its target."""
    _volume(tmp_path / "vol", _source(tmp_path / "src"))
    _write(tmp_path / "vol", change)
    report = _check(tmp_path / "vol", extract=tmp_path / "out")
    assert not report.whole
    assert any(told in each for each in report.defects), report.defects
    assert not (tmp_path / "x").exists()


def test_every_byte_of_the_protection_file(tmp_path: Path) -> None:
    """Whatever byte is changed: a report or an error of ours, never another exception, never wrong data."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "f").write_bytes(b"content")
    _volume(tmp_path / "vol", tmp_path / "src")
    protection_file = tmp_path / "vol" / PROTECTION_FILE
    good = protection_file.read_bytes()
    for at in range(0, len(good), 97):
        _change(protection_file, at)
        try:
            report = check(tmp_path / "vol", _KEY, extract=tmp_path / f"out{at}")
        except BannockError:
            pass
        else:
            for path in (tmp_path / f"out{at}").rglob("*"):
                assert path.is_dir() or path.read_bytes() == b"content"
            assert report.whole or report.damaged or report.lost
        protection_file.write_bytes(good)
