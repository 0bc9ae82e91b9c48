"""What a host could put beside a program to run code of its own, or to hold up whoever measures, and cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from bannock.errors import InputError
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.measured import measured_files, start_of
from bannock.identity.reader import RootedReader
from tests.unit.identity.elves import GLIBC, MUSL, MemoryReader, elf

_PRELOAD = "/etc/ld.so.preload"
_LIB = "/lib/x86_64-linux-gnu"


def _files(program: bytes, more: dict[str, bytes | str], loader: str = GLIBC) -> set[str]:
    reader = MemoryReader({"/bin/app": program, loader: elf(soname="loader.so"), **more})
    return set(measured_files("/bin/app", reader)) - {"/bin/app", loader}


def test_preloaded_libraries_are_measured() -> None:
    """What glibc's loader puts into every program is in the set, with what it needs, and with the list itself."""
    more: dict[str, bytes | str] = {
        _PRELOAD: b"# /not/this.so\n/opt/spy.so:libnear.so\t# nor this\n",
        "/opt/spy.so": elf("libdeep.so"),
        f"{_LIB}/libdeep.so": elf(),
        f"{_LIB}/libnear.so": elf(),
        f"{_LIB}/libc.so": elf(),
    }
    assert _files(elf("libc.so", interpreter=GLIBC), more) == set(more)


def test_preloaded_library_takes_the_place_of_a_needed_one() -> None:
    """A name that is loaded already is not searched again, so a preloaded library can stand for a needed one."""
    more: dict[str, bytes | str] = {_PRELOAD: b"/opt/own.so", "/opt/own.so": elf(soname="libc.so")}
    assert _files(elf("libc.so", interpreter=GLIBC), more) == set(more)


def test_empty_preload_list_is_measured() -> None:
    """The list is in the set also when nothing is in it yet."""
    assert _files(elf(interpreter=GLIBC), {_PRELOAD: b"# none\n"}) == {_PRELOAD}


@pytest.mark.parametrize(
    "content", [b"/gone.so", b"below/here.so", b"\xff.so", b"/a\0b.so", b"$LIB/a.so", b"/a" * 99_999]
)
def test_preload_list_that_cannot_be_followed_is_refused(content: bytes, tmp_path: Path) -> None:
    """A list with a missing library, one by the working directory, or anything odd raises InputError."""
    for name, data in (("app", elf(interpreter="/ld")), ("ld", elf()), ("etc/ld.so.preload", content)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError):
        measured_files("/app", RootedReader(tmp_path))


def test_musl_has_no_preload_list() -> None:
    """The list of another C library means nothing to musl's loader, and may hold anything."""
    assert _files(elf(interpreter=MUSL), {_PRELOAD: b"\xff"}, MUSL) == set()


@pytest.mark.parametrize("interpreter", ["/usr/bin/env", "/usr/bin/../bin//env", "/opt/e", "/opt/env"])
def test_env_is_known_by_any_of_its_names(interpreter: str) -> None:
    """A link to env, and a program of many names that is called env, start what their argument names."""
    more: dict[str, bytes | str] = {
        "/usr/bin/env": elf(),
        "/opt/box": elf(),
        "/opt/e": "/usr/bin/env",
        "/opt/env": "box",
    }
    files = _files(f"#!{interpreter} tool\n".encode(), {**more, "/usr/bin/tool": elf()})
    assert "/usr/bin/tool" in files


def test_bundles_own_programs_are_among_those_of_env() -> None:
    """A program put into the bundle in front of the machine's own does not slip in."""
    more: dict[str, bytes | str] = {"/usr/bin/env": elf(), "/usr/bin/tool": elf(), "/app/bin/tool": elf()}
    assert _files(b"#!/usr/bin/env tool\n", more) == set(more)


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\u00a0", "\u2003", "\0"])
def test_first_line_is_split_as_the_kernel_does(end: str) -> None:
    """Only blanks and tabs end the interpreter's name: what else stands there is a part of it, and another file."""
    shell: dict[str, bytes | str] = {"/bin/sh": elf()}
    assert _files(b"#! \t/bin/sh\t-e\n", shell) == {"/bin/sh"}
    with pytest.raises(InputError):
        _files(f"#!/bin/sh{end}\n".encode(), shell)


def test_interpreters_are_measured_all_the_way_down() -> None:
    """A script whose interpreter is a script brings both, and the program at the end with its libraries."""
    more: dict[str, bytes | str] = {
        "/bin/one": b"#!/bin/two -x\n",
        "/bin/two": b"#!/bin/three\n",
        "/bin/three": elf("libc.so", interpreter=GLIBC),
        f"{_LIB}/libc.so": elf(),
    }
    reader = MemoryReader({"/bin/app": b"#!/bin/one\n", GLIBC: elf(), **more})
    assert set(start_of("/bin/app", reader).files) == {"/bin/app", GLIBC, *more}


@pytest.mark.parametrize(
    "name", ["kmsg", "self/environ", "self/mem", "self/fd/0", "1/root/etc/passwd", "sysrq-trigger"]
)
def test_files_that_the_kernel_makes_up_are_not_read(name: str) -> None:
    """A program of that name would block whoever measures it, or show it what it is not to see."""
    reader = RootedReader(Path("/proc"))
    for ask in (reader.digest, lambda path: reader.read(path, 0, 1)):
        with pytest.raises(InputError):
            ask(f"/{name}")


@pytest.mark.parametrize("name", ["null", "zero", "random", "full", "tty", "ptmx"])
def test_devices_are_not_read(name: str) -> None:
    """A device has no end, and opening one may do things."""
    with pytest.raises(InputError):
        RootedReader(Path("/dev")).digest(f"/{name}")


def test_file_that_grows_is_read_to_the_size_it_had(tmp_path: Path) -> None:
    """Whoever appends as fast as it is read does not hold up the measurement; an empty file is an empty file."""
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("file")
    reader = RootedReader(tmp_path)
    assert reader.read("/link", 3, 1 << 40) == b"45"
    assert reader.read("/file", 5, 1) == reader.read("/file", 1 << 40, 1) == reader.read("/empty", 0, 9) == b""
    assert reader.digest("/empty")[1] == 0


def test_enormous_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A file of a petabyte, which costs its owner nothing, is refused at once."""
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 43)
    with pytest.raises(InputError, match="larger than"):
        RootedReader(tmp_path).digest("/huge")


def test_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    """A link to a name that is no text leads to a path that JSON cannot hold: an error of ours."""
    (tmp_path / "odd-\udcff").write_bytes(elf())
    (tmp_path / "app").symlink_to("odd-\udcff")
    manifest = EnclaveManifest(binary="/app", settings={})
    with pytest.raises(InputError):
        str(measure(manifest, RootedReader(tmp_path), bytes(32)).root)
