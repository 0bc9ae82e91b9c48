"""``scone fspf``: what command lines mean, what they print, and what is refused."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from bannock.cli import fspf_addr, scone
from bannock.cli.fspf_options import key_for, region_path, shown
from bannock.errors import InputError, IntegrityError, RollbackError
from bannock.shield.fspf import Fspf, newest_tag
from bannock.shield.regions import Protection, Region
from bannock.shield.unpack import extract_volume
from bannock.shield.volume import Volume
from bannock.values import FspfKey, FspfTag
from tests.unit.shield.original_files import AUTHENTICATED, ENCRYPTED, NOT_PROTECTED, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TAG = "[0-9a-f]{32}"
_KEY = "[0-9a-f]{64}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "a.py").write_text("print('hello')\n" * 10)
    (tmp_path / "src" / "sub" / "b").write_bytes(os.urandom(100_000))
    (tmp_path / "src" / "link").symlink_to("a.py")


def _scone(*arguments: str, code: int = 0) -> None:
    assert scone.main(["fspf", *arguments]) == code


def _told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    _scone(*arguments)
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    _scone(*arguments, code=InputError.exit_code)
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


def test_outputs_are_those_that_scripts_parse(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every change tells its new tag in the known sentence; of encrypt, tag and key are words 9 and 11."""
    assert re.fullmatch(
        f"Created empty file system protection file in fspf.pb. AES-GCM tag: {_TAG}\n",
        _told(capsys, "create", "fspf.pb"),
    )
    assert re.fullmatch(
        f"Added region / to file system protection file fspf.pb new AES-GCM tag: {_TAG}\n",
        _told(capsys, "addr", "fspf.pb", "/", "--kernel", "/", "--not-protected"),
    )
    told = _told(capsys, "addr", "fspf.pb", "/app", "--encrypted", "--kernel", "/app")
    assert told.startswith("Added region /app to file system protection file fspf.pb new AES-GCM tag: ")
    told = _told(capsys, "addf", "fspf.pb", "/app", "src", "out/app")
    assert re.fullmatch(f"Added files to file system protection file fspf.pb new AES-GCM tag: {_TAG}\n", told)
    assert told.split()[-1] == str(newest_tag(tmp_path / "fspf.pb"))
    told = _told(capsys, "encrypt", "fspf.pb")
    assert re.fullmatch(f"Encrypted file system protection file fspf.pb AES-GCM tag: {_TAG} key: {_KEY}\n", told)
    tag, key = FspfTag.from_hex(told.split()[8]), FspfKey.from_hex(told.split()[10])
    with Fspf.open(tmp_path / "fspf.pb", key, tag) as fspf:
        assert [region.path for region in fspf.regions] == ["/", "/app"]
        volume = fspf.open_region("/app", tmp_path / "out" / "app", writable=False)
        ino = volume.names.lookup(volume.root, b"a.py")
        assert volume.inodes.read(ino, 0, 1000) == (tmp_path / "src" / "a.py").read_bytes()
    assert b"hello" not in (tmp_path / "out" / "app" / "a.py").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "region"),
    [
        ("F / --kernel / --not-protected", Region(path="/", protection=Protection.NOT_PROTECTED, kernel="/")),
        ("F / --not-protected --kernel /", Region(path="/", protection=Protection.NOT_PROTECTED, kernel="/")),
        ("-n --kernel / F /", Region(path="/", protection=Protection.NOT_PROTECTED, kernel="/")),
        ("F --kernel /k / -a", Region(path="/", protection=Protection.AUTHENTICATED, kernel="/k")),
        ("F / -e --ephemeral", Region(path="/", protection=Protection.ENCRYPTED, kernel=None)),
        (
            "F /a/ -e --kernel //k/ -c 4096 -k 16",
            Region(path="/a", protection=Protection.ENCRYPTED, kernel="/k", chunk_bytes=4096, key_bytes=16),
        ),
        (
            "F /a -a --kernel /k --chunk-length 1024 --key-length 192",
            Region(path="/a", protection=Protection.AUTHENTICATED, kernel="/k", chunk_bytes=1024, key_bytes=24),
        ),
        ("F . --encrypted --kernel .", Region(path="/", protection=Protection.ENCRYPTED, kernel="")),
    ],
)
def test_regions_are_parsed_in_any_order(arguments: str, region: Region) -> None:
    """Options and arguments come in any order; lengths of keys are bytes or bits."""
    assert fspf_addr._region(fspf_addr._parse(arguments.split())) == region


@pytest.mark.parametrize(
    "arguments",
    [
        "F / --encrypted",
        "F / --kernel /",
        "F / -e -a --kernel /",
        "F / -e --kernel / --ephemeral",
        "F -e --kernel /",
        "F / -e --kernel / -k 20",
        "F / -e --kernel / -k x",
        "F / -e --kern /",
    ],
)
def test_half_regions_are_usage_errors(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A region has one protection and one place."""
    with pytest.raises(SystemExit) as caught:
        fspf_addr._parse(arguments.split())
    assert caught.value.code == 2
    assert "usage: scone fspf addr" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("addr F /x -n --kernel / -c 4096", "are for protected regions"),
        ("addr F x -e --kernel /", "x"),
        ("addr F /x -e --kernel k", "k"),
        ("addr F /x -e --kernel / -c 100", "chunks have 1024 to 16777216 bytes, found 100"),
        ("addr F / -e --kernel /", "there is a region / already"),
        ("addr nothing / -e --kernel /", "there is no file nothing"),
        ("create F", "F exists already"),
        ("addf F /absent src out", "there is no region /absent"),
        ("addf F / src out", "region / is not protected"),
        ("addf F /tmp src out", "region /tmp is ephemeral"),
        ("addf F /enc src", "region /enc is encrypted, so OUTPUT_DIR is needed"),
        ("addf F /enc src src", "plaintext would stay beside the ciphertext"),
        ("addf F /enc src src/sub", "plaintext would stay beside the ciphertext"),
        ("addf F /enc scr out", "did you mean src?"),
        ("addf F /enc src/a.py out", "src/a.py is not a directory"),
        ("show nothing", "there is no file nothing"),
        ("show src/a.py", "no file-system protection file"),
        ("show --tag src/a.py", "no file-system protection file"),
        ("show F " + "00" * 32, "is not encrypted, and a key was given"),
        ("show F --key-file absent", "cannot read absent"),
        ("show F KEY", "an FSPF key is 64 hexadecimal digits"),
        ("create-volume -e src", "an encrypted volume of them needs OUTPUT_PATH"),
        ("create-volume -e absent out", "there is no directory absent"),
        ("create-volume -e src src/out", "plaintext would stay beside the ciphertext"),
    ],
)
def test_unusable_requests_change_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: str, told: str
) -> None:
    """What cannot be done is told, and no file is made or changed."""
    path = tmp_path / "F"
    Fspf.create(path)
    with Fspf.open(path) as fspf:
        fspf.add_region(Region(path="/", protection=Protection.NOT_PROTECTED, kernel="/"))
        fspf.add_region(Region(path="/tmp", protection=Protection.ENCRYPTED, kernel=None))  # noqa: S108
        fspf.add_region(Region(path="/enc", protection=Protection.ENCRYPTED, kernel="/enc"))
        fspf.commit()
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    assert told in _refused(capsys, *arguments.split())
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", ["create F 2", "create-volume -e -v 7 src out", "create-volume src out"])
def test_usage_errors(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A version that is not known, and a volume without a kind, are usage errors."""
    with pytest.raises(SystemExit) as caught:
        scone.main(["fspf", *arguments.split()])
    assert caught.value.code == 2
    assert "usage: scone fspf create" in capsys.readouterr().err


def test_version_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    """The one version may be named."""
    assert "Created" in _told(capsys, "create", "fspf.pb", "1")
    assert "Created" in _told(capsys, "create-volume", "-e", "src", "-v", "latest", "out")


def test_authenticated_files_stay_where_they_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nothing is written for an authenticated region, and its protection file is not one of its files."""
    path = tmp_path / "src" / "fspf.pb"
    _scone("create", str(path))
    _scone("addr", str(path), "/", "--kernel", "/", "--authenticated")
    before = {each: each.read_bytes() for each in (tmp_path / "src").rglob("*") if each.is_file() and each != path}
    _scone("addf", str(path), "/", "src", "out")
    assert not (tmp_path / "out").exists()
    assert {
        each: each.read_bytes() for each in (tmp_path / "src").rglob("*") if each.is_file() and each != path
    } == before
    files = json.loads(_told(capsys, "show", str(path), "--json"))["regions"][0]["files"]
    assert sorted(file["path"] for file in files) == ["/a.py", "/link", "/sub", "/sub/b"]
    assert {file["protection"] for file in files} == {"authenticated"}


def test_plaintext_in_the_way_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file of the same name in the output is not ours: it would be shipped beside the ciphertext."""
    _scone("create", "F")
    _scone("addr", "F", "/app", "-e", "--kernel", "/app")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.py").write_text("print('hello')\n")
    told = _refused(capsys, "addf", "F", "/app", "src", "out")
    assert "out/a.py" in told
    assert "sub/b" not in told
    (tmp_path / "out" / "a.py").unlink()
    _scone("addf", "F", "/app", "src", "out")


def test_files_can_be_added_anew(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What is added once more replaces what was there; its ciphertext is not in the way."""
    _scone("create", "F")
    _scone("addr", "F", "/app", "-e", "--kernel", "/app")
    for text in ("first\n", "second\n", "third\n"):
        (tmp_path / "src" / "a.py").write_text(text)
        _scone("addf", "F", "/app", "src", "out")
    with Fspf.open(tmp_path / "F") as fspf:
        volume = fspf.open_region("/app", tmp_path / "out", writable=False)
        assert volume.inodes.read(volume.names.lookup(volume.root, b"a.py"), 0, 100) == b"third\n"
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 2
    capsys.readouterr()


def test_empty_source_needs_no_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where there is nothing to encrypt there is nothing to write."""
    (tmp_path / "empty" / "below").mkdir(parents=True)
    _scone("create", "F")
    _scone("addr", "F", "/app", "-e", "--kernel", "/app")
    assert "Added files" in _told(capsys, "addf", "F", "/app", "empty")
    assert "/app/below" in _told(capsys, "show", "F")


def test_encrypted_file_can_be_changed_with_its_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key comes from a file, standard input or the environment; without it the file is refused."""
    _scone("create", "F")
    keytag = _told(capsys, "encrypt", "F")
    key = keytag.split()[10]
    private = tmp_path / "keytag"
    private.write_text(keytag)
    private.chmod(0o600)
    assert "is encrypted, so its key is needed" in _refused(capsys, "addr", "F", "/", "-n", "--kernel", "/")
    _scone("addr", "F", "/", "-n", "--kernel", "/", "--key-file", "keytag")
    monkeypatch.setattr("sys.stdin", io.StringIO(key + "\n"))
    _scone("addr", "--key-file", "-", "F", "/app", "-e", "--kernel", "/app")
    monkeypatch.setenv("SCONE_FSPF_KEY", key)
    told = _told(capsys, "addf", "F", "/app", "src", "out")
    assert told.split()[-1] == _told(capsys, "show", "-t", "F").strip()
    assert "encrypted already" in _refused(capsys, "encrypt", "F")
    # A key in the environment is that of some file: one that is not encrypted needs none.
    _scone("create", "other")
    _scone("addr", "other", "/", "-n", "--kernel", "/")


def test_key_files_open_to_others_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Others may have read it."""
    _scone("create", "F")
    (tmp_path / "keytag").write_text(_told(capsys, "encrypt", "F"))
    (tmp_path / "keytag").chmod(0o644)
    told = _refused(capsys, "show", "F", "--key-file", "keytag")
    assert "keytag is open to others" in told


def test_keys_are_given_once(tmp_path: Path) -> None:
    """Two keys are one too many, and what is no key is named by its place, not repeated."""
    with pytest.raises(InputError, match="given twice"):
        key_for(tmp_path / "F", {}, argument="00" * 32, key_file="f")
    _scone("create", "F")
    _scone("encrypt", "F")
    with pytest.raises(InputError, match="there is no key in SCONE_FSPF_KEY"):
        key_for(tmp_path / "F", {"SCONE_FSPF_KEY": "secret"})


def test_show_for_people(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """State, regions, and a line for each file; with no key what everybody can see, and what the key would show."""
    (tmp_path / "src" / "a.py").chmod(0o640)
    _scone("create", "F")
    _scone("addr", "F", "/", "-n", "--kernel", "/")
    _scone("addr", "F", "/app", "-e", "--kernel", "/app", "-k", "128", "-c", "8192")
    _scone("addf", "F", "/app", "src", "out")
    told = _told(capsys, "show", "F").splitlines()
    assert told[0] == "file    F  format bannock 1, not encrypted, so nothing vouches for it"
    assert re.fullmatch(f"state   {_TAG}  commit 4", told[1])
    assert told[2:5] == ["", "region  /  not-protected  kernel /", ""]
    assert told[5] == "region  /app  encrypted  kernel /app  chunks of 8192 bytes, keys of 16"
    assert "-rw-r-----          150 encrypted      /app/a.py  a.py" in told
    assert "lrwxrwxrwx            4 encrypted      /app/link -> a.py" in told
    assert "-rw-r--r--       100000 encrypted      /app/sub/b  sub/b" in told
    key = _told(capsys, "encrypt", "F").split()[10]
    hidden = _told(capsys, "show", "F").splitlines()
    assert hidden[0] == "file    F  format bannock 1, encrypted"
    assert hidden[2:] == ["regions and files are encrypted: with the key they would be shown here"]
    assert _told(capsys, "show", "F", key).splitlines()[3:] == told[3:]


def test_show_takes_volumes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A volume is shown by its directory or its protection file, and its key works as the key of any other."""
    key = _told(capsys, "create-volume", "-e", "src", "vol").split()[10]
    for place in ("vol", "vol/volume.fspf"):
        told = _told(capsys, "show", place, key)
        assert "region  /  encrypted  beside the protection file" in told
        assert "/sub/b  sub/b" in told
        assert _told(capsys, "show", "--tag", place) == f"{newest_tag(tmp_path / 'vol' / 'volume.fspf')}\n"


def test_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get every field."""
    key = _told(capsys, "create-volume", "-e", "src", "vol").split()[10]
    document = json.loads(_told(capsys, "show", "--json", "vol", key))
    assert document["encrypted"]
    assert document["authentic"]
    assert document["commit"] == 1
    assert [file["path"] for file in document["regions"][0]["files"]] == ["/a.py", "/link", "/sub", "/sub/b"]
    without = json.loads(_told(capsys, "show", "--json", "vol"))
    assert (without["authentic"], without["regions"], without["tag"]) == (False, None, document["tag"])


def test_show_reads_the_original_format(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Files that SCONE's tools made are shown like ours."""
    sample = Sample(tmp_path / "old.pb", {"/": tmp_path, "/usr": tmp_path / "usr"})
    sample.add("/", NOT_PROTECTED, "/")
    (tmp_path / "usr").mkdir()
    sample.add("/usr", AUTHENTICATED, "/usr", {"bin/gcc": b"x" * 5000}, {"cc": "gcc"})
    sample.write()
    tag = _told(capsys, "show", "-t", "old.pb")
    assert tag.strip() == (tmp_path / "old.pb").read_bytes()[64:80].hex()
    told = _told(capsys, "show", "old.pb", sample.key.reveal_hex()).splitlines()
    assert told[0] == "file    old.pb  format scone 1, encrypted"
    assert told[1] == f"state   {tag.strip()}"
    assert "region  /usr  authenticated  kernel /usr  chunks of 4092 bytes, keys of 32" in told
    assert "----------         5000 authenticated  /usr/bin/gcc  bin/gcc" in told
    assert "l---------            4 authenticated  /usr/cc  cc" in told
    assert "with the key they would be shown here" in _told(capsys, "show", "old.pb")


def test_original_format_is_recognised_everywhere(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What cannot be done with a file of the original format says what can."""
    sample = Sample(tmp_path / "old.pb", {})
    sample.write()
    key = sample.key.reveal_hex()
    for arguments in (
        ["addr", "old.pb", "/", "-n", "--kernel", "/"],
        ["encrypt", "old.pb"],
        ["check", "old.pb", key],
    ):
        assert "scone fspf import" in _refused(capsys, *arguments)


def test_long_work_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, bars go to standard error; elsewhere nothing does (all other tests see to that)."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    _scone("create-volume", "-e", "src", "vol")
    assert "create vol" in terminal.getvalue()
    assert (tmp_path / "vol" / "volume.fspf").exists()


def test_names_cannot_move_the_cursor() -> None:
    """What is not printable is shown by its bytes."""
    assert shown("a\x1b[2Jb\nc") == "a<1b>[2Jb<0a>c"
    assert shown("ä\udcff") == "ä<ff>"


@pytest.mark.parametrize(
    ("text", "path"), [("/", "/"), ("//", "/"), ("/a/", "/a"), ("//a//b/", "/a/b"), (".", "/"), ("a", "a")]
)
def test_paths_of_regions(text: str, path: str) -> None:
    """A slash more or less is the same region; a volume's is the root."""
    assert region_path(text) == path


def test_volume_for_a_shell(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """``--envar-output`` is what a shell can evaluate, alone on standard output."""
    told = _told(capsys, "create-volume", "./src", "--encrypted", "./vol", "--envar-output")
    assert re.fullmatch(f"export VOLUME_KEY={_KEY}\nexport VOLUME_TAG={_TAG}\n", told)
    (tmp_path / "set.sh").write_text(told)
    values = subprocess.run(
        ["/bin/sh", "-c", '. ./set.sh; echo "$VOLUME_KEY $VOLUME_TAG"'], capture_output=True, text=True, check=True
    ).stdout.split()
    key, tag = FspfKey.from_hex(values[0]), FspfTag.from_hex(values[1])
    extract_volume(tmp_path / "vol", key, tag, tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "b").read_bytes() == (tmp_path / "src" / "sub" / "b").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [["-e", "src", "vol"], ["src", "-e", "vol"], ["src", "vol", "-e"], ["-e", "-c", "4096", "src", "-k", "16", "vol"]],
)
def test_volume_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: Sequence[str]) -> None:
    """Tag and key are the words 9 and 11, as those of encrypt; arguments come in any order."""
    told = _told(capsys, "create-volume", *arguments)
    assert re.fullmatch(f"Created file system protection file vol/volume.fspf AES-GCM tag: {_TAG} key: {_KEY}\n", told)
    key, tag = FspfKey.from_hex(told.split()[10]), FspfTag.from_hex(told.split()[8])
    with Volume.open(tmp_path / "vol", key, tag, writable=False) as volume:
        small = "-k" in arguments
        assert (volume.region.chunk_bytes, volume.region.key_bytes) == ((4096, 16) if small else (65536, 32))


@pytest.mark.parametrize("kind", ["-e", "-a"])
def test_new_directory_becomes_an_empty_volume(capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str) -> None:
    """A path that does not exist, or is empty, becomes an empty volume."""
    (tmp_path / "empty").mkdir()
    for place in ("new", "empty"):
        key = FspfKey.from_hex(_told(capsys, "create-volume", kind, place).split()[10])
        with Volume.open(tmp_path / place, key, None, writable=False) as volume:
            assert list(volume.names.entries(volume.root)) == []


def test_authenticated_volume_stays_in_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its files are left as they are; it can be made anew, of what is there then."""
    before = (tmp_path / "src" / "sub" / "b").read_bytes()
    _scone("create-volume", "--authenticated", "src")
    assert (tmp_path / "src" / "sub" / "b").read_bytes() == before
    assert "holds a volume already" in _refused(capsys, "create-volume", "-a", "src")
    (tmp_path / "src" / "more").write_text("more")
    key = _told(capsys, "create-volume", "-a", "src", "-f").split()[10]
    files = json.loads(_told(capsys, "show", "src", key, "--json"))["regions"][0]["files"]
    assert [file["path"] for file in files] == ["/a.py", "/link", "/more", "/sub", "/sub/b"]


def test_written_volume_is_not_made_anew_in_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Once an application has written, the files on the disk are not what they look like."""
    key = FspfKey.from_hex(_told(capsys, "create-volume", "-a", "src").split()[10])
    with Volume.open(tmp_path / "src", key, None) as volume:
        volume.names.make(volume.root, b"new", 0o100600)
        volume.commit()
    assert "was written to (commit 2)" in _refused(capsys, "create-volume", "-a", "src", "-f")


def test_force_removes_a_former_volume_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The output's former volume goes; other files, and the source, never."""
    _scone("create-volume", "-e", "src", "vol")
    first = (tmp_path / "vol" / "a.py").read_bytes()
    assert "holds a volume already" in _refused(capsys, "create-volume", "-e", "src", "vol")
    told = _told(capsys, "create-volume", "-e", "src", "vol", "--force")
    key, tag = FspfKey.from_hex(told.split()[10]), FspfTag.from_hex(told.split()[8])
    assert (tmp_path / "vol" / "a.py").read_bytes() != first
    assert sorted(path.name for path in (tmp_path / "vol").iterdir()) == ["a.py", "sub", "volume.fspf"]
    extract_volume(tmp_path / "vol", key, tag, tmp_path / "back")
    assert (tmp_path / "src" / "a.py").read_text().startswith("print")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.py").write_text("mine")
    assert "plain/a.py" in _refused(capsys, "create-volume", "-e", "-f", "src", "plain")
    assert (tmp_path / "plain" / "a.py").read_text() == "mine"
    (tmp_path / "plain" / "volume.fspf").write_text("mine, too")
    assert "so it is not removed" in _refused(capsys, "create-volume", "-e", "-f", "src", "plain")


def test_force_spares_what_holds_the_source(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory above the content, or above where the user is, is not emptied."""
    _scone("create-volume", "-e", "vol")
    (tmp_path / "vol" / "content").mkdir()
    (tmp_path / "vol" / "content" / "f").write_text("x")
    assert "is not emptied" in _refused(capsys, "create-volume", "-e", "-f", "vol/content", "vol")
    monkeypatch.chdir(tmp_path / "vol")
    assert "is not emptied" in _refused(capsys, "create-volume", "-e", "-f", "../src", str(tmp_path / "vol"))
    assert (tmp_path / "vol" / "content" / "f").exists()


def test_volume_by_hand(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Scripts that make ``volume.fspf`` with the region ``.`` get a volume."""
    (tmp_path / "vol").mkdir()
    os.chdir("vol")
    _scone("create", "volume.fspf")
    _scone("addr", "volume.fspf", ".", "--encrypted", "--kernel", ".")
    _scone("addf", "volume.fspf", ".", "../src", ".")
    words = _told(capsys, "encrypt", "volume.fspf").split()
    extract_volume(tmp_path / "vol", FspfKey.from_hex(words[10]), FspfTag.from_hex(words[8]), tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "b").read_bytes() == (tmp_path / "src" / "sub" / "b").read_bytes()


def _volume(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    words = _told(capsys, "create-volume", "-e", "src", "vol").split()
    return words[10], words[8]


def test_check_of_a_whole_volume(capsys: pytest.CaptureFixture[str]) -> None:
    """States, regions and the result are told, and the exit code is 0."""
    key, tag = _volume(capsys)
    told = _told(capsys, "check", "vol", key, "--tag", tag).splitlines()
    assert told == [
        "file     vol/volume.fspf",
        f"state    {tag}  commit 1  authentic, expected, checked here",
        f"region   /  {os.getcwd()}/vol",  # noqa: PTH109
        "read     5 entries, 100150 bytes of files",
        "result   whole",
    ]


def test_check_of_a_damaged_volume(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """File, bytes, ciphertext and state are told, also as JSON; the exit code is that of damage."""
    key, tag = _volume(capsys)
    data = bytearray((tmp_path / "vol" / "sub" / "b").read_bytes())
    data[70_000] ^= 1
    (tmp_path / "vol" / "sub" / "b").write_bytes(bytes(data))
    (tmp_path / "vol" / "strange").write_text("x")
    _scone("check", "vol", key, code=IntegrityError.exit_code)
    told = capsys.readouterr()
    assert (
        "damaged  /sub/b (sub/b on the disk): bytes 65536 to 99999: sealed data is not authentic, "
        f"in state {tag}" in told.out.splitlines()
    )
    assert "unused   strange  1 bytes, region /" in told.out.splitlines()
    assert told.out.endswith("result   damaged\n")
    assert "Error: vol/volume.fspf is damaged in state" in told.err
    _scone("check", "vol", key, "--json", "--extract", "out", code=IntegrityError.exit_code)
    document = json.loads(capsys.readouterr().out)
    assert (document["whole"], document["rollback"], document["tag"]) == (False, False, tag)
    assert document["damaged"] == [
        {
            "path": "/sub/b",
            "inode": document["damaged"][0]["inode"],
            "ciphertext": "sub/b",
            "ranges": [[65536, 99999]],
            "reasons": ["sealed data is not authentic"],
        }
    ]
    assert (document["extracted"], document["extracted_in_part"]) == (2, ["sub/b.damaged"])
    assert (tmp_path / "out" / "a.py").read_bytes() == (tmp_path / "src" / "a.py").read_bytes()


def test_check_names_a_rollback(capsys: pytest.CaptureFixture[str]) -> None:
    """A state that is authentic and not the expected one has an exit code of its own."""
    key, tag = _volume(capsys)
    _scone("check", "vol", key, "--tag", "00" * 16, code=RollbackError.exit_code)
    told = capsys.readouterr()
    assert f"rollback the expected state {'00' * 16} is not there" in told.out.splitlines()
    assert told.out.endswith("result   whole, and rolled back\n")
    assert f"is in state {tag}, expected state {'00' * 16}: it was rolled back" in told.err


def test_check_removes_what_is_left_over(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What is removed is told, and nothing else goes."""
    key, _ = _volume(capsys)
    (tmp_path / "vol" / "sub" / "strange").write_text("x")
    told = _told(capsys, "check", "vol", key, "--remove-unreferenced")
    assert "removed  sub/strange  1 bytes, region /" in told.splitlines()
    assert not (tmp_path / "vol" / "sub" / "strange").exists()
    assert "removed" not in _told(capsys, "check", "vol", key, "--remove-unreferenced")


def test_check_finds_regions(capsys: pytest.CaptureFixture[str]) -> None:
    """Files of a region that are not where the application will see them are found by --region."""
    _scone("create", "F")
    _scone("addr", "F", "/app", "-e", "--kernel", "/absent/app")
    _scone("addf", "F", "/app", "src", "out")
    key = _told(capsys, "encrypt", "F").split()[10]
    assert "--region /app=DIR" in _refused(capsys, "check", "F", key)
    assert "result   whole" in _told(capsys, "check", "F", key, "--region", "/app=out")
    assert "is not a directory" in _refused(capsys, "check", "F", key, "--region", "/app=absent")
    assert "--region is NAME=VALUE" in _refused(capsys, "check", "F", key, "--region", "out")


def test_import_of_a_volume(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A volume that SCONE made becomes one of ours; tag and key are the words 9 and 11."""
    (tmp_path / "old").mkdir()
    sample = Sample(tmp_path / "old" / "volume.fspf", {".": tmp_path / "old"})
    sample.add(".", ENCRYPTED, ".", {"sub/f": b"x" * 10_000})
    sample.write()
    tag = _told(capsys, "show", "-t", "old").strip()
    told = _told(capsys, "import", "old", "new", sample.key.reveal_hex(), "--tag", tag)
    assert re.fullmatch(
        f"Imported file system protection file new/volume.fspf AES-GCM tag: {_TAG} key: {_KEY}\n", told
    )
    assert "/sub/f  sub/f" in _told(capsys, "show", "new", told.split()[10])
    assert "result   whole" in _told(capsys, "check", "new", told.split()[10], "--tag", told.split()[8])


def test_import_of_regions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Directories of regions are given by options; the one for ciphertext is made."""
    for name in ("usr", "app"):
        (tmp_path / name).mkdir()
    sample = Sample(tmp_path / "old.pb", {"/usr": tmp_path / "usr", "/app": tmp_path / "app"})
    sample.add("/usr", AUTHENTICATED, "/usr/absent", {"f": b"x" * 10_000})
    sample.add("/app", ENCRYPTED, "/app/absent", {"g": b"x" * 10_000})
    sample.write()
    key = sample.key.reveal_hex()
    assert "--region /usr=DIR" in _refused(capsys, "import", "old.pb", "new.pb", key)
    where = ["--region", "/usr=usr", "--region", "/app=app"]
    assert "--output /app=DIR" in _refused(capsys, "import", "old.pb", "new.pb", key, *where)
    told = _told(capsys, "import", *where, "old.pb", "--output", "/app=new/app", "new.pb", key)
    assert "/usr/f  f" in _told(capsys, "show", "new.pb", told.split()[10])
    assert (tmp_path / "new" / "app" / "g").stat().st_size == 10_000
