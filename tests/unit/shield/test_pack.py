"""A tree goes into a volume and comes out as it was; what cannot be kept is named first, and nothing gets outside."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import EnvironmentFault, InputError, IntegrityError, RollbackError
from bannock.shield import pack
from bannock.shield.format.records import encode_name, name_key
from bannock.shield.pack import create_volume
from bannock.shield.scan import scan
from bannock.shield.unpack import extract_volume
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, find, look, make_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.values import FspfTag

_TIME: Final = 1_234_567_890_123_456_789
_NOBODY: Final = 65534


def _round_trip(source: Path, base: Path) -> Path:
    tag = create_volume(source, base / "volume", KEY)
    extract_volume(base / "volume", KEY, tag, base / "out")
    return base / "out"


def _describe(root: Path) -> dict[str, tuple[object, ...]]:
    """Return what is to be kept of everything below a directory, and of the directory."""
    found: dict[str, tuple[object, ...]] = {}
    places: dict[int, str] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status, name = path.lstat(), str(path.relative_to(root))
        first = places.setdefault(status.st_ino, name)
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)  # noqa: PTH115 # a Path would tidy it up
        found[name] = (stat.filemode(status.st_mode), status.st_mtime_ns, first, content)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a tree of everything that can be kept."""
    root = tmp_path / "source"
    (root / "empty directory").mkdir(parents=True)
    (root / "ünïcode ☃" / "日本語").mkdir(parents=True)
    (root / "ünïcode ☃" / "日本語" / "файл").write_text("content")
    (root / "empty").touch()
    (root / " spaces and\nnew lines ").write_bytes(b"x")
    (root / ("n" * 255)).write_bytes(b"long name")
    for name in ("volume.fspf", "volume.fspf~1", "~1", "a~1", "a", ".long"):
        (root / name).write_text(name)
    (root / "big").write_bytes(random.Random(1).randbytes(300_001))  # noqa: S311 # content of a test
    (root / "sparse").touch()
    os.truncate(root / "sparse", 1 << 20)
    (root / "link").symlink_to("a")
    (root / "dangling").symlink_to("../../nowhere/at all/")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "to directory").symlink_to("empty directory")
    (root / "long link").symlink_to("t/" * 2047 + "t")
    (root / "hard").hardlink_to(root / "big")
    (root / "empty directory" / "hard").hardlink_to(root / "big")
    os.link(root / "link", root / "hard link to a link", follow_symlinks=False)
    for number, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, ns=(_TIME, _TIME + number), follow_symlinks=False)
    os.utime(root, ns=(_TIME, _TIME))
    return root


def test_tree_comes_back_as_it_was(source: Path, tmp_path: Path) -> None:
    """Contents, names, links of both kinds, modes and times are kept; so are those of the directory itself."""
    source.chmod(0o750)
    os.utime(source, ns=(_TIME, _TIME))
    assert _describe(_round_trip(source, tmp_path)) == _describe(source)


def test_counts(source: Path, tmp_path: Path) -> None:
    """What is counted on the way in is what is counted on the way out, and the observer learns of every byte."""
    done: list[int] = []
    before = scan(source)
    tag = create_volume(source, tmp_path / "volume", KEY, observer=done.append)
    extracted = extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "out")
    assert before.files == extracted.files == len(list(source.rglob("*")))
    sizes = [status.st_size for path in source.rglob("*") if stat.S_ISREG((status := path.lstat()).st_mode)]
    assert before.bytes == sum(sizes)
    assert sum(done) == extracted.bytes == before.bytes - 2 * 300_001


def test_commits_in_between_lose_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that is packed in several states is whole in the last one."""
    monkeypatch.setattr(pack, "_FILES_PER_COMMIT", 3)
    assert _describe(_round_trip(source, tmp_path)) == _describe(source)


def test_empty_volume(tmp_path: Path) -> None:
    """Without a source there is a volume with nothing in it."""
    tag = create_volume(None, tmp_path / "volume", KEY)
    extracted = extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "out")
    assert (extracted.files, extracted.bytes) == (0, 0)
    assert list((tmp_path / "out").iterdir()) == []


@contextmanager
def _as_nobody() -> Iterator[Path]:
    """Act as a user without rights, in a directory of that user."""
    directory = Path(tempfile.mkdtemp(prefix="bannock-nobody-"))
    try:
        if os.geteuid() == 0:
            os.chown(directory, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, 0)
            try:
                yield directory
            finally:
                os.setresuid(0, 0, 0)
        else:
            yield directory
    finally:
        for path in [directory, *directory.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(directory)


def test_files_of_every_mode(tmp_path: Path) -> None:
    """Every one of the 512 modes comes back, for files and directories that their owner may read."""
    _check_modes(tmp_path, [mode for mode in range(0o1000) if os.geteuid() == 0 or mode & 0o500 == 0o500])


def test_files_of_some_modes_without_rights() -> None:
    """The same for a user who is not root, and once more over what is there then and may not be written."""
    with _as_nobody() as directory:
        tag = _check_modes(directory, [0o500, 0o700, 0o555, 0o744])
        assert extract_volume(directory / "volume", KEY, tag, directory / "out").files == 12


def _check_modes(base: Path, modes: list[int]) -> FspfTag:
    source, out = base / "source", base / "out"
    source.mkdir()
    for mode in modes:
        (source / f"file {mode:o}").write_text(f"{mode}")
        (source / f"directory {mode:o}").mkdir()
        (source / f"directory {mode:o}" / "inside").write_text(f"{mode}")
        (source / f"file {mode:o}").chmod(mode)
        (source / f"directory {mode:o}").chmod(mode)
    tag = create_volume(source, base / "volume", KEY)
    extract_volume(base / "volume", KEY, tag, out)
    for mode in modes:
        assert stat.S_IMODE((out / f"file {mode:o}").stat().st_mode) == mode
        assert stat.S_IMODE((out / f"directory {mode:o}").stat().st_mode) == mode
        if os.geteuid() == 0 or mode & 0o100:
            assert (out / f"directory {mode:o}" / "inside").read_text() == f"{mode}"
    return tag


def test_bits_that_give_rights_are_left_out(tmp_path: Path) -> None:
    """A file is not set-uid for whoever extracts it; the sticky bit of a directory is kept."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").touch()
    (source / "file").chmod(0o6755)
    (source / "directory").mkdir()
    (source / "directory").chmod(0o1777)
    out = _round_trip(source, tmp_path)
    assert stat.S_IMODE((out / "file").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "directory").stat().st_mode) == 0o1777


def test_deep_tree(tmp_path: Path) -> None:
    """Directories deeper than Python recurses, and paths as long as the system can name, come back."""
    source = tmp_path / "source"
    try:
        for names in (["d"] * 1200, ["w" * 250] * 14):
            path = source
            for name in ["", *names]:
                path = path / name
                path.mkdir(exist_ok=True)
            (path / "file").write_text("deep down")
        assert _round_trip(source, tmp_path).is_dir()
        # The programs of the system, since those of Python (and of pytest, at the end) recurse.
        subprocess.run(["/usr/bin/diff", "-r", source, tmp_path / "out"], check=True)
    finally:
        subprocess.run(["/bin/rm", "-rf", source, tmp_path / "out", tmp_path / "volume"], check=True)


def test_everything_that_cannot_be_kept_is_named_at_once(tmp_path: Path) -> None:
    """Pipes, sockets and names that are not UTF-8 are all in one error, and there is no volume then."""
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "good").touch()
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(source / "below" / "socket"))
    (source / "below" / os.fsdecode(b"latin-\xe9")).touch()
    with pytest.raises(InputError, match=r"^3 of the entries") as caught:
        create_volume(source, tmp_path / "volume", KEY)
    text = "\n".join(caught.value.reasons)
    assert "pipe: a named pipe" in text
    assert "socket: a socket" in text
    assert "latin-\\xe9: the name is not UTF-8" in text
    assert "good" not in text
    assert not (tmp_path / "volume").exists()


def test_many_that_cannot_be_kept(tmp_path: Path) -> None:
    """Of very many, the first are named and the rest counted."""
    for number in range(50):
        os.mkfifo(tmp_path / f"{number}")
    with pytest.raises(InputError, match=r"^50 of the entries") as caught:
        scan(tmp_path)
    assert len(caught.value.reasons) == 21
    assert caught.value.reasons[-1] == "and 30 more"


@pytest.mark.root
@pytest.mark.parametrize(("kind", "what"), [(stat.S_IFCHR, "a character device"), (stat.S_IFBLK, "a block device")])
def test_device_cannot_be_kept(tmp_path: Path, kind: int, what: str) -> None:
    """Devices are refused."""
    try:
        os.mknod(tmp_path / "device", kind | 0o600, os.makedev(1, 3) if kind == stat.S_IFCHR else os.makedev(7, 0))
    except PermissionError:
        pytest.skip("this root may not make devices")
    with pytest.raises(InputError) as caught:
        scan(tmp_path)
    assert what in caught.value.reasons[0]


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_what_cannot_be_read_is_named(mode: int) -> None:
    """A directory without the right to list it or to pass it, and a file that may not be read, are named once each."""
    with _as_nobody() as directory:
        (directory / "file").touch()
        (directory / "file").chmod(0o200)
        (directory / "closed").mkdir()
        (directory / "closed" / "inside").touch()
        (directory / "closed").chmod(mode)
        with pytest.raises(InputError) as caught:
            scan(directory)
        assert len(caught.value.reasons) == 2
        assert {reason.rpartition(": ")[0].removeprefix(f"{directory}/") for reason in caught.value.reasons} == {
            "file", "closed/inside" if mode == 0o400 else "closed",
        }  # fmt: skip


def test_source_that_is_no_directory(tmp_path: Path) -> None:
    """A source that is not there, or is a file, is the user's error, and there is no volume then."""
    (tmp_path / "file").touch()
    for name in ("nothing", "file"):
        with pytest.raises(InputError):
            create_volume(tmp_path / name, tmp_path / "volume", KEY)
    assert not (tmp_path / "volume").exists()


def test_volume_within_its_source(tmp_path: Path) -> None:
    """A volume does not go into the directory that it is to hold."""
    with pytest.raises(InputError, match="hold itself"):
        create_volume(tmp_path, tmp_path / "volume", KEY)


def test_volume_that_is_there_already(tmp_path: Path) -> None:
    """A volume is not written over."""
    tag = create_volume(None, tmp_path / "volume", KEY)
    with pytest.raises(InputError, match="holds a volume already"):
        create_volume(None, tmp_path / "volume", KEY)
    extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "out")


# -- extraction into a place that somebody has prepared


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Give a directory that nothing may get into."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "file").write_text("outside")
    return directory


def _volume(base: Path) -> FspfTag:
    with Volume.create(base / "volume", KEY) as volume:
        make_file(volume, b"d/file", b"inside", mode=0o640)
        make_file(volume, b"file", b"inside")
        return volume.commit()


def test_links_in_the_target_are_not_followed(tmp_path: Path, outside: Path) -> None:
    """Links that lie where directories and files are to go are replaced, and what they lead to stays as it is."""
    tag, out = _volume(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "d").symlink_to(outside)
    (out / "file").symlink_to(outside / "file")
    extract_volume(tmp_path / "volume", KEY, tag, out)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "outside"
    assert (out / "file").read_text() == (out / "d" / "file").read_text() == "inside"
    assert not (out / "d").is_symlink()
    assert not (out / "file").is_symlink()


def test_hard_link_in_the_target_is_not_written_through(tmp_path: Path, outside: Path) -> None:
    """A file that has another name outside of the target is replaced, not written to."""
    tag, out = _volume(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "file").hardlink_to(outside / "file")
    extract_volume(tmp_path / "volume", KEY, tag, out)
    assert (outside / "file").read_text() == "outside"


def test_links_in_the_volume_are_not_followed(tmp_path: Path, outside: Path) -> None:
    """A volume whose links lead out of it puts links into the target, and nothing behind them."""
    with Volume.create(tmp_path / "volume", KEY) as volume:
        volume.names.symlink(1, b"a", os.fsencode(outside))
        volume.names.symlink(1, b"b", os.fsencode(outside / "file"))
        make_file(volume, b"c", b"inside", mode=0o600)
        tag = volume.commit()
    before = (outside / "file").stat()
    extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "out")
    extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "out")
    assert (tmp_path / "out" / "a").readlink() == outside
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").stat() == before


@pytest.mark.parametrize("name", [b"../outside/new", b"..", b"/etc/new"])
def test_paths_in_place_of_names_do_not_leave_the_target(tmp_path: Path, outside: Path, name: bytes) -> None:
    """A volume that was made to hold paths, by somebody with its key, is refused."""
    with Volume.create(tmp_path / "volume", KEY) as volume:
        ino = make_file(volume, b"file", b"inside")
        volume._protection.tree.put(name_key(1, name), encode_name(ino, stat.S_IFREG))
        tag = volume.commit()
    with pytest.raises(IntegrityError):
        extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "out")
    assert [path.name for path in outside.iterdir()] == ["file"]


def test_directory_that_is_below_itself(tmp_path: Path) -> None:
    """A directory that was made to hold itself ends in an error, not in a full disk or an exception of Python."""
    with Volume.create(tmp_path / "volume", KEY) as volume:
        volume._protection.tree.put(name_key(1, b"d" * 200), encode_name(1, stat.S_IFDIR))
        tag = volume.commit()
    with pytest.raises(EnvironmentFault):
        extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "out")


def test_files_in_the_way_are_replaced_and_others_stay(tmp_path: Path) -> None:
    """A file is replaced by what the volume has under its name, be it a directory; what it does not have stays."""
    tag, out = _volume(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "d").write_text("in the way")
    (out / "file").write_text("in the way")
    (out / "file").chmod(0o000)
    (out / "mine").write_text("mine")
    extract_volume(tmp_path / "volume", KEY, tag, out)
    assert (out / "file").read_text() == (out / "d" / "file").read_text() == "inside"
    assert (out / "mine").read_text() == "mine"


def test_directory_in_the_way_of_a_file(tmp_path: Path) -> None:
    """A directory is not removed for a file; the error names it."""
    tag, out = _volume(tmp_path), tmp_path / "out"
    (out / "file" / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match="out/file is a directory"):
        extract_volume(tmp_path / "volume", KEY, tag, out)
    assert (out / "file" / "mine").is_dir()


def test_damaged_file_does_not_appear(tmp_path: Path) -> None:
    """A file with a changed byte, though far from its beginning, is named, and nothing of it is in the target."""
    with Volume.create(tmp_path / "volume", KEY) as volume:
        make_file(volume, b"a good one", b"good")
        make_file(volume, b"damaged", bytes(9 << 20), chunk=1 << 16)
        tag = volume.commit()
    with (tmp_path / "volume" / "damaged").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read()
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(IntegrityError, match="'damaged'"):
        extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a good one"]


def test_old_state_is_not_extracted(tmp_path: Path) -> None:
    """A volume that was put back gives no file at all."""
    tag = _volume(tmp_path)
    shutil.copytree(tmp_path / "volume", tmp_path / "copy")
    with Volume.open(tmp_path / "volume", KEY, tag) as volume:
        volume.inodes.write(find(volume, b"file"), 0, b"newer")
        newer = volume.commit()
        assert look(volume)[b"file"].content == b"newere"
    with pytest.raises(RollbackError):
        extract_volume(tmp_path / "copy", KEY, newer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_extraction_needs_no_right_to_write_the_volume(tmp_path: Path) -> None:
    """Nothing in the volume's directory changes when it is read."""
    tag = _volume(tmp_path)
    before = _describe(tmp_path / "volume")
    extract_volume(tmp_path / "volume", KEY, tag, tmp_path / "out")
    assert _describe(tmp_path / "volume") == before
