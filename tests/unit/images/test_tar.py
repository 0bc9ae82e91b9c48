"""The tar of a layer is read as every engine reads it, or not at all."""

from __future__ import annotations

import contextlib
import io
import itertools
import tarfile
from typing import TYPE_CHECKING, Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import IntegrityError
from bannock.images.tar import entries_in, normal_path
from tests.unit.images.build import item, tar

if TYPE_CHECKING:
    from collections.abc import Callable

_LONG = "deep/" * 60 + "file"
_USTAR: Final = 0
_GNU: Final = 1
_PAX: Final = 2


def _list(data: bytes) -> list[tuple[str, str]]:
    return [(entry.path, entry.kind) for entry in entries_in(io.BytesIO(data))]


def _pax(headers: dict[str, str], name: str = "a") -> bytes:
    info = item(name)
    info.pax_headers = headers
    return info.tobuf(_PAX, "utf-8", "surrogateescape") + bytes(1024)


def _changed(data: bytes, at: slice, value: bytes) -> bytes:
    """Change the first header and mend its sum."""
    header = bytearray(data[:512])
    header[at] = value.ljust(at.stop - at.start, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


@pytest.mark.parametrize("form", [_GNU, _PAX])
def test_all_kinds(form: Literal[1, 2]) -> None:
    """Entries of all kinds and long names are found in both dialects, with their bytes where they are."""
    data = tar(
        {
            "./": None,
            "./bin": None,
            "bin/sh": b"#!",
            _LONG: b"x" * 1000,
            "/etc/mtab": item("/etc/mtab", tarfile.SYMTYPE, link="../proc/mounts"),
            "bin/ash": item("bin/ash", tarfile.LNKTYPE, link="./bin/sh"),
            "dev/null": item("dev/null", tarfile.CHRTYPE),
            "run/pipe": item("run/pipe", tarfile.FIFOTYPE),
            "größe": "ß".encode(),
        },
        form,
    )

    found = {entry.path: entry for entry in entries_in(io.BytesIO(data))}

    assert [(entry.path, entry.kind) for entry in found.values()] == [
        ("", "directory"),
        ("bin", "directory"),
        ("bin/sh", "file"),
        (_LONG, "file"),
        ("etc/mtab", "symlink"),
        ("bin/ash", "hardlink"),
        ("dev/null", "device"),
        ("run/pipe", "fifo"),
        ("größe", "file"),
    ]
    assert found["etc/mtab"].link == "../proc/mounts"
    assert found["bin/ash"].link == "bin/sh"
    assert data[found[_LONG].data :][: found[_LONG].size] == b"x" * 1000
    entries = list(found.values())
    assert all(one.end == two.start for one, two in itertools.pairwise(entries))


def test_ustar_prefix() -> None:
    """A name that ustar splits in two is one."""
    name = "p" * 90 + "/" + "n" * 90
    assert _list(tar({name: b""}, _USTAR)) == [(name, "file")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/.wh.b", ("a/b", "whiteout")),
        (".wh.b", ("b", "whiteout")),
        ("a/.wh..wh..opq", ("a", "opaque")),
        (".wh..wh.plnk/12.34", (".wh..wh.plnk/12.34", "ignored")),
        ("a/.wh..wh.aufs", ("a/.wh..wh.aufs", "ignored")),
        ("a/x.wh.b", ("a/x.wh.b", "file")),
    ],
)
def test_what_takes_away(name: str, expected: tuple[str, str]) -> None:
    """Names that take something away from lower layers are told apart from files."""
    assert _list(tar({name: b""})) == [expected]


_HOSTILE: dict[str, Callable[[], bytes]] = {
    "parent directory": lambda: tar({"../etc/passwd": b""}),
    "parent directory within": lambda: tar({"a/../../etc/passwd": b""}),
    "hard link to a parent": lambda: tar({"a": item("a", tarfile.LNKTYPE, link="../../etc/shadow")}),
    "hard link to nothing": lambda: tar({"a": item("a", tarfile.FIFOTYPE), "": item("", tarfile.LNKTYPE, link="a")}),
    "link without a target": lambda: tar({"a": item("a", tarfile.SYMTYPE)}),
    "takes its parent away": lambda: tar({"a/.wh...": b""}),
    "takes itself away": lambda: tar({"a/.wh..": b""}),
    "takes nothing away": lambda: tar({"a/.wh.": b""}),
    "file called as a directory": lambda: _changed(tar({"a": b""}), slice(0, 100), b"a/"),
    "name too long": lambda: tar({"x" * 256: b""}),
    "path too long": lambda: tar({"x/" * 2100 + "y": b""}),
    "unknown kind": lambda: _changed(tar({"a": b""}), slice(156, 157), b"V"),
    "old sparse form": lambda: _changed(tar({"a": b""}), slice(156, 157), b"S"),
    "wrong sum": lambda: b"b" + tar({"a": b""})[1:],
    "size that is no number": lambda: _changed(tar({"a": b""}), slice(124, 136), b"-1"),
    "negative size": lambda: _changed(tar({"a": b""}), slice(124, 136), b"\xff" * 12),
    "size out of bounds": lambda: _changed(tar({"a": b""}), slice(124, 136), b"\x80" + b"\x7f" * 11),
    "more than there is": lambda: _changed(tar({"a": b""}), slice(124, 136), b"77777777777"),
    "cut in a header": lambda: tar({"a": b""})[:300],
    "cut in a file": lambda: tar({"a": b"x" * 600})[:1024],
    "cut behind an extended header": lambda: _pax({"path": "b"})[:1024],
    "endless extended header": lambda: _pax({"comment": "x" * (1 << 20)}),
    "size in an extended header": lambda: _pax({"size": "-5"}),
    "huge size in an extended header": lambda: _pax({"size": "9" * 30}),
    "NUL in a name": lambda: _pax({"path": "a\0b"}),
    "NUL in a link": lambda: (
        _changed(_pax({"linkpath": "a\0b"}), slice(0, 0), b"")[:1024]
        + item("a", tarfile.SYMTYPE, link="c").tobuf(_USTAR)
    ),
    "two names": lambda: item("x" * 200).tobuf(_GNU)[:1024] + _pax({"path": "other"}),
    "two values": lambda: _pax({"path": "b"})[:1024] + _pax({"path": "c"}),
    "malformed record": lambda: _pax({"path": "b"}).replace(b"9 path=b", b"8 path=b"),
    "name for all entries": lambda: _changed(_pax({"path": "b"}), slice(156, 157), b"g"),
    "something behind the end": lambda: tar({"a": b""})[:512] + bytes(512) + tar({"b": b""}),
    "no archive": lambda: b"#!/bin/sh\n" * 100,
}


@pytest.mark.parametrize("hostile", _HOSTILE.values(), ids=_HOSTILE)
def test_what_misleads_is_refused(hostile: Callable[[], bytes]) -> None:
    """What two readers could take for two different things is taken for neither."""
    with pytest.raises(IntegrityError):
        _list(hostile())


def test_comment_for_all_entries() -> None:
    """What git writes into its archives says nothing of files."""
    header = _changed(_pax({"comment": "0" * 40}), slice(156, 157), b"g")
    assert _list(header) == [("a", "file")]


def test_paths_are_relative_to_the_image() -> None:
    """Absolute paths begin at the root of the image, as engines have it."""
    assert normal_path("/a//./b/") == "a/b"
    assert normal_path("./") == ""


#: Short names and long ones, that fit into a header and that do not.
_PARTS = st.builds(str.__mul__, st.text("ab -ß€😀", min_size=1, max_size=4), st.sampled_from([1, 9]))
_PATHS = st.lists(_PARTS, min_size=1, max_size=6).map("/".join)


@settings(deadline=None)  # what is compared with is not quick
@given(
    st.dictionaries(_PATHS, st.none() | st.integers(0, 1200).map(bytes), max_size=5),
    st.sampled_from([_GNU, _PAX]),
    st.integers(0, 1 << 33),
)
def test_second_opinion(files: dict[str, bytes | None], form: Literal[1, 2], owner: int) -> None:
    """Python's own reader finds the same entries in the same places."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name, content in files.items():
            info = item(name, tarfile.DIRTYPE if content is None else tarfile.REGTYPE, size=len(content or b""))
            info.uid = owner
            archive.addfile(info, io.BytesIO(content or b""))
    made.seek(0)
    with tarfile.open(fileobj=made) as archive:
        theirs = [
            (member.name, member.isreg(), member.size, member.uid, member.offset, member.offset_data)
            for member in archive
        ]
    made.seek(0)
    ours = [(one.path, one.kind == "file", one.size, one.uid, one.start, one.data) for one in entries_in(made)]
    assert ours == theirs


@given(st.binary(max_size=2048))
def test_any_bytes(data: bytes) -> None:
    """Whatever bytes come, there are entries or our error."""
    with contextlib.suppress(IntegrityError):
        _list(data)


@given(st.integers(0, 512 * 3 - 1), st.integers(0, 255))
def test_any_changed_byte(at: int, value: int) -> None:
    """A header with another byte is refused, or says something that is in bounds."""
    data = bytearray(_pax({"path": "some/where"})[:1536])
    data[at] = value
    with contextlib.suppress(IntegrityError):
        for entry in entries_in(io.BytesIO(data)):
            assert ".." not in entry.path.split("/")
            assert entry.end <= len(data)
