"""Programs that a compiler makes and this machine runs: what the kernel maps is what is measured."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.identity.difference import difference
from bannock.identity.elf import Elf, parse
from bannock.identity.loader_cache import read_cache
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.measured import measured_files
from bannock.identity.reader import RootedReader

_NOT_MAPPED: Final = {"/etc/ld.so.cache", "/etc/ld.so.preload"}
_COMPILER: Final = shutil.which("gcc")
_needs_compiler: Final = pytest.mark.skipif(_COMPILER is None, reason="no gcc here")

#: Prints what is mapped into it, after it has called its libraries.
_MAIN: Final = """
#include <stdio.h>
int one(void);
int main(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  int c;
  while ((c = getc(maps)) != EOF) putchar(c);
  return one() - 3;
}
"""
_ONE: Final = "int two(void); int one(void) { return two() + 1; }"
_TWO: Final = "int two(void) { return 2; }"


def _compile(target: Path, source: str, *options: str) -> Path:
    assert _COMPILER is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [_COMPILER, "-x", "c", "-", "-x", "none", "-o", str(target), *options]
    subprocess.run(command, input=source.encode(), check=True, capture_output=True)
    return target


def _executed(maps: str) -> set[str]:
    """Return the files of which code is mapped."""
    rows = (line.split(maxsplit=5) for line in maps.splitlines())
    return {row[5] for row in rows if len(row) == 6 and "x" in row[1] and row[5].startswith("/")}


def _run(*command: str) -> set[str]:
    environment = {"LC_ALL": "C", "PATH": os.defpath}
    return _executed(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def _measured(program: str | Path) -> set[str]:
    return set(measured_files(str(program), RootedReader(Path("/"))))


@pytest.mark.parametrize(
    "command",
    [
        ["cat", "/proc/self/maps"],
        ["dd", "if=/proc/self/maps"],
        ["sed", "", "/proc/self/maps"],
        ["grep", "", "/proc/self/maps"],
    ],
    ids=lambda command: str(command[0]),
)
def test_code_of_a_running_program_is_what_is_measured(command: list[str]) -> None:
    """The kernel's own table of a process has no code in it that is not measured, and the other way round."""
    program = shutil.which(command[0], path=os.defpath)
    if program is None:
        pytest.skip(f"no {command[0]} here")
    assert _measured(program) - _NOT_MAPPED == _run(program, *command[1:])


@_needs_compiler
@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
@pytest.mark.parametrize("path", ["$ORIGIN/../lib", "{}/lib", "${{ORIGIN}}/../lib:/usr/lib"])
def test_libraries_beside_a_program(tmp_path: Path, tags: str, path: str) -> None:
    """Own libraries, found by RUNPATH or RPATH from where the program is, are what its process has."""
    _, program = _program(tmp_path, path.format(tmp_path), tags)
    assert _measured(program) - _NOT_MAPPED == _run(str(program))
    link = tmp_path / "link"
    link.symlink_to(program)
    assert _measured(link) == _measured(program)


def _program(directory: Path, path: str, tags: str = "--enable-new-dtags") -> tuple[Path, Path]:
    """Make a program that needs a library that needs another one; return the last library and the program."""
    search = f"-Wl,{tags},-rpath,{path}"
    two = _compile(directory / "lib" / "libtwo.so", _TWO, "-shared", "-Wl,-soname,libtwo.so")
    one = _compile(directory / "lib" / "libone.so", _ONE, "-shared", str(two), "-Wl,-soname,libone.so", search)
    main = _compile(directory / "bin" / "main", _MAIN, str(one), f"-Wl,-rpath-link,{directory}/lib", search)
    return two, main


@_needs_compiler
def test_variant_for_this_processor_is_measured(tmp_path: Path) -> None:
    """A library put where the loader prefers it for newer processors is measured, whether it is taken or not."""
    two, program = _program(tmp_path, "$ORIGIN/../lib")
    before = _measured(program)
    variant = two.parent / "glibc-hwcaps" / "x86-64-v2" / two.name
    variant.parent.mkdir(parents=True)
    shutil.copy(two, variant)
    assert _run(str(program)) <= _measured(program) == before | {str(variant)}


@_needs_compiler
@pytest.mark.parametrize("kind", ["-static", "-static-pie"])
def test_static_program_is_alone(tmp_path: Path, kind: str) -> None:
    """A program that was linked whole has nothing beside it."""
    try:
        program = _compile(tmp_path / "main", f"{_MAIN}{_ONE}{_TWO}", kind)
    except subprocess.CalledProcessError:
        pytest.skip("no static C library here")
    assert _measured(program) == _run(str(program)) == {str(program)}


@_needs_compiler
def test_script_of_a_script_of_a_real_program(tmp_path: Path) -> None:
    """Scripts are measured with the program at the end, which the kernel starts through them."""
    _, program = _program(tmp_path, "$ORIGIN/../lib")
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    inner.write_text(f"#!{program}\n")
    outer.write_text(f"#! {inner} --option\n")
    for script in (outer, inner):
        script.chmod(0o755)
    assert _measured(outer) == _measured(program) | {str(outer), str(inner)}
    assert _run(str(outer)) == _measured(program) - _NOT_MAPPED


@_needs_compiler
def test_changed_byte_in_a_librarys_library_is_named(tmp_path: Path) -> None:
    """One byte at the end of the chain changes MRENCLAVE, and the difference names the file."""
    two, program = _program(tmp_path, "$ORIGIN/../lib")
    manifest = EnclaveManifest(binary=str(program), settings={})
    before = measure(manifest, RootedReader(Path("/")), bytes(32))
    content = bytearray(two.read_bytes())
    content[-1] ^= 1
    two.write_bytes(content)
    after = measure(manifest, RootedReader(Path("/")), bytes(32))
    assert after.root != before.root
    assert difference(before, after) == [f"{two} changed"]


def test_cache_of_the_loader_is_read_as_ldconfig_reads_it() -> None:
    """This machine's cache holds for us what ldconfig(8) says that it holds."""
    ldconfig, path = shutil.which("ldconfig", path="/sbin:/usr/sbin"), Path("/etc/ld.so.cache")
    if ldconfig is None or not path.exists():
        pytest.skip("no cache of a loader here")
    told = subprocess.run([ldconfig, "-p"], check=True, capture_output=True, text=True).stdout
    expected = sorted(re.findall(r"^\t(\S+) \(.*\) => (\S+)$", told, re.MULTILINE))
    cached = read_cache(str(path), path.read_bytes())
    assert sorted((name, entry.path) for name, entries in cached.items() for entry in entries) == expected


class _Bounded:
    """Reads from bytes, and counts what is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.reads = 0

    def __call__(self, offset: int, size: int) -> bytes:
        self.reads += 1
        assert 0 <= size <= 64 << 20
        return self._data[offset : offset + size]


def _parse(data: bytes) -> Elf:
    read = _Bounded(data)
    try:
        return parse(read)
    finally:
        assert read.reads <= 5


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small real library."""
    if _COMPILER is None:
        pytest.skip("no gcc here")
    options = ["-shared", "-nostdlib", "-s", "-Wl,-soname,libtwo.so", "-Wl,-rpath,/own", "-Wl,-z,noseparate-code"]
    return _compile(tmp_path_factory.mktemp("library") / "libtwo.so", _TWO, *options).read_bytes()


def test_library_cut_anywhere_is_itself_or_refused(library: bytes) -> None:
    """Cut at any byte, a real library is refused or needs what it needs; it never seems to need less."""
    whole = _parse(library)
    assert whole.soname == "libtwo.so"
    refused = 0
    for size in range(len(library)):
        try:
            assert _parse(library[:size]) == whole
        except InputError:
            refused += 1
    assert refused > 500


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_library_raises_our_error_or_parses(library: bytes, data: st.DataObject) -> None:
    """Numbers of any size in headers, segments and the dynamic section raise nothing but InputError, soon."""
    mutated = bytearray(library)
    numbers = st.sampled_from([0, 1, 7, 8, 255, 256, 4096, 1 << 16, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1])
    start = _parse_dynamic_offset(library)
    places = st.integers(16, 64 + 56 * 8) | st.integers(start, start + 400)
    for _ in range(data.draw(st.integers(1, 6))):
        place, size = data.draw(places), data.draw(st.sampled_from([1, 2, 4, 8]))
        number = data.draw(numbers | st.integers(0, (1 << 64) - 1))
        mutated[place : place + size] = (number % (1 << (8 * size))).to_bytes(size, "little")
    with suppress(InputError):
        _parse(bytes(mutated[: len(library)]))


def _parse_dynamic_offset(library: bytes) -> int:
    """Return where the dynamic section is: the segment of type 2."""
    for at in range(64, 64 + 56 * 16, 56):
        if library[at : at + 4] == b"\x02\0\0\0":
            return int.from_bytes(library[at + 8 : at + 16], "little")
    raise AssertionError("no dynamic section")


def test_overlapping_segments_are_bounded(library: bytes) -> None:
    """Many segments over the same bytes, each as large as can be, cost no more than one."""
    head = bytearray(library[:64])
    head[32:40] = (64).to_bytes(8, "little")
    for count in (255, 256, 257, 65535):
        head[56:58] = count.to_bytes(2, "little")
        segment = b"\1\0\0\0\4\0\0\0" + bytes(24) + b"\xff" * 16 + bytes(8)
        with suppress(InputError):
            _parse(bytes(head) + segment * count)
