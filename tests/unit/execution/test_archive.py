"""Directories as streams: what is written comes back, and nothing else is read."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import BannockError, InputError, IntegrityError
from bannock.execution.transfer.archive import Archive, Limits, unpack

if TYPE_CHECKING:
    from pathlib import Path

_LONG = "long " * 40


def _tree(root: Path) -> Path:
    root.mkdir()
    (root / "volume.fspf").write_bytes(os.urandom(4096))
    (root / "empty").touch()
    (root / "a.b").write_bytes(b"1")
    (root / "a").mkdir()
    (root / "a/c").write_bytes(b"22" * 300)
    (root / "a" / _LONG).mkdir()
    (root / "a" / _LONG / ("文件 🥐\n" * 12)).write_bytes(b"unicode")
    (root / "empty directory").mkdir()
    return root


def _stream(source: Path) -> bytes:
    return b"".join(Archive(source))


def _content(root: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


def _hostile(*members: tarfile.TarInfo) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    stream.seek(0)
    return stream


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, size
    member.mode = 0o700 if kind == tarfile.DIRTYPE else 0o600
    return member


def test_directory_comes_back(tmp_path: Path) -> None:
    """Files, directories, long and odd names come back, and are their owner's alone."""
    source = _tree(tmp_path / "source")
    unpack(io.BytesIO(_stream(source)), tmp_path / "target")
    assert _content(tmp_path / "target") == _content(source)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "target").rglob("*")}
    assert modes == {0o600, 0o700}


def test_size_is_known_before(tmp_path: Path) -> None:
    """The stream is as long as it says, and the same each time."""
    archive = Archive(_tree(tmp_path / "source"))
    assert len(b"".join(archive)) == archive.size
    assert b"".join(archive) == b"".join(archive)


def test_tar_reads_it(tmp_path: Path) -> None:
    """What is written is GNU tar."""
    source = _tree(tmp_path / "source")
    with tarfile.open(fileobj=io.BytesIO(_stream(source))) as archive:
        assert sorted(archive.getnames()) == sorted(_content(source))


def test_large_files_have_large_sizes(tmp_path: Path) -> None:
    """A file of 8 GiB or more is written in the form of GNU (only its beginning is read here)."""
    (tmp_path / "source").mkdir()
    with (tmp_path / "source" / "large").open("wb") as file:
        file.truncate(9 << 30)
    archive = Archive(tmp_path / "source")
    assert archive.size == (9 << 30) + 3 * 512
    header = next(iter(archive))
    with pytest.raises(IntegrityError, match="cut in the middle of 'large'"):
        unpack(io.BytesIO(header), tmp_path / "target")


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc"), os.mkfifo], ids=["link", "pipe"])
def test_only_files_and_directories_are_sent(tmp_path: Path, make: object) -> None:
    """Anything else in a directory is refused by its name."""
    assert callable(make)
    make(tmp_path / "odd")
    with pytest.raises(InputError, match="'odd' cannot be sent"):
        Archive(tmp_path)


@pytest.mark.parametrize(
    "members",
    [
        [_member("../out")],
        [_member("/out")],
        [_member("a/../../out")],
        [_member(".")],
        [_member("a", tarfile.DIRTYPE), _member("a//b")],
        [_member("a/b")],
        [_member("link", tarfile.SYMTYPE, "/etc")],
        [_member("link", tarfile.LNKTYPE, "/etc/passwd")],
        [_member("pipe", tarfile.FIFOTYPE)],
        [_member("device", tarfile.CHRTYPE)],
        [_member("a", tarfile.SYMTYPE, "/etc"), _member("a/b")],
        [_member("twice"), _member("twice")],
        [_member("a"), _member("a/b")],
        [_member("a"), _member("a", tarfile.DIRTYPE)],
        [_member("a\0b")],
        [_member("name" * 2000)],
    ],
    ids=lambda members: members[-1].name[:20] + str(len(members)),
)
def test_hostile_archives_are_refused(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    """No entry leads out of the target, makes a link or a device, or comes twice."""
    (tmp_path / "inside").mkdir()
    with pytest.raises(IntegrityError):
        unpack(_hostile(*members), tmp_path / "inside" / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_target_has_to_be_new(tmp_path: Path) -> None:
    """Nothing is unpacked over what is there, not even over a link."""
    source = _tree(tmp_path / "source")
    (tmp_path / "target").symlink_to(tmp_path)
    with pytest.raises(BannockError, match="File exists"):
        unpack(io.BytesIO(_stream(source)), tmp_path / "target")


@pytest.mark.parametrize("limits", [Limits(entries=3), Limits(bytes=1000)])
def test_limits(tmp_path: Path, limits: Limits) -> None:
    """An archive over a limit is refused before what is over is written."""
    with pytest.raises(IntegrityError, match="more than"):
        unpack(io.BytesIO(_stream(_tree(tmp_path / "source"))), tmp_path / "target", limits=limits)
    assert sum(path.stat().st_size for path in (tmp_path / "target").rglob("*") if path.is_file()) <= limits.bytes


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    """A stream that ends early is refused, wherever it ends."""
    stream = _stream(_tree(tmp_path / "source"))
    for length in (*range(0, len(stream), 256), len(stream) - 1):
        with pytest.raises(IntegrityError):
            unpack(io.BytesIO(stream[:length]), tmp_path / f"target{length}")


def test_nothing_may_follow(tmp_path: Path) -> None:
    """Bytes behind the end are refused."""
    with pytest.raises(IntegrityError, match="does not end"):
        unpack(io.BytesIO(_stream(_tree(tmp_path / "source")) + b"\0"), tmp_path / "target")


def test_headers_have_one_form(tmp_path: Path) -> None:
    """Any bit flipped in a header or in padding is refused; one in content goes to whoever checks content."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "name").write_bytes(b"content")
    stream = _stream(source)
    # At least one bit of each byte.
    for bit in range(0, 8 * len(stream), 7):
        if 512 <= bit // 8 < 519:
            continue
        changed = bytearray(stream)
        changed[bit // 8] ^= 1 << bit % 8
        if 0 <= bit // 8 < 4:
            # Another name would be another archive, were the checksum right.
            assert changed[:4] != b"name"
        with pytest.raises(IntegrityError):
            unpack(io.BytesIO(bytes(changed)), tmp_path / f"target{bit}")


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=2048))
def test_arbitrary_bytes_raise_our_errors_alone(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever comes, the answer is one of ours."""
    with pytest.raises(IntegrityError):
        unpack(io.BytesIO(data), tmp_path_factory.mktemp("fuzz") / "target")
