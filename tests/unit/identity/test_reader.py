"""Reading below a root: what a process with that root would see, and nothing outside of it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.identity.reader import RootedReader

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOBODY: Final = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file, beside which there is one that must never be seen."""
    (tmp_path / "secret").write_bytes(b"outside")
    inside = tmp_path / "root"
    (inside / "lib").mkdir(parents=True)
    (inside / "lib" / "file").write_bytes(b"inside")
    return inside


def test_absolute_link_starts_at_the_root(root: Path) -> None:
    """An absolute link means a place in the root."""
    (root / "link").symlink_to("/lib/file")
    assert RootedReader(root).resolve("/link") == "/lib/file"
    assert RootedReader(root).read("/link", 2, 3) == b"sid"


def test_link_to_a_directory_is_followed(root: Path) -> None:
    """A link in the middle of a path is followed; dots are taken where they lead."""
    (root / "usr").mkdir()
    (root / "usr" / "lib").symlink_to("../lib")
    assert RootedReader(root).resolve("/usr//lib/./../lib/file") == "/lib/file"


@pytest.mark.parametrize("target", ["../secret", "../../../../secret", "/../secret", "lib/../../secret"])
def test_link_out_of_the_root_leads_nowhere(root: Path, target: str) -> None:
    """Dots stop at the root, as in a chroot."""
    (root / "link").symlink_to(target)
    assert not RootedReader(root).exists("/link")
    with pytest.raises(InputError, match="cannot read /link"):
        RootedReader(root).read("/link", 0, 10)


def test_link_to_the_machine_itself_stays_inside(root: Path) -> None:
    """A link that would be magic in /proc is a text like any other."""
    (root / "link").symlink_to("/proc/self/root/etc/passwd")
    assert not RootedReader(root).exists("/link")


def test_circle_of_links_is_refused(root: Path) -> None:
    """Links that lead to each other end in an error."""
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert not RootedReader(root).exists("/a")
    with pytest.raises(InputError, match="cannot look at /a"):
        RootedReader(root).resolve("/a")


def test_only_regular_files_are_opened(root: Path) -> None:
    """A pipe, which would block, and a directory are refused."""
    os.mkfifo(root / "pipe")
    for path in ("/pipe", "/lib"):
        with pytest.raises(InputError, match="not a regular file"):
            RootedReader(root).read(path, 0, 1)


def test_file_is_no_directory(root: Path) -> None:
    """There is nothing below a file, and nothing beside it by dots."""
    for path in ("/lib/file/x", "/lib/file/../file", "/lib/file/."):
        assert not RootedReader(root).exists(path)


def test_digest_is_of_the_whole_file(root: Path) -> None:
    """A file of several blocks has the digest and the size that it has."""
    content = os.urandom((3 << 20) + 1)
    (root / "large").write_bytes(content)
    assert RootedReader(root).digest("/large") == (hashlib.sha256(content).digest(), len(content))


def test_depth_is_bounded(root: Path) -> None:
    """A path through very many directories is refused before descriptors run out."""
    deep = root
    for _ in range(130):
        deep /= "d"
        deep.mkdir()
    with pytest.raises(InputError, match="deep"):
        RootedReader(root).resolve("/" + "/".join(["d"] * 130))


def test_what_may_not_be_looked_at_is_not_taken_for_absent() -> None:
    """A directory without the right to search it is an error, not an empty one."""
    with _as_nobody() as home:
        (home / "closed").mkdir()
        (home / "closed" / "file").touch()
        (home / "closed").chmod(0)
        with pytest.raises(InputError, match="permission denied"):
            RootedReader(home).exists("/closed/file")
        (home / "closed").chmod(0o700)


@contextmanager
def _as_nobody() -> Iterator[Path]:
    """Be a user who may not look everywhere, with a directory of its own."""
    with tempfile.TemporaryDirectory() as home:
        user = os.geteuid()
        if user == 0:
            os.chown(home, _NOBODY, -1)
            os.seteuid(_NOBODY)
        try:
            yield Path(home)
        finally:
            os.seteuid(user)


@pytest.mark.parametrize("path", ["", "lib/file", "/a\0b", "/" + "x" * 5000, "/" + "x" * 300, "/\ud800"])
def test_odd_path_raises_our_error(root: Path, path: str) -> None:
    """A path that is no path raises nothing but InputError."""
    with pytest.raises(InputError):
        RootedReader(root).resolve(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    targets=st.lists(st.text("ab./", min_size=1, max_size=12), min_size=2, max_size=2),
    path=st.text("ab./", max_size=16),
)
def test_agrees_with_the_kernel_inside_a_root(root: Path, targets: list[str], path: str) -> None:
    """Whatever the links, what is found is the file that a process in that root finds, or nothing."""
    for name, target in zip("ab", targets, strict=True):
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)
    reader = RootedReader(root)
    if reader.exists(f"/{path}"):
        found = (root / reader.resolve(f"/{path}").lstrip("/")).resolve(strict=True)
        assert found.is_relative_to(root)
