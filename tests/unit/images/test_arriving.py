"""Digests of files in a tar that arrives in pieces."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import IntegrityError
from bannock.images.archives import Archive
from bannock.images.arriving import ArrivingDigests
from bannock.images.digests import digest_of
from tests.unit.images.build import item, tar, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.images.blobs import Scratch

_FILES = {
    "empty": b"", "one": b"1", "block": b"b" * 512, "more": b"m" * 513, "n" * 300: b"long", "directory": None,
    "link": item("link", tarfile.SYMTYPE, link="one"), "é": b"last",
}  # fmt: skip


def _digests(data: bytes, piece: int) -> Mapping[tuple[int, int], str]:
    with ArrivingDigests() as arriving:
        for begin in range(0, len(data), piece):
            arriving.feed(data[begin : begin + piece])
        return arriving.digests()


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]), st.integers(1, 3000))
def test_every_file(form: int, piece: int) -> None:
    """Each file's bytes have the digest that is told for them, however the tar is cut into pieces."""
    files = {name: content for name, content in _FILES.items() if form != tarfile.USTAR_FORMAT or len(name) < 100}
    data = tar(dict(files), form)
    found = _digests(data, piece)
    for (begin, size), digest in found.items():
        assert digest_of(data[begin : begin + size]) == digest
    contents = {content for content in files.values() if isinstance(content, bytes) and content}
    assert contents <= {data[begin : begin + size] for begin, size in found}


@given(st.binary(max_size=3000))
@settings(deadline=None)
def test_what_is_no_tar(data: bytes) -> None:
    """Nothing is told of it but what is true."""
    for (begin, size), digest in _digests(data, 700).items():
        assert digest_of(data[begin : begin + size]) == digest


def test_a_known_digest_is_that_of_the_bytes(scratch: Scratch) -> None:
    """A layer that has been hashed is not read again; one whose digest is another is refused as ever."""
    layer = tar({"a": b"hello"})
    data = tar({"layer.tar": layer, "other.tar": layer})
    path = write(scratch.directory, "saved", data)
    known = _digests(data, 1 << 20)
    archive = Archive(path, scratch, known)
    opened = archive.layer("layer.tar", digest_of(layer), scratch)
    path.write_bytes(data.replace(b"hello", b"HELLO"))
    with opened.content(opened.entries()[0]) as stream:
        assert stream.read() == b"HELLO"
    with pytest.raises(IntegrityError):
        archive.layer("layer.tar", "sha256:" + "0" * 64, scratch).entries()
    with pytest.raises(IntegrityError):
        Archive(path, scratch).layer("other.tar", digest_of(layer), scratch).entries()
