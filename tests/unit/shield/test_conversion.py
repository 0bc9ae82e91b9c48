"""Converting protection files of the original format: what is kept, and what is refused as a whole."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError, IntegrityError, RollbackError
from bannock.shield.check import check
from bannock.shield.conversion import plan_import
from bannock.shield.fspf import Fspf
from bannock.shield.listing import list_fspf
from bannock.shield.regions import Protection
from bannock.shield.unpack import extract_volume
from bannock.values import FspfTag
from tests.unit.shield.original_files import (
    AUTHENTICATED,
    ENCRYPTED,
    NOT_PROTECTED,
    Sample,
    bytes_of,
    entry,
    number,
    plain,
    region,
    seal,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.shield.conversion import Import
    from bannock.shield.volume import Volume

_CONTENT = {"a": os.urandom(10), "sub/deep/b": os.urandom(20_000), "empty": b"", "sub/c": os.urandom(200_000)}


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """A main protection file with a region of each kind."""
    for name in ("usr", "app"):
        (tmp_path / name).mkdir()
    made = Sample(tmp_path / "old.pb", {"/usr": tmp_path / "usr", "/app": tmp_path / "app"})
    made.add("/", NOT_PROTECTED, "/")
    made.add("/tmp", ENCRYPTED, None)  # noqa: S108 - a region's path
    made.add("/usr", AUTHENTICATED, "/usr", _CONTENT, {"link": "sub/c"})
    made.add("/app", ENCRYPTED, "/app", _CONTENT)
    made.write()
    return made


def _import(sample: Sample, new: Path, tag: FspfTag | None = None) -> Import:
    plan = plan_import(
        sample.path, new, sample.key, tag, sources=sample.directories, outputs={"/app": new.parent / "out"}
    )
    return plan.apply(lambda _: None)


def _read(volume: Volume, path: str) -> bytes:
    ino = volume.root
    for part in path.split("/"):
        ino = volume.names.lookup(ino, part.encode())
    return bytes(volume.inodes.read(ino, 0, 1 << 20))


def test_regions_and_files_are_kept(sample: Sample, tmp_path: Path) -> None:
    """Regions stay what they are; authenticated files are recorded where they are, encrypted ones are sealed anew."""
    (tmp_path / "usr" / "a").chmod(0o4755)
    os.utime(tmp_path / "usr" / "a", ns=(5, 5))
    made = _import(sample, tmp_path / "new.pb", FspfTag(sample.path.read_bytes()[64:80]))
    assert made.key is not None
    assert made.key != sample.key
    with Fspf.open(tmp_path / "new.pb", made.key, made.tag, writable=False) as fspf:
        assert [(each.path, each.protection, each.kernel, each.key_bytes) for each in fspf.regions] == [
            ("/", Protection.NOT_PROTECTED, "/", 32),
            ("/app", Protection.ENCRYPTED, "/app", 32),
            ("/tmp", Protection.ENCRYPTED, None, 32),  # noqa: S108
            ("/usr", Protection.AUTHENTICATED, "/usr", 32),
        ]
        usr = fspf.open_region("/usr", tmp_path / "usr", writable=False)
        app = fspf.open_region("/app", tmp_path / "out", writable=False)
        for name, content in _CONTENT.items():
            assert _read(usr, name) == content
            assert _read(app, name) == content
        inode = usr.inodes.get(usr.names.lookup(usr.root, b"a"))
        assert (stat.S_IMODE(inode.mode), inode.modified) == (0o755, 5)
        assert usr.names.link_target(usr.names.lookup(usr.root, b"link")) == b"sub/c"
    assert (tmp_path / "out" / "sub" / "c").read_bytes() != (tmp_path / "app" / "sub" / "c").read_bytes()
    places = {"/usr": tmp_path / "usr", "/app": tmp_path / "out"}
    report = check(tmp_path / "new.pb", made.key, made.tag, directories=places)
    assert report.whole
    assert report.leftovers == ()
    (tmp_path / "usr" / "sub" / "c").write_bytes(_CONTENT["sub/c"][:-1] + b"x")
    assert [each.path for each in check(tmp_path / "new.pb", made.key, directories=places).damaged] == ["/usr/sub/c"]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _become_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("attack", [_flip, _extend, _cut, os.unlink, _become_link])
@pytest.mark.parametrize("where", ["usr/sub/deep/b", "app/sub/deep/b", "usr/a", "app/a"])
def test_import_is_refused_as_a_whole(
    sample: Sample, tmp_path: Path, where: str, attack: Callable[[Path], None]
) -> None:
    """A file that is not as recorded is named, and nothing is written."""
    attack(tmp_path / where)
    with pytest.raises(IntegrityError, match="nothing was imported: 1 files are not what") as caught:
        _import(sample, tmp_path / "new.pb")
    assert caught.value.reasons[0].startswith(f"/{where}: ")
    assert not (tmp_path / "new.pb").exists()
    assert not (tmp_path / "out").exists()


def test_all_that_is_wrong_is_named(sample: Sample, tmp_path: Path) -> None:
    """Not only the first file that does not verify is told."""
    for name in ("usr/a", "app/a", "usr/sub/c"):
        _flip(tmp_path / name)
    (tmp_path / "usr" / "link").unlink()
    (tmp_path / "usr" / "link").symlink_to("sub/d")
    with pytest.raises(IntegrityError, match="4 files are not what") as caught:
        _import(sample, tmp_path / "new.pb")
    assert [reason.partition(":")[0] for reason in caught.value.reasons] == [
        "/usr/a",
        "/usr/sub/c",
        "/usr/link",
        "/app/a",
    ]


@pytest.mark.parametrize("where", ["usr/sub/deep/b", "app/sub/deep/b"])
def test_change_after_the_look_is_found_out(sample: Sample, tmp_path: Path, where: str) -> None:
    """What is written is verified once more; what was made until then is gone."""
    plan = plan_import(
        sample.path,
        tmp_path / "new.pb",
        sample.key,
        None,
        sources=sample.directories,
        outputs={"/app": tmp_path / "out"},
    )
    _flip(tmp_path / where)
    with pytest.raises(IntegrityError, match="was changed while it was imported"):
        plan.apply(lambda _: None)
    assert not (tmp_path / "new.pb").exists()
    assert not (tmp_path / "out").exists()


def test_other_state_and_other_key_are_refused(sample: Sample, tmp_path: Path) -> None:
    """The old tag counts, and so does the key."""
    with pytest.raises(RollbackError):
        _import(sample, tmp_path / "new.pb", FspfTag(bytes(16)))
    with pytest.raises(InputError, match="its key is needed"):
        plan_import(sample.path, tmp_path / "new.pb", None, None, sources={}, outputs={})


@pytest.mark.parametrize(
    ("sources", "outputs", "told"),
    [
        ({"/usr": "usr"}, {"/app": "out"}, "the files of region /app are not here: there is no directory /app"),
        ({"/usr": "usr", "/app": "app"}, {}, "region /app is encrypted, so its files are encrypted anew"),
        ({"/usr": "usr", "/app": "app"}, {"/app": "usr"}, "is not an empty directory"),
        ({"/usr": "usr", "/app": "app"}, {"/app": "out", "/usr": "x"}, "region /usr is authenticated"),
        ({"/urs": "usr"}, {}, "there is no region /urs"),
    ],
)
def test_directories_are_asked_for(
    sample: Sample, tmp_path: Path, sources: dict[str, str], outputs: dict[str, str], told: str
) -> None:
    """What is missing to convert is told before anything is read."""
    with pytest.raises(InputError, match=told):
        plan_import(
            sample.path,
            tmp_path / "new.pb",
            sample.key,
            None,
            sources={path: tmp_path / name for path, name in sources.items()},
            outputs={path: tmp_path / name for path, name in outputs.items()},
        )


def test_nothing_is_written_over(sample: Sample, tmp_path: Path) -> None:
    """A file that stands where the new one goes is kept."""
    (tmp_path / "new.pb").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        _import(sample, tmp_path / "new.pb")
    assert (tmp_path / "new.pb").read_text() == "mine"


@pytest.mark.parametrize("kind", [ENCRYPTED, AUTHENTICATED])
def test_volumes_become_volumes(tmp_path: Path, kind: int) -> None:
    """A volume's files go into the directory of the new one."""
    (tmp_path / "old").mkdir()
    sample = Sample(tmp_path / "old" / "volume.fspf", {".": tmp_path / "old"})
    sample.add(".", kind, ".", _CONTENT)
    sample.write()
    plan = plan_import(sample.path, tmp_path / "new", sample.key, None, sources={}, outputs={})
    made = plan.apply(lambda _: None)
    assert made.file == tmp_path / "new" / "volume.fspf"
    assert made.key is not None
    extract_volume(tmp_path / "new", made.key, made.tag, tmp_path / "out")
    for name, content in _CONTENT.items():
        assert (tmp_path / "out" / name).read_bytes() == content
    expected = "encrypted" if kind == ENCRYPTED else "authenticated"
    listing = list_fspf(made.file, made.key)
    assert listing.regions is not None
    assert listing.regions[0].protection == expected


def test_file_that_was_not_sealed_stays_so(tmp_path: Path) -> None:
    """A protection file that was not encrypted yet can be worked on further."""
    (tmp_path / "old.pb").write_bytes(plain(region("/", NOT_PROTECTED, "/")))
    made = plan_import(tmp_path / "old.pb", tmp_path / "new.pb", None, None, sources={}, outputs={}).apply(
        lambda _: None
    )
    assert made.key is None
    with Fspf.open(tmp_path / "new.pb") as fspf:
        assert fspf.tag == made.tag


def test_unknown_fields_are_not_dropped(sample: Sample, tmp_path: Path) -> None:
    """What is not known might mean something, so it is not left out in silence."""
    inner = number(3, 1) + number(4, 32) + number(5, 4092) + bytes_of(6, b"/") + number(9, 1)
    sample.path.write_bytes(seal(bytes_of(1, inner), sample.key.reveal()))
    with pytest.raises(InputError, match=r"whose meaning would be lost: region\.9"):
        plan_import(sample.path, tmp_path / "new.pb", sample.key, None, sources={}, outputs={})


def test_what_nobody_confirmed_is_refused(tmp_path: Path) -> None:
    """An encrypted link, a file below a file, and one protected in another way than its region are not converted."""
    sample = Sample(tmp_path / "old.pb", {"/app": tmp_path})
    entries = [
        entry("link", b"x", encrypted=True, link=True),
        entry("f", b"x", encrypted=True),
        entry("f/g", b"x", encrypted=True),
        entry("plain", b"x", encrypted=False),
    ]
    (tmp_path / "f").write_bytes(entries[1].stored)
    (tmp_path / "plain").write_bytes(b"x")
    sample.regions.append(region("/app", ENCRYPTED, "/app", entries))
    sample.write()
    with pytest.raises(IntegrityError) as caught:
        _import(sample, tmp_path / "new" / "new.pb")
    assert [reason.partition(": ")[::2] for reason in caught.value.reasons] == [
        ("/app/link", "it is an encrypted symbolic link, and how these are kept is not known"),
        ("/app/f/g", "it is recorded below a file"),
        ("/app/plain", "it is protected in another way than its region"),
    ]
