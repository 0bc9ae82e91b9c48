"""Applications that run with the regions of a main protection file, by FUSE and in memory, without a CAS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError
from bannock.shield.fspf import Fspf, encrypt_fspf, newest_tag
from bannock.shield.image_writer import plan_image, write_image
from bannock.shield.pack import add_files
from bannock.shield.regions import Protection, Region

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.values import FspfKey

NONE, AUTHENTICATED, ENCRYPTED = Protection
BUSYBOX = "/bin/sh"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="the application's root is made of the host's, by root"),
]
HOW = [pytest.param("fuse", marks=pytest.mark.fuse), "memory"]


@dataclass
class Case:
    """A protection file with its key, and the directory in which regions have their files."""

    base: Path
    key: FspfKey
    mount: str

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script in the newest state."""
        environment = {
            "PATH": os.defpath,
            "SCONE_FSPF": str(self.base / "fspf.pb"),
            "SCONE_FSPF_KEY": self.key.reveal_hex(),
            "SCONE_FSPF_TAG": str(newest_tag(self.base / "fspf.pb")),
            **variables,
        }
        command = [
            sys.executable,
            "-m",
            "bannock.cli.bannock",
            "run",
            "--mount",
            self.mount,
            "--",
            BUSYBOX,
            "-c",
            script,
        ]
        return subprocess.run(
            command, env=environment, cwd=self.base, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Case]:
    """Give a maker of protection files: regions, and which tree goes into which of them."""

    def made(mount: str, regions: list[Region], files: dict[str, tuple[Path, Path | None]]) -> Case:
        path = tmp_path / "fspf.pb"
        Fspf.create(path)
        with Fspf.open(path) as fspf:
            for region in regions:
                fspf.add_region(region)
            fspf.commit()
            for region_path, (source, directory) in files.items():
                add_files(fspf.open_region(region_path, directory), source)
            fspf.commit()
        _, key = encrypt_fspf(path)
        return Case(tmp_path, key, mount)

    return made


def _root(tmp_path: Path) -> Path:
    """Collect what a shell needs: a small root, as somebody would take it from an image."""
    root = tmp_path / "root"
    shell = os.path.realpath(BUSYBOX)
    listed = subprocess.run(["/usr/bin/ldd", shell], capture_output=True, text=True, check=True).stdout.split()
    for name in {shell, *(word for word in listed if word.startswith("/"))}:
        target = root / os.path.realpath(name).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, target)
    for link in ("/bin", "/lib", "/lib64"):
        if Path(link).is_symlink():
            (root / link.lstrip("/")).symlink_to(Path(link).readlink())
    (root / "etc").mkdir()
    (root / "etc" / "settings").write_text("of the image\n")
    return root


@pytest.mark.parametrize("mount", HOW)
def test_all_six_classes(make: Callable[..., Case], tmp_path: Path, mount: str) -> None:
    """Kernel regions are kept, as ciphertext or in clear; ephemeral ones are empty at each start and leave nothing."""
    regions = [
        Region(path="/", protection=NONE, kernel="/"),
        Region(path="/r/encrypted", protection=ENCRYPTED, kernel=str(tmp_path / "encrypted")),
        Region(path="/r/authenticated", protection=AUTHENTICATED, kernel=str(tmp_path / "authenticated")),
        Region(path="/r/plain", protection=NONE, kernel=str(tmp_path / "plain")),
        Region(path="/r/memory", protection=NONE, kernel=None),
        Region(path="/r/sealed", protection=ENCRYPTED, kernel=None),
        Region(path="/r/checked", protection=AUTHENTICATED, kernel=None),
    ]
    for region in regions[1:4]:
        Path(region.kernel or "").mkdir()
    case = make(mount, regions, {})
    done = case.run("for d in /r/*; do ls $d; echo hello > $d/file; cat $d/file; done")
    assert (done.returncode, done.stdout) == (0, "hello\n" * 6), done.stderr
    assert "nothing is attested" in done.stderr
    assert (tmp_path / "encrypted" / "file").stat().st_size == 6
    assert b"hello" not in (tmp_path / "encrypted" / "file").read_bytes()
    assert (tmp_path / "authenticated" / "file").read_text() == "hello\n"
    assert (tmp_path / "plain" / "file").read_text() == "hello\n"
    done = case.run("cd /r; echo */file; cat */file")
    assert done.stdout == "authenticated/file encrypted/file plain/file\n" + "hello\n" * 3
    assert not Path("/r").exists()


@pytest.mark.parametrize("mount", HOW)
def test_nested_regions(make: Callable[..., Case], tmp_path: Path, mount: str) -> None:
    """The longest path decides, whatever the region above it is."""
    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
    regions = [
        Region(path="/", protection=NONE, kernel="/"),
        Region(path="/r", protection=ENCRYPTED, kernel=str(tmp_path / "outer")),
        Region(path="/r/deep/er", protection=AUTHENTICATED, kernel=str(tmp_path / "inner")),
        Region(path="/r/deep/er/still", protection=NONE, kernel=None),
    ]
    case = make(mount, regions, {})
    done = case.run("cd /r; echo a > a; echo b > deep/b; echo c > deep/er/c; echo d > deep/er/still/d; ls deep")
    assert (done.returncode, done.stdout) == (0, "b\ner\n"), done.stderr
    assert (tmp_path / "inner" / "c").read_text() == "c\n"
    assert (tmp_path / "outer" / "deep" / "b").read_bytes() != b"b\n"
    done = case.run("cat /r/a /r/deep/b /r/deep/er/c; ls /r/deep/er/still")
    assert (done.returncode, done.stdout) == (0, "a\nb\nc\n"), done.stderr


@pytest.mark.parametrize("mount", HOW)
def test_authenticated_root(make: Callable[..., Case], tmp_path: Path, mount: str) -> None:
    """What was added is there; what the host adds is not, and what it changes is an error that names the file."""
    root = _root(tmp_path)
    regions = [Region(path="/", protection=AUTHENTICATED, kernel=str(root))]
    case = make(mount, regions, {"/": (root, None)})
    script = "read line < /etc/settings && echo $line; echo /*; echo > /dev/null && echo there"
    done = case.run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "of the image"
    assert {"/etc", "/proc", "/dev"} <= set(done.stdout.splitlines()[1].split())
    assert done.stdout.splitlines()[2] == "there"
    (root / "etc" / "new").write_text("of the host\n")
    done = case.run("ls() { echo $1/*; }; ls /etc; read line < /etc/new || echo refused")
    assert done.stdout == "/etc/ld.so.cache /etc/settings\nrefused\n"
    (root / "etc" / "settings").write_text("of the host \n")
    done = case.run("read line < /etc/settings || echo refused; echo $line")
    assert "of the host" not in done.stdout
    assert "settings" in done.stderr
    if mount == "fuse":
        assert done.stdout == "refused\n\n"
        assert "input/output error" in done.stderr
    else:
        assert done.returncode != 0


@pytest.mark.fuse
def test_root_changes_only_where_that_is_asked_for(make: Callable[..., Case], tmp_path: Path) -> None:
    """The region / is read-only, unless SCONE_FSPF_MUTABLE is set; then what is written has a state of its own."""
    root = _root(tmp_path)
    (tmp_path / "data").mkdir()
    regions = [
        Region(path="/", protection=AUTHENTICATED, kernel=str(root)),
        Region(path="/data", protection=ENCRYPTED, kernel=str(tmp_path / "data")),
    ]
    case = make("fuse", regions, {"/": (root, None)})
    done = case.run("echo x > /etc/mine || echo read-only; echo y > /data/file && read l < /data/file && echo $l")
    assert done.stdout == "read-only\ny\n", done.stderr
    before = newest_tag(tmp_path / "fspf.pb")
    done = case.run("echo x > /etc/mine && read l < /etc/mine && echo $l", SCONE_FSPF_MUTABLE="1")
    assert (done.returncode, done.stdout) == (0, "x\n"), done.stderr
    assert newest_tag(tmp_path / "fspf.pb") != before
    done = case.run("read l < /etc/mine && echo $l; read l < /data/file && echo $l")
    assert done.stdout == "x\ny\n"
    assert (root / "etc" / "mine").read_text() == "x\n"


@pytest.mark.parametrize("mount", HOW)
@pytest.mark.parametrize("protection", [NONE, ENCRYPTED])
def test_ephemeral_root(make: Callable[..., Case], mount: str, protection: Protection) -> None:
    """Nothing of the host is in it but what the kernel makes up and what was measured."""
    case = make(mount, [Region(path="/", protection=protection, kernel=None)], {})
    done = case.run("echo /* /etc/*; echo x > /file; read l < /file; echo $l; pwd")
    assert done.returncode == 0, done.stderr
    names = set(done.stdout.splitlines()[0].split())
    assert {"/dev", "/proc"} <= names
    assert not {"/home", "/root", "/etc/passwd", "/var"} & names
    assert done.stdout.splitlines()[1:] == ["x", "/"]
    assert not Path("/file").exists()


def test_state_is_the_expected_one_or_none(make: Callable[..., Case], tmp_path: Path) -> None:
    """A wrong key, another state, a region without a root: refused before the application starts."""
    (tmp_path / "data").mkdir()
    regions = [Region(path="/data", protection=ENCRYPTED, kernel=str(tmp_path / "data"))]
    case = make("memory", regions, {})
    done = case.run("echo started", SCONE_FSPF_TAG="0" * 32)
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert "expected state 0000" in done.stderr
    done = case.run("echo started", SCONE_FSPF_KEY="0" * 64)
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert "not authentic" in done.stderr
    done = case.run("echo started", SCONE_FSPF="missing")
    assert "no file" in done.stderr
    with Fspf.open(tmp_path / "fspf.pb", case.key) as fspf:
        fspf.add_region(Region(path="/more", protection=NONE, kernel=None))
        fspf.commit()
    done = case.run("echo started")
    assert "none for /" in done.stderr


@pytest.mark.parametrize("mount", HOW)
def test_image_beside_regions(make: Callable[..., Case], tmp_path: Path, mount: str) -> None:
    """An image takes the place of the host's root; regions below it are where they were, and one at / is refused."""
    (tmp_path / "source" / "etc").mkdir(parents=True)
    (tmp_path / "source" / "etc" / "settings").write_text("of the image\n")
    (tmp_path / "data").mkdir()
    image = tmp_path / "fs.so"
    write_image(plan_image(tmp_path / "source", host_paths=["/etc/hosts", "/etc/not-there"]), image)
    regions = [
        Region(path="/", protection=NONE, kernel="/"),
        Region(path="/data", protection=ENCRYPTED, kernel=str(tmp_path / "data")),
    ]
    script = "echo /*; read l < /etc/settings; echo $l; echo /etc/*; echo x > /data/kept; echo x > /etc/gone"
    for _ in range(2):
        done = make(mount, regions, {}).run(script, SCONE_EXTENSIONS_PATH=str(image))
        assert done.returncode == 0, done.stderr
        names, settings, below = done.stdout.splitlines()
        assert not {"/home", "/root", "/var"} & set(names.split())
        assert {"/data", "/dev", "/etc", "/proc", "/" + "tmp"} <= set(names.split())
        assert settings == "of the image"
        assert "/etc/gone" not in below
        assert "/etc/hosts" in below
        assert "/etc/not-there is the host's" in done.stderr
        (tmp_path / "fspf.pb").unlink()
        shutil.rmtree(tmp_path / "data")
        (tmp_path / "data").mkdir()
    case = make(mount, [Region(path="/", protection=ENCRYPTED, kernel=None)], {})
    done = case.run("echo started", SCONE_EXTENSIONS_PATH=str(image))
    assert (done.returncode, done.stdout) == (InputError.exit_code, "")
    assert "the main protection file has a region / as well" in done.stderr


def test_key_does_not_reach_the_application(make: Callable[..., Case], tmp_path: Path) -> None:
    """The environment is the host's, without what opens the protection file."""
    (tmp_path / "data").mkdir()
    case = make("memory", [Region(path="/data", protection=ENCRYPTED, kernel=str(tmp_path / "data"))], {})
    done = case.run("set; pwd", MINE="x")
    assert "MINE='x'" in done.stdout
    assert case.key.reveal_hex() not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path)
