"""The measurement tree: its hash against a vector, its one byte form, and what differs between two."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.identity.difference import difference
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.runtime_build import runtime_build
from bannock.identity.settings import normal_settings
from bannock.identity.tree import MeasuredFile, MeasurementTree
from tests.unit.identity.elves import GLIBC, MemoryReader, elf

if TYPE_CHECKING:
    from collections.abc import Mapping

_VECTORS = Path(__file__).parent / "vectors"
_BUILD = bytes(32)
_LIBRARY = "/lib/x86_64-linux-gnu/liba.so"
_FILES: dict[str, bytes | str] = {
    "/bin/app": elf("liba.so", interpreter=GLIBC),
    GLIBC: elf(),
    _LIBRARY: "liba.so.1",
    f"{_LIBRARY}.1": elf(),
    "/etc/app.conf": b"a=1",
}

_trees = st.builds(
    lambda files, links, settings: MeasurementTree(
        runtime=bytes(range(32)),
        program=next(iter(files)),
        files={path: MeasuredFile(hashlib.sha256(path.encode()).digest(), size) for path, size in files.items()},
        links=links,
        settings=settings,
    ),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(0, 2**53 - 1), min_size=1),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))),
)


def _measure(
    manifest: EnclaveManifest | None = None, changes: Mapping[str, bytes | str] | None = None
) -> MeasurementTree:
    reader = MemoryReader({**_FILES, **(changes or {})})
    return measure(manifest or EnclaveManifest(binary="/bin/app", settings={}), reader, _BUILD)


def _reference(leaves: list[bytes]) -> bytes:
    """Compute the Merkle tree hash in another way: level by level, an odd last node goes up as it is (RFC 9162)."""
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = [
            hashlib.sha256(b"\1" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = pairs + level[len(level) & ~1 :]
    return level[0]


@pytest.mark.parametrize("path", sorted(_VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_vector(path: Path) -> None:
    """The measurement of a known tree is the one that is documented."""
    vector = json.loads(path.read_text(encoding="utf-8"))
    tree = MeasurementTree.from_json(vector["tree"].encode())
    assert [leaf.decode() for leaf in tree.leaves()] == vector["leaves"]
    assert str(tree.root) == vector["mrenclave"] == _reference(tree.leaves()).hex()


@given(_trees)
def test_tree_has_one_form(tree: MeasurementTree) -> None:
    """Parsing what was written gives the same tree, and the root is that of another implementation."""
    assert MeasurementTree.from_json(tree.to_json()) == tree
    assert tree.root.value == _reference(tree.leaves())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_raise_our_error(data: bytes) -> None:
    """Bytes that are no tree raise nothing but InputError."""
    with pytest.raises(InputError):
        MeasurementTree.from_json(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"links":{', '"more":1,"links":{'),
        ('"program":"/bin/app"', '"program":"/bin/other"'),
        ('"runtime":"', '"runtime":"00'),
        ('{"files"', ' {"files"'),
        ('"format":"bannock-measurement-2"', '"format":"bannock-measurement-1"'),
    ],
)
def test_other_form_is_refused(old: str, new: str) -> None:
    """Unknown fields, another format, other spacing and a program that is not measured are refused."""
    text = _measure().to_json().decode()
    assert old in text
    with pytest.raises(InputError):
        MeasurementTree.from_json(text.replace(old, new).encode())


def test_same_files_same_measurement() -> None:
    """Measuring twice gives the same."""
    assert _measure().root == _measure().root
    assert difference(_measure(), _measure()) == []


def test_changed_byte_in_a_library_is_named() -> None:
    """One byte in a library changes MRENCLAVE, and the difference names the library."""
    changed = bytearray(elf())
    changed[60] ^= 1
    other = _measure(changes={f"{_LIBRARY}.1": bytes(changed)})
    assert other.root != _measure().root
    assert difference(_measure(), other) == [f"{_LIBRARY}.1 changed"]


def test_exchanged_links_are_seen() -> None:
    """Two names that lead to each other's file are another measurement, though all files are the same."""
    base: dict[str, bytes | str] = {
        "/bin/app": elf("liba.so", "libb.so", interpreter=GLIBC, runpath="/l"),
        GLIBC: elf(),
        "/l/one": elf(soname="one"),
        "/l/two": elf(soname="two"),
    }
    manifest = EnclaveManifest(binary="/bin/app", settings={})
    straight = measure(manifest, MemoryReader({**base, "/l/liba.so": "one", "/l/libb.so": "two"}), _BUILD)
    crossed = measure(manifest, MemoryReader({**base, "/l/liba.so": "two", "/l/libb.so": "one"}), _BUILD)
    assert straight.files == crossed.files
    assert straight.root != crossed.root
    assert difference(straight, crossed) == [
        "/l/liba.so leads to /l/two, expected /l/one",
        "/l/libb.so leads to /l/one, expected /l/two",
    ]


def test_which_program_starts_is_measured() -> None:
    """The same files with another program in front are another measurement."""
    files: dict[str, bytes | str] = {"/bin/sh": elf(), "/bin/script": b"#!/bin/sh\n"}
    script = measure(EnclaveManifest(binary="/bin/script", settings={}), MemoryReader(files), _BUILD)
    shell = measure(
        EnclaveManifest(binary="/bin/sh", paths=("/bin/script",), settings={}), MemoryReader(files), _BUILD
    )
    assert script.files == shell.files
    assert script.root != shell.root
    assert difference(script, shell) == ["the program is /bin/sh, expected /bin/script"]


def test_named_paths_are_measured() -> None:
    """What a manifest names is in the tree beside what the program loads."""
    manifest = EnclaveManifest(binary="/bin/app", paths=("/etc/app.conf",), settings={})
    assert difference(_measure(), _measure(manifest)) == ["/etc/app.conf added"]
    assert difference(_measure(manifest), _measure()) == ["/etc/app.conf is missing"]


def test_settings_are_measured_and_shown_as_people_write_them() -> None:
    """Sizes are compared in bytes and told in units."""
    large = _measure(EnclaveManifest(binary="/bin/app", settings={"SCONE_HEAP": "760M", "SCONE_FORK": "yes"}))
    small = _measure(EnclaveManifest(binary="/bin/app", settings={"SCONE_HEAP": "512M"}))
    assert difference(small, large) == ["SCONE_FORK 1, expected 0", "SCONE_HEAP 760M, expected 512M"]


def test_two_spellings_of_a_setting_are_one() -> None:
    """512M, its number of bytes, and 0512M are the same setting; so is a default that is given."""
    spellings = [normal_settings({"SCONE_HEAP": text}) for text in ("512M", "536870912", "0512M", "524288K")]
    assert all(item == spellings[0] for item in spellings)
    assert normal_settings({"SCONE_STACK": "2M", "SCONE_MPROTECT": "no"}) == normal_settings({})


@pytest.mark.parametrize(
    "given_settings",
    [
        {"SCONE_HEAP": "lots"},
        {"SCONE_HEAP": "-1"},
        {"SCONE_HEAP": "\u0661M"},
        {"SCONE_HEAP": ""},
        {"SCONE_FORK": "2"},
        {"SCONE_FORK": ""},
        {"SCONE_ALLOW_DLOPEN": "12"},
        {"SCONE_MODE": "hw"},
    ],
)
def test_odd_settings_are_refused(given_settings: dict[str, str]) -> None:
    """A value that is none, and a name that is not measured, are errors that name the setting."""
    with pytest.raises(InputError, match=next(iter(given_settings))):
        EnclaveManifest(binary="/bin/app", settings=given_settings)


def test_another_runtime_is_seen() -> None:
    """Another build of the runtime is another measurement."""
    other = dataclasses.replace(_measure(), runtime=bytes([1] * 32))
    assert other.root != _measure().root
    assert difference(_measure(), other) == ["the runtime is another build"]


def test_runtime_build_is_stable() -> None:
    """The same code has the same hash."""
    assert runtime_build() == runtime_build()
    assert len(runtime_build()) == 32


def test_manifest_has_one_form() -> None:
    """A manifest comes back from its bytes."""
    manifest = EnclaveManifest(binary="/bin/app", paths=("/a", "/ä"), settings={"SCONE_HEAP": "1G"})
    assert EnclaveManifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"binary":"/a","paths":[],"settings":{},"sigstruct":""} ',
        b'{"binary":"/a","paths":[],"settings":{},"sigstruct":"","x":1}',
        b'{"binary":"a","paths":[],"settings":{},"sigstruct":""}',
        b'{"binary":"/a","paths":"/b","settings":{},"sigstruct":""}',
        b'{"binary":"/a","paths":[1],"settings":{},"sigstruct":""}',
        b'{"binary":"/a","paths":[],"settings":{"SCONE_HEAP":1},"sigstruct":""}',
        b'{"binary":"/a\\u0000","paths":[],"settings":{},"sigstruct":""}',
        b'{"binary":"/\\ud800","paths":[],"settings":{},"sigstruct":""}',
        b'{"binary":"/a","paths":[],"settings":[],"sigstruct":""}',
        b"[" * 100_000,
    ],
)
def test_malformed_manifest_is_refused(data: bytes) -> None:
    """Whatever is not a manifest raises nothing but InputError."""
    with pytest.raises(InputError):
        EnclaveManifest.from_json(data)


def test_manifest_is_bounded() -> None:
    """Too many paths, and too many bytes, are refused."""
    with pytest.raises(InputError, match="at most"):
        EnclaveManifest(binary="/a", paths=("/b",) * 5000, settings={})
    with pytest.raises(InputError, match="at most"):
        EnclaveManifest.from_json(b" " * (1 << 20))
