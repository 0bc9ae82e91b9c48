"""Protection files of the original format: what is read, and what is refused."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import BannockError, InputError, IntegrityError, RollbackError
from bannock.shield import original
from bannock.shield.original import is_original, open_original, unseal_chunk
from bannock.shield.regions import Protection
from bannock.values import FspfKey, FspfTag
from tests.unit.shield.original_files import (
    AUTHENTICATED,
    ENCRYPTED,
    NOT_PROTECTED,
    bytes_of,
    entry,
    number,
    plain,
    region,
    seal,
)

if TYPE_CHECKING:
    from pathlib import Path

_KEY = FspfKey(bytes(range(32)))


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _sealed(path: Path, body: bytes) -> Path:
    return _write(path, seal(body, _KEY.reveal()))


@pytest.mark.parametrize("header_length", [128, 0])
def test_regions_and_files_are_read(tmp_path: Path, header_length: int) -> None:
    """What the tool and what the runtime wrote is read in the same way."""
    files = [entry("a.py", b"x" * 5000, encrypted=False), entry("b/c", b"gcc", encrypted=False, link=True)]
    body = (
        region("/", NOT_PROTECTED, "/")
        + region("/usr", AUTHENTICATED, "/usr", files)
        + region("/tmp", ENCRYPTED, None, key_bytes=16, chunk=8192)  # noqa: S108 - a region's path
    )
    data = seal(body, _KEY.reveal(), header_length=header_length)
    path = _write(tmp_path / "fspf.pb", data)
    found = open_original(path, _KEY, FspfTag(data[64:80]))
    assert is_original(path)
    assert found.sealed
    assert not found.is_volume
    assert found.regions is not None
    assert [(each.path, each.protection, each.kernel, each.key_bytes, each.chunk_bytes) for each in found.regions] == [
        ("/", Protection.NOT_PROTECTED, "/", 32, 4092),
        ("/usr", Protection.AUTHENTICATED, "/usr", 32, 4092),
        ("/tmp", Protection.ENCRYPTED, None, 16, 8192),  # noqa: S108
    ]
    assert [(each.name, each.size, each.link, each.chunks) for each in found.regions[1].files] == [
        ("a.py", 5000, False, 2),
        ("b/c", 4, True, 1),
    ]


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("size", [1, 4091, 4092, 4093, 10_000])
def test_chunks_are_verified(tmp_path: Path, size: int, *, encrypted: bool) -> None:
    """Each chunk gives its content; changed, exchanged or cut ones are refused, and the bytes are named."""
    content = os.urandom(size)
    made = entry("f", content, encrypted=encrypted)
    path = _sealed(tmp_path / "f", region(".", ENCRYPTED if encrypted else AUTHENTICATED, ".", [made]))
    found = open_original(path, _KEY)
    assert found.is_volume
    assert found.regions is not None
    file = found.regions[0].files[0]
    pieces = [made.stored[at : at + 4092] for at in range(0, size, 4092)]
    assert b"".join(unseal_chunk(file, index, piece) for index, piece in enumerate(pieces)) == content
    last = len(pieces) - 1
    with pytest.raises(IntegrityError, match=f"bytes {last * 4092} to {size - 1} are not what was recorded"):
        unseal_chunk(file, last, pieces[last][:-1] + bytes([pieces[last][-1] ^ 1]))
    with pytest.raises(IntegrityError):
        unseal_chunk(file, last, pieces[last] + b"x")
    if last:
        with pytest.raises(IntegrityError):
            unseal_chunk(file, 0, pieces[1])


def test_without_the_key_the_tag_is_told(tmp_path: Path) -> None:
    """A sealed file gives its tag to everybody, and nothing else."""
    path = _sealed(tmp_path / "f", region("/", NOT_PROTECTED, "/"))
    found = open_original(path)
    assert (found.sealed, found.regions) == (True, None)
    assert found.tag == open_original(path, _KEY).tag


def test_unsealed_file_is_read_as_it_stands(tmp_path: Path) -> None:
    """A body that is not encrypted needs no key."""
    found = open_original(_write(tmp_path / "f", plain(region("/", NOT_PROTECTED, "/"))))
    assert not found.sealed
    assert found.regions is not None
    assert found.regions[0].path == "/"


def test_another_state_is_a_rollback(tmp_path: Path) -> None:
    """A tag that is not the file's is refused, with both tags."""
    path = _sealed(tmp_path / "f", b"")
    with pytest.raises(RollbackError, match=f"expected state {'00' * 16}"):
        open_original(path, _KEY, FspfTag(bytes(16)))


def test_every_bit_counts(tmp_path: Path) -> None:
    """No bit of nonce, tag, length or body can be changed."""
    data = seal(region("/", NOT_PROTECTED, "/"), _KEY.reveal())
    path = tmp_path / "f"
    for at in (*range(48, 60), *range(64, len(data))):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises((IntegrityError, InputError)):
            open_original(_write(path, bytes(changed)), _KEY)


@pytest.mark.parametrize("data", [b"", b"BNKFSPF1" + bytes(200), b"\2\0\x80\0" + bytes(200), bytes(200)])
def test_other_files_are_not_taken(tmp_path: Path, data: bytes) -> None:
    """What begins otherwise is another format."""
    path = _write(tmp_path / "f", data)
    assert not is_original(path)
    with pytest.raises(InputError, match="is not a protection file of the original format"):
        open_original(path, _KEY)


def test_unknown_fields_are_named(tmp_path: Path) -> None:
    """A field that is not known does not stop the reader, and is told."""
    inner = number(3, 1) + number(4, 32) + number(5, 4092) + bytes_of(6, b"/") + number(9, 1)
    found = open_original(_sealed(tmp_path / "f", bytes_of(1, inner) + number(2, 7)), _KEY)
    assert found.unknown == ("file.2", "region.9")


_REGION = number(3, 2) + number(4, 32) + number(5, 4092) + bytes_of(6, b"/")
_FILE = bytes_of(1, b"f") + number(2, 0) + number(3, 0) + bytes_of(4, bytes(32)) + number(5, 4092)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\x0a", "a number does not end"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a number does not end"),
        (b"\x0a\x05ab", "reaches over the end"),
        (b"\x0b", "unknown type 3"),
        (number(1, 5), "a region is missing or no bytes"),
        (bytes_of(1, _REGION) * 2, "the same path"),
        (bytes_of(1, _REGION + number(3, 2)), "field 3 of a region is there twice"),
        (bytes_of(1, _REGION[2:]), "a protection is missing"),
        (bytes_of(1, number(3, 4) + _REGION[2:]), "protected in a way that is not known"),
        (bytes_of(1, number(3, 2) + number(4, 5) + number(5, 4092) + bytes_of(6, b"/")), "a length of keys is 5"),
        (bytes_of(1, number(3, 2) + number(4, 32) + number(5, 0) + bytes_of(6, b"/")), "chunks of 0 bytes"),
        (bytes_of(1, number(3, 2) + number(4, 32) + number(5, 1 << 25) + bytes_of(6, b"/")), "out of bounds"),
        (bytes_of(1, number(3, 2) + number(4, 32) + number(5, 4092) + bytes_of(6, b"/\0")), "a region's path"),
        (bytes_of(1, _REGION + bytes_of(7, _FILE) * 2), "two files of a region"),
        (bytes_of(1, _REGION + bytes_of(7, _FILE + number(7, 2))), "the kind of a file is 2"),
        (bytes_of(1, _REGION + bytes_of(7, _FILE + bytes_of(6, bytes(20)))), "not one record for each"),
        (bytes_of(1, _REGION + bytes_of(7, _FILE.replace(b"\x0a\x01f", b"\x0a\x02..", 1))), "in the place of a name"),
        (bytes_of(1, _REGION + bytes_of(7, _FILE.replace(b"\x0a\x01f", b"\x0a\x02/f", 1))), "in the place of a name"),
    ],
)  # fmt: skip
def test_malformed_bodies_are_refused(tmp_path: Path, body: bytes, told: str) -> None:
    """What the key's owner made up is refused too, with the reason."""
    with pytest.raises(IntegrityError, match="authentic, but not of a form that is known") as caught:
        open_original(_sealed(tmp_path / "f", body), _KEY)
    assert told in str(caught.value.__cause__)


@given(body=st.binary(max_size=200))
def test_arbitrary_bodies_raise_only_our_errors(body: bytes) -> None:
    """A decoder given anything gives regions, or an error of ours."""
    with suppress(BannockError):
        original._decode_body(body, set())
