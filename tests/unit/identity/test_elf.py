"""ELF files: what they need is found, and whatever else they are, only our errors come out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.identity.elf import Elf, kind, parse
from tests.unit.identity.elves import GLIBC, elf

_SAMPLE = elf("libone.so.1", "libtwo.so", interpreter=GLIBC, soname="me.so", rpath="/a:/b", runpath="$ORIGIN/../lib")
_REAL = Path("/bin/sh").read_bytes()


def _parse(data: bytes) -> Elf:
    return parse(lambda offset, size: data[offset : offset + size])


def test_parts_are_found() -> None:
    """Interpreter, name, needed libraries and search paths come out as they were put in."""
    assert _parse(_SAMPLE) == Elf(
        interpreter=GLIBC,
        soname="me.so",
        needed=("libone.so.1", "libtwo.so"),
        rpath="/a:/b",
        runpath="$ORIGIN/../lib",
    )


def test_real_program_is_parsed() -> None:
    """A shell of this machine has a loader and a C library."""
    parsed = _parse(_REAL)
    assert parsed.interpreter
    assert any("libc" in name for name in parsed.needed)


@pytest.mark.parametrize("size", [*range(0, len(_SAMPLE), 3), len(_SAMPLE) - 1])
def test_cut_file_is_refused(size: int) -> None:
    """A file that lost its end is never parsed as if it needed less."""
    with pytest.raises(InputError):
        _parse(_SAMPLE[:size])


def test_cut_real_program_is_refused() -> None:
    """A real program cut before its libraries are named is refused at every length."""
    for size in range(0, 4096, 7):
        with pytest.raises(InputError):
            _parse(_REAL[:size])


@given(st.binary(max_size=400))
def test_any_bytes_raise_our_error_or_parse(data: bytes) -> None:
    """Arbitrary bytes after a plausible start raise nothing but InputError."""
    with suppress(InputError):
        _parse(_SAMPLE[:24] + data)
    with suppress(InputError):
        _parse(data)


@given(st.integers(0, len(_SAMPLE) - 1), st.integers(0, 7), st.integers(0, len(_SAMPLE) - 1), st.integers(0, 255))
def test_changed_bytes_raise_our_error_or_parse(position: int, bit: int, other: int, value: int) -> None:
    """A flipped bit and a replaced byte anywhere raise nothing but InputError."""
    data = bytearray(_SAMPLE)
    data[position] ^= 1 << bit
    data[other] = value
    with suppress(InputError):
        _parse(bytes(data))


def test_second_interpreter_is_refused() -> None:
    """Two interpreters would be read differently by kernel and loader."""
    twice = bytearray(_SAMPLE)
    twice[64 + 2 * 56] = 3
    with pytest.raises(InputError, match="segments of type 3"):
        _parse(bytes(twice))


@pytest.mark.parametrize("tag", [0x6FFFFEFB, 0x6FFFFEFC, 0x7FFFFFFD, 0x7FFFFFFF])
def test_libraries_by_other_ways_are_refused(tag: int) -> None:
    """Auditors and filters would bring in files that are not measured."""
    with pytest.raises(InputError, match="not supported"):
        _parse(elf("libone.so", interpreter=GLIBC, more={tag: "libx.so"}))


def test_other_machines_differ() -> None:
    """The kind tells machines apart, and ELF files from others."""
    assert kind(elf()) != kind(elf(machine=183))
    assert kind(b"GROUP ( libc.so.6 )         ") is None
    assert kind(b"\x7fELF") is None
