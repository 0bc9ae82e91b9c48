"""Secrets that are put into files of the image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.policy.configuration import InjectedFile
from bannock.runtime.injection import FILE_BYTES_MAX, fill_file, inject, placeholders_of, read_file
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


class Root:
    """An application's root: a directory, and the files that were put over it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.placed: dict[str, tuple[bytes, int]] = {}

    def place(self, path: Path, content: bytes, mode: int) -> None:
        """Remember a file."""
        self.placed[str(path)] = content, mode


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """Give the root of an image with a configuration of MySQL."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "my.cnf").write_bytes(b"[client]\nuser=mysqluser\npassword=$$SCONE::mysqlpass$$\n\xff")
    return Root(tmp_path)


def _file(path: str, content: bytes | None = None) -> InjectedFile:
    return InjectedFile(path=path, content=None if content is None else Secret(content), mode=0o700)


def _none(_: Collection[str]) -> Mapping[str, bytes]:
    raise AssertionError("nothing was to be asked for")


def test_the_file_of_the_image_is_filled(root: Root) -> None:
    """Only what it names is asked for, and all else of it stays byte by byte."""
    asked: list[str] = []

    def secrets(names: Collection[str]) -> Mapping[str, bytes]:
        asked.extend(names)
        return {"mysqlpass": b"hunter2"}

    inject([_file("/etc/my.cnf"), _file("/given", b"content")], root, secrets)
    assert asked == ["mysqlpass"]
    assert root.placed == {
        "/etc/my.cnf": (b"[client]\nuser=mysqluser\npassword=hunter2\n\xff", 0o700),
        "/given": (b"content", 0o700),
    }


def test_content_of_the_session_is_not_looked_into(root: Root) -> None:
    """It was filled by the CAS, so what looks like a placeholder in it is a value."""
    inject([_file("/given", b"$$SCONE::name$$")], root, _none)
    assert root.placed["/given"][0] == b"$$SCONE::name$$"


def test_values_are_not_filled_again() -> None:
    """A value that looks like a placeholder stays as it is."""
    values = {"a": b"$$SCONE::b$$", "b": b"!"}
    assert fill_file(b"$$SCONE::a$$ $$SCONE::b$$", values) == b"$$SCONE::b$$ !"


def test_placeholders_with_formats() -> None:
    """What is asked for is what stands in the file, once."""
    text = b"$$SCONE::cert:crt$$ $$SCONE::cert:chain|escape(json)$$\n$$SCONE::cert:crt$$ costs $$5"
    assert placeholders_of("/file", text) == {"cert:crt", "cert:chain|escape(json)"}


@pytest.mark.parametrize("text", [b"a\nb $$SCONE::name$ c", b"$$SCONE::a\n$$", b"$$SCONE::"])
def test_an_open_placeholder_is_refused(text: bytes) -> None:
    """It would leave the application with the placeholder instead of the secret."""
    with pytest.raises(InputError, match="lacks its closing"):
        placeholders_of("/etc/my.cnf", text)


@pytest.mark.parametrize("body", [b"\xff", b"a" * 300])
def test_what_cannot_be_a_name_is_refused(body: bytes) -> None:
    """It is not sent to the CAS."""
    with pytest.raises(InputError, match="names no secret"):
        placeholders_of("/etc/my.cnf", b"$$SCONE::" + body + b"$$")


def test_a_missing_file_is_refused(root: Root) -> None:
    """It is not made empty."""
    with pytest.raises(InputError, match="/etc/other, and there is no such file"):
        inject([_file("/etc/other")], root, _none)


def test_what_is_no_file_is_refused(root: Root) -> None:
    """A pipe is not waited for."""
    os.mkfifo(root.top / "pipe")
    with (root.top / "long").open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    for path in ("/pipe", "/etc", "/long"):
        with pytest.raises(InputError, match="no file of at most"):
            read_file(root.top, path)


def test_links_lead_nowhere_else(root: Root) -> None:
    """A link is followed as the application would, not into the root of the host."""
    (root.top / "link").symlink_to("/etc/my.cnf")
    (root.top / "out").symlink_to("/../../../../../../../../etc/hostname")
    assert read_file(root.top, "/link").startswith(b"[client]")
    with pytest.raises(InputError, match="no such file"):
        read_file(root.top, "/out")


@given(st.lists(st.sampled_from([b"$$SCONE::", b"$$", b"name", b":hex", b"|escape(json)", b"\n", b"\xff", b"$"])))
def test_any_file_is_filled_or_refused(pieces: list[bytes]) -> None:
    """Nothing that opens a placeholder gets to the application, and whatever is none is not touched."""
    content = b"".join(pieces)
    try:
        names = placeholders_of("/file", content)
    except InputError:
        return
    filled = fill_file(content, dict.fromkeys(names, b"!"))
    assert b"$$SCONE::" not in filled
    if not names:
        assert filled == content
