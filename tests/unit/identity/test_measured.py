"""The measured set: every file that the loaders of glibc and musl, and the kernel, would take."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.identity.loader_cache import read_cache
from bannock.identity.measured import measured_files, start_of
from bannock.identity.reader import RootedReader
from tests.unit.identity.elves import GLIBC, MUSL, MemoryReader, cache, elf

_LIB = "/lib/x86_64-linux-gnu"


def _files(program: bytes | str, more: dict[str, bytes | str], loader: str = GLIBC) -> set[str]:
    reader = MemoryReader({"/bin/app": program, loader: elf(soname="loader.so"), **more})
    return set(measured_files("/bin/app", reader)) - {"/bin/app", loader}


def test_libraries_of_libraries_are_measured() -> None:
    """The closure goes down, and each library is in it once."""
    program = elf("liba.so", "libb.so", interpreter=GLIBC)
    libraries: dict[str, bytes | str] = {
        f"{_LIB}/liba.so": elf("libb.so", "libc.so"),
        f"{_LIB}/libb.so": elf("liba.so"),
        f"{_LIB}/libc.so": elf(),
    }
    assert _files(program, libraries) == set(libraries)


def test_static_program_is_alone() -> None:
    """A program without a loader is all there is."""
    assert _files(elf(), {}) == set()


def test_missing_library_is_named() -> None:
    """What is not to be found is an error that names user and library."""
    with pytest.raises(InputError, match=r"/bin/app needs the library libgone\.so"):
        _files(elf("libgone.so", interpreter=GLIBC), {})


def test_search_path_comes_first_and_ends_the_search() -> None:
    """A library in RUNPATH is taken, and not the one in a default directory."""
    program = elf("liba.so", interpreter=GLIBC, runpath="$ORIGIN/../own:/opt")
    found = _files(program, {"/own/liba.so": elf(), f"{_LIB}/liba.so": elf()})
    assert found == {"/own/liba.so"}


def test_runpath_is_not_inherited() -> None:
    """RUNPATH holds for the file that says it; RPATH for what it loads, too."""
    more: dict[str, bytes | str] = {"/own/liba.so": elf("libb.so"), "/own/libb.so": elf(), f"{_LIB}/libb.so": elf()}
    assert _files(elf("liba.so", interpreter=GLIBC, runpath="/own"), more) == {"/own/liba.so", f"{_LIB}/libb.so"}
    assert _files(elf("liba.so", interpreter=GLIBC, rpath="/own"), more) == {"/own/liba.so", "/own/libb.so"}


def test_origin_is_where_a_library_was_found() -> None:
    """$ORIGIN of a library that was found by a link is the link's directory, as for the loader."""
    more: dict[str, bytes | str] = {
        f"{_LIB}/liba.so": "/opt/real/liba.so.1",
        "/opt/real/liba.so.1": elf("libb.so", runpath="$ORIGIN/below"),
        f"{_LIB}/below/libb.so": elf(),
    }
    assert f"{_LIB}/below/libb.so" in _files(elf("liba.so", interpreter=GLIBC), more)


def test_loaded_name_is_not_searched_again() -> None:
    """A library that is loaded already serves everybody who needs its name."""
    more: dict[str, bytes | str] = {"/own/liba.so": elf(soname="libshort.so"), "/own/libb.so": elf("libshort.so")}
    assert _files(elf("liba.so", "libb.so", interpreter=GLIBC, runpath="/own"), more) == set(more)


def test_variants_for_processors_are_all_measured() -> None:
    """A library put beside another one, for newer processors, does not slip in."""
    program = elf("liba.so", interpreter=GLIBC, runpath="/own")
    variants: dict[str, bytes | str] = {
        "/own/liba.so": elf(),
        "/own/glibc-hwcaps/x86-64-v3/liba.so": elf(),
        "/own/tls/haswell/liba.so": elf(),
    }
    assert _files(program, variants) == set(variants)


def test_libraries_for_other_machines_are_passed_over() -> None:
    """A file for another processor is not the one that is loaded."""
    program = elf("liba.so", interpreter=GLIBC, runpath="/other:/own")
    assert _files(program, {"/other/liba.so": elf(machine=3), "/own/liba.so": elf()}) == {"/own/liba.so"}


def test_cache_is_used_and_measured() -> None:
    """The loader's cache decides what is found, so it is in the set; entries for other machines are not."""
    entries = [("liba.so", "/opt/x/liba.so", 0), ("liba.so", "/opt/32/liba.so", 0), ("libb.so", "/b", 1 << 62)]
    more: dict[str, bytes | str] = {
        "/etc/ld.so.cache": cache(entries),
        "/opt/x/liba.so": elf("libb.so"),
        "/opt/32/liba.so": elf(machine=3),
        "/b": elf(),
        f"{_LIB}/libb.so": elf(),
    }
    expected = {"/etc/ld.so.cache", "/opt/x/liba.so", "/b", f"{_LIB}/libb.so"}
    assert _files(elf("liba.so", interpreter=GLIBC), more) == expected


@given(st.binary(max_size=200))
def test_cache_of_any_bytes_raises_our_error(data: bytes) -> None:
    """A cache of arbitrary bytes raises nothing but InputError."""
    good = cache([("liba.so", "/a", 0)])
    for sample in (data, good[:48] + data, b"ld.so-1.7.0\0" + data):
        with suppress(InputError):
            read_cache("cache", sample)


def test_cut_cache_is_refused() -> None:
    """A cache that lost its end is no cache with fewer entries."""
    good = cache([("liba.so", "/a", 0), ("libb.so", "/b", 0)])
    for size in range(1, len(good)):
        with pytest.raises(InputError):
            read_cache("cache", good[:size])


@pytest.mark.parametrize("runpath", ["lib", "/none::/x", "/none:"])
def test_working_directory_is_refused(runpath: str) -> None:
    """A search that comes to the working directory could find anything."""
    with pytest.raises(InputError, match="working directory"):
        _files(elf("liba.so", interpreter=GLIBC, runpath=runpath), {f"{_LIB}/liba.so": elf()})


def test_unknown_token_is_refused() -> None:
    """$LIB and $PLATFORM mean what the distribution and the processor make of them."""
    with pytest.raises(InputError, match="not supported"):
        _files(elf("liba.so", interpreter=GLIBC, runpath="/usr/$LIB"), {})


def test_musl_follows_its_own_rules() -> None:
    """With musl, RUNPATH is inherited, the C library is the loader, and the path file is read and measured."""
    more: dict[str, bytes | str] = {
        "/etc/ld-musl-x86_64.path": b"/alpha\n/beta:/gamma",
        "/own/liba.so": elf("libb.so", "libm.so.6"),
        "/own/libb.so": elf("libd.so"),
        "/gamma/libd.so": elf(),
    }
    program = elf("liba.so", "libc.musl-x86_64.so.1", interpreter=MUSL, runpath="/own")
    assert _files(program, more, MUSL) == set(more)


def test_endless_libraries_are_refused() -> None:
    """Files that name each other without end come to a bound."""
    libraries: dict[str, bytes | str] = {f"{_LIB}/lib{n}.so": elf(f"lib{n + 1}.so") for n in range(2100)}
    with pytest.raises(InputError, match="more than"):
        _files(elf("lib0.so", interpreter=GLIBC), libraries)


def test_script_brings_its_interpreter() -> None:
    """A script is measured with its interpreter and that one's libraries."""
    more: dict[str, bytes | str] = {
        "/bin/sh": "dash",
        "/bin/dash": elf("libc.so.6", interpreter=GLIBC),
        f"{_LIB}/libc.so.6": elf(),
    }
    reader = MemoryReader({"/bin/app": b"#!/bin/sh -e\n", GLIBC: elf(), **more})
    start = start_of("/bin/app", reader)
    assert start.program == "/bin/app"
    assert set(start.files) == {"/bin/app", "/bin/dash", GLIBC, f"{_LIB}/libc.so.6"}
    assert start.links == {"/bin/sh": "/bin/dash"}


def test_env_brings_every_program_it_might_start() -> None:
    """#!/usr/bin/env NAME measures env and NAME wherever it stands in the usual search path."""
    more: dict[str, bytes | str] = {"/usr/bin/env": elf(), "/usr/bin/tool": elf(), "/usr/local/bin/tool": elf()}
    assert _files(b"#!/usr/bin/env tool\n", more) == set(more)
    assert _files(b"#!/usr/bin/env -S tool -x\n", more) == set(more)


@pytest.mark.parametrize(
    "line",
    [b"#!", b"#! \n", b"#!sh\n", b"#!/usr/bin/env\n", b"#!/usr/bin/env -i x\n", b"#!/bin/app\n", b"#!/" + b"x" * 300],
)
def test_odd_script_is_refused(line: bytes) -> None:
    """A first line that names no interpreter clearly is an error."""
    with pytest.raises(InputError):
        _files(line, {"/usr/bin/env": elf()})


@pytest.mark.skipif(shutil.which("ldd") is None, reason="no ldd here to compare with")
@pytest.mark.parametrize("name", ["cp", "sh", "python3", "tar", "openssl", "git"])
def test_this_machines_programs_load_what_is_measured(name: str) -> None:
    """The set is what the machine's own loader says that it loads."""
    program, ldd = shutil.which(name, path=os.defpath), shutil.which("ldd")
    if program is None or ldd is None:
        pytest.skip(f"no {name} here")
    told = subprocess.run([ldd, program], check=True, capture_output=True, text=True, env={"PATH": os.defpath})
    expected = {os.path.realpath(path) for path in re.findall(r"(/\S+) \(0x", told.stdout)}
    found = set(measured_files(program, RootedReader(Path("/"))))
    assert found - {"/etc/ld.so.cache"} == expected | {os.path.realpath(program)}
