"""Volumes that were made once: they open for ever, and a reader that knows the specification alone agrees."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from bannock.errors import IntegrityError, RollbackError
from bannock.shield.format import pages, records, tree
from bannock.shield.volume import Volume
from bannock.values import FspfKey, FspfTag
from tests.unit.shield.make_vectors import VECTORS
from tests.unit.shield.reader import Found, Reader
from tests.unit.shield.support import find, look, make_file, put, take

_NAMES = sorted(path.stem for path in VECTORS.glob("*.json"))
_SPECIFICATION = Path(__file__).parents[3] / "docs" / "formats" / "fspf.md"


class Vector:
    """One vector, decoded."""

    def __init__(self, name: str) -> None:
        data: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
        self.key = bytes.fromhex(data["key"])
        self.tag = bytes.fromhex(data["tag"])
        self.before = bytes.fromhex(data["tag-before"] or "")
        self.files = {path: base64.b64decode(text) for path, text in data["files"].items()}
        self.content = {
            path: Found(int(one["mode"], 8), one["links"], one["modified"], base64.b64decode(one["content"]))
            for path, one in data["content"].items()
        }

    def put(self, directory: Path) -> Path:
        """Write the volume."""
        return put({os.fsencode(name): data for name, data in self.files.items()}, directory)


@pytest.fixture(params=_NAMES)
def vector(request: pytest.FixtureRequest) -> Vector:
    """Give each vector."""
    return Vector(request.param)


def test_second_reader_finds_the_content(vector: Vector) -> None:
    """What the specification says is enough to read a volume."""
    assert dict(Reader(vector.files, vector.key, vector.tag).tree()) == vector.content


def test_product_finds_the_content(vector: Vector, tmp_path: Path) -> None:
    """Volumes of this version of the format open."""
    with Volume.open(vector.put(tmp_path), FspfKey(vector.key), FspfTag(vector.tag), writable=False) as volume:
        seen = look(volume)
        found = {
            os.fsdecode(path): Found(one.mode, one.links, volume.inodes.get(find(volume, path)).modified, one.content)
            for path, one in seen.items()
        }
    assert found == vector.content


def test_product_goes_on_from_a_vector(vector: Vector, tmp_path: Path) -> None:
    """What is written to a volume that was made elsewhere is found by the second reader too."""
    with Volume.open(vector.put(tmp_path), FspfKey(vector.key), FspfTag(vector.tag)) as volume:
        make_file(volume, b"new/file", b"new" * 100)
        tag = volume.commit()
    files = {os.fsdecode(name): data for name, data in take(tmp_path).items()}
    found = dict(Reader(files, vector.key, tag.value).tree())
    assert found.pop("new/file").content == b"new" * 100
    assert stat.S_ISDIR(found.pop("new").mode)
    assert found == vector.content


def test_both_refuse_the_same(tmp_path: Path) -> None:
    """A changed byte, another key and another state are refused by both readers."""
    vector = Vector("small")
    directory = vector.put(tmp_path)
    changed = bytearray(vector.files["chunks"])
    changed[130] ^= 1
    (directory / "chunks").write_bytes(changed)
    with pytest.raises(InvalidTag):
        dict(Reader({**vector.files, "chunks": bytes(changed)}, vector.key, vector.tag).tree())
    with Volume.open(directory, FspfKey(vector.key), FspfTag(vector.tag)) as volume, pytest.raises(IntegrityError):
        look(volume)
    with pytest.raises(InvalidTag):
        Reader(vector.files, bytes(32), vector.tag)
    with pytest.raises(IntegrityError):
        Volume.open(directory, FspfKey(bytes(32)), FspfTag(vector.tag))
    with pytest.raises(LookupError):
        Reader(vector.files, vector.key, bytes(16))
    with pytest.raises(RollbackError):
        Volume.open(directory, FspfKey(vector.key), FspfTag(bytes(16)))
    assert Reader(vector.files, vector.key, vector.before).generation == 1


def test_specification_has_the_numbers_of_the_code() -> None:
    """Sizes and bounds in the specification are those of the product."""
    text = re.sub(r"\s+", " ", _SPECIFICATION.read_text(encoding="utf-8"))
    assert f"at most {tree.MAX_KEY_BYTES} bytes, values {tree.MAX_VALUE_BYTES}" in text
    assert f"at most {tree.MAX_DEPTH} levels" in text
    assert f"up to {records.CHUNKS_PER_RECORD} chunk records" in text
    assert f"up to {records.SLOTS_PER_RECORD} slot numbers" in text
    assert f"Pages of {pages.PAGE_BYTES} bytes" in text
    assert f"up to {pages._FREE_NUMBERS} page numbers" in text
    assert f"of {records.MAX_BACKING_BYTES} bytes" in text
    assert (records._MAX_LENGTH, records._MAX_SLOT, pages._MAX_PAGES) == (16 << 20, 1 << 38, 1 << 40)
