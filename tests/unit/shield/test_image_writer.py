"""Making file-system images, and unpacking them: what goes in comes out, and nothing else does."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bannock.cli import scone
from bannock.errors import BannockError, EnvironmentFault, InputError, IntegrityError
from bannock.runtime.image_root import _unpack_image
from bannock.runtime.images import OpenImage
from bannock.shield.image_writer import plan_image, write_image

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.identity.image import Contents

_PROGRAM: Final = b"print('hello')\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a directory as an image of a container has it."""
    root = tmp_path / "source"
    for name, content in {
        "usr/lib/python3.11/os.py": b"os",
        "usr/lib/python3.11/encodings/utf_8.py": b"utf-8",
        "usr/lib/libz.so.1.2": b"libz",
        "python/print_env.py": _PROGRAM,
        "etc/hosts": b"127.0.0.1 here",
        "größe": b"",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "python/print_env.py").chmod(0o4755)
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/lib/libz.so.1").symlink_to("libz.so.1.2")
    (root / "inside").symlink_to(root / "python")
    (root / "empty").mkdir()
    os.mkfifo(root / "pipe")
    return root


def _made(source: Path, target: Path, **options: Any) -> Contents:
    plan = plan_image(source, **options)
    write_image(plan, target)
    return plan.contents


def _unpacked(image: Path, target: Path) -> Path:
    opened = OpenImage.open(str(image))
    try:
        target.mkdir()
        _unpack_image(opened, target)
    finally:
        os.close(opened.descriptor)
    return target


def _listing(root: Path) -> dict[str, tuple[int, bytes]]:
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            found[str(path.relative_to(root))] = (0o777, os.fsencode(path.readlink()))
        elif path.is_file():
            found[str(path.relative_to(root))] = (status.st_mode & 0o7777, path.read_bytes())
    return found


def test_what_goes_in_comes_out(source: Path, tmp_path: Path) -> None:
    """Files with their permission bits, but for those that give rights; links; no empty directories and no pipes."""
    contents = _made(source, tmp_path / "fs.so", host_paths=["/etc/hosts", "/etc/resolv.conf"])
    assert contents.host_paths == ("/etc/hosts", "/etc/resolv.conf")
    found = _listing(_unpacked(tmp_path / "fs.so", tmp_path / "target"))
    assert found == {
        "größe": (0o644, b""),
        "inside": (0o777, b"/python"),
        "lib": (0o777, b"usr/lib"),
        "python/print_env.py": (0o755, _PROGRAM),
        "usr/lib/libz.so.1": (0o777, b"libz.so.1.2"),
        "usr/lib/libz.so.1.2": (0o644, b"libz"),
        "usr/lib/python3.11/encodings/utf_8.py": (0o644, b"utf-8"),
        "usr/lib/python3.11/os.py": (0o644, b"os"),
    }
    assert plan_image(source).left_out == ("/pipe",)


def test_bytes_follow_from_the_content(source: Path, tmp_path: Path) -> None:
    """A copy made later, in another order, is the same image; times are kept only where that is asked for."""
    other = tmp_path / "other"
    shutil.copytree(source / "usr", other / "usr", symlinks=True)
    for name in ("größe", "python", "etc", "lib"):
        subprocess.run(["/bin/cp", "-r", source / name, other], check=True)
    (other / "inside").symlink_to(other / "python")
    (other / "python/print_env.py").chmod(0o755)
    os.utime(other / "größe", (1, 1))
    images = []
    for number, root in enumerate((source, other)):
        target = tmp_path / f"{number}.so"
        _made(root, target)
        images.append(target.read_bytes())
    assert images[0] == images[1]
    timed = _made(other, tmp_path / "timed.so", keep_times=True)
    assert timed.files["/größe"].changed == 1
    assert _unpacked(tmp_path / "timed.so", tmp_path / "timed").joinpath("größe").stat().st_mtime == 1


def test_others_read_it(source: Path, tmp_path: Path) -> None:
    """It is a ZIP archive in which everything can be looked at."""
    _made(source, tmp_path / "fs.so")
    with zipfile.ZipFile(tmp_path / "fs.so") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert archive.read("root/python/print_env.py") == _PROGRAM
        assert archive.getinfo("root/lib").external_attr >> 16 == 0o120777
    assert names[0] == "binary-fs.json"


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        (["/usr/lib/python3.11/*"], {"/usr/lib/python3.11/os.py", "/usr/lib/python3.11/encodings/utf_8.py"}),
        (["/python/print_env.py"], {"/python/print_env.py"}),
        (["/lib/libz.so.1*"], {"/lib", "/usr/lib/libz.so.1", "/usr/lib/libz.so.1.2"}),
        (["/inside/*"], {"/inside", "/python/print_env.py"}),
        (["*.py"], {"/usr/lib/python3.11/os.py", "/usr/lib/python3.11/encodings/utf_8.py", "/python/print_env.py"}),
        (["/nothing/*", "/gr*"], {"/größe"}),
    ],
)
def test_patterns(source: Path, patterns: list[str], taken: set[str]) -> None:
    """A star goes over slashes; a pattern through a link takes the link as well."""
    # A container's own links say where they lead in the container.
    (source / "inside").unlink()
    (source / "inside").symlink_to("/python")
    plan = plan_image(source, include=patterns)
    assert {*plan.contents.files, *plan.contents.links} == taken
    assert plan.unused == tuple(pattern for pattern in patterns if pattern.startswith("/nothing"))


def test_links_may_stay_as_they_are(source: Path) -> None:
    """In the words of the reference: they are adapted, unless they are to be preserved."""
    assert plan_image(source).contents.links["/inside"] == "/python"
    assert plan_image(source, preserve_links=True).contents.links["/inside"] == str(source / "python")


def test_image_is_not_in_itself(source: Path) -> None:
    """Also where it is written to the directory that it is of."""
    target = source / "fs.so"
    _made(source, target)
    assert "/fs.so" not in plan_image(source, without=target).contents.files
    assert "/fs.so" in plan_image(source).contents.files


def test_a_file_that_changes_meanwhile_is_told(source: Path, tmp_path: Path) -> None:
    """Nothing is written then."""
    plan = plan_image(source)
    (source / "python/print_env.py").write_bytes(b"print('other')\n")
    with pytest.raises(InputError, match=r"print_env\.py changed"):
        write_image(plan, tmp_path / "fs.so")
    assert not (tmp_path / "fs.so").exists()


def test_what_is_no_directory_and_no_path(source: Path) -> None:
    """Is told before anything is read."""
    with pytest.raises(InputError, match="is not a directory"):
        plan_image(source / "größe")
    with pytest.raises(InputError, match="--host-path is an absolute path"):
        plan_image(source, host_paths=["etc/hosts"])
    (source / os.fsdecode(b"\xff")).touch()
    with pytest.raises(InputError, match="not UTF-8"):
        plan_image(source)


@pytest.mark.parametrize("content", [b"print('evil!')\n", b"print('hello')", b"print('hello')\n#", b""])
def test_other_content_is_refused(source: Path, tmp_path: Path, content: bytes) -> None:
    """What is behind an unchanged list is compared with it: same length, shorter, longer, empty."""
    plan = plan_image(source)
    honest, forged = tmp_path / "honest.so", tmp_path / "forged.so"
    write_image(plan, honest)
    with zipfile.ZipFile(honest) as old, zipfile.ZipFile(forged, "w") as new:
        for info in old.infolist():
            new.writestr(info, content if info.filename.endswith("print_env.py") else old.read(info))
    assert OpenImage.open(str(forged)).contents == plan.contents
    with pytest.raises(IntegrityError, match=f"/python/print_env.py in {forged} is not what was measured"):
        _unpacked(forged, tmp_path / "target")


def test_what_is_missing_is_refused(source: Path, tmp_path: Path) -> None:
    """A member that is listed and not there, and an archive that ends early."""
    plan = plan_image(source)
    image = tmp_path / "fs.so"
    write_image(plan, image)
    data = image.read_bytes()
    with zipfile.ZipFile(tmp_path / "less.so", "w") as archive:
        archive.writestr(zipfile.ZipInfo("binary-fs.json", (1980, 1, 1, 0, 0, 0)), plan.contents.to_json())
    with pytest.raises(IntegrityError, match=r"in .*less\.so is not what was measured"):
        _unpacked(tmp_path / "less.so", tmp_path / "a")
    image.write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match=r"fs\.so is not what was measured"):
        _unpacked(image, tmp_path / "b")


def test_other_files_are_no_images(source: Path) -> None:
    """A directory, a pipe, what is missing, and a file of another kind."""
    for path, told in (
        (source, "not a regular file"),
        (source / "pipe", "not a regular file"),
        (source / "missing", "cannot read"),
        (source / "python/print_env.py", "no file-system image"),
    ):
        with pytest.raises(InputError, match=told):
            OpenImage.open(str(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0), change=st.binary(min_size=1, max_size=8))
def test_whatever_is_changed_is_seen_or_means_nothing(source: Path, tmp_path: Path, at: int, change: bytes) -> None:
    """Any change of the archive is refused with an error of ours, or what is unpacked is what the list says."""
    image = tmp_path / "fs.so"
    if not image.exists():
        _made(source, image)
    data = bytearray(image.read_bytes())
    at %= len(data)
    data[at : at + len(change)] = change
    changed, target = tmp_path / "changed.so", tmp_path / "target"
    changed.write_bytes(data)
    shutil.rmtree(target, ignore_errors=True)
    try:
        _unpacked(changed, target)
    except BannockError:
        return
    contents = OpenImage.open(str(changed)).contents
    for path, file in contents.files.items():
        assert hashlib.sha256((target / path[1:]).read_bytes()).digest() == file.digest


def test_later_images_come_over_earlier_ones(source: Path, tmp_path: Path) -> None:
    """A file over a link and a link over a file; a directory stays one."""
    more = tmp_path / "more"
    (more / "lib").mkdir(parents=True)
    (more / "lib" / "new.so").write_bytes(b"new")
    (more / "größe").symlink_to("python")
    (more / "inside").write_bytes(b"a file")
    target = tmp_path / "target"
    target.mkdir()
    for number, root in enumerate((source, more)):
        _made(root, tmp_path / f"{number}.so")
        _unpack_image(OpenImage.open(str(tmp_path / f"{number}.so")), target)
    found = _listing(target)
    assert found["lib/new.so"] == (0o644, b"new")
    assert found["größe"] == (0o777, b"python")
    assert found["inside"] == (0o644, b"a file")
    assert found["usr/lib/libz.so.1.2"] == (0o644, b"libz")
    (more / "python").write_bytes(b"a file where a directory is")
    _made(more, tmp_path / "2.so")
    with pytest.raises(EnvironmentFault, match="'python' where another image has a directory"):
        _unpack_image(OpenImage.open(str(tmp_path / "2.so")), target)


def test_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One word or two; into a directory or a file; it says what to do with the image."""
    directory = tmp_path / "binary-fs-dir"
    directory.mkdir()
    options = ["-v", "--include", "/python/*", "--host-path=/etc/hosts"]
    assert scone.main(["binaryfs", str(source), str(directory), *options]) == 0
    told = capsys.readouterr()
    image = directory / "libbinary-fs.so"
    assert told.out.splitlines() == [
        "/python/print_env.py 15",
        "/etc/hosts (the host's)",
        f"{image}: 1 files with 15 bytes, 0 links",
        f"export SCONE_EXTENSIONS_PATH={image}",
    ]
    named = tmp_path / "named.so"
    options = ["-i", "/python/*", "-i", "/none", "-h", "/etc/hosts"]
    assert scone.main(["binary-fs", *options, str(source), str(named)]) == 0
    assert named.read_bytes() == image.read_bytes()
    assert "Warning: --include /none matches nothing" in capsys.readouterr().err


def test_contents_are_as_they_are_planned(source: Path) -> None:
    """A plan can be compared with another one, before anything is written."""
    plan = plan_image(source)
    assert plan_image(source) == plan
    assert replace(plan, unused=("x",)) != plan
