"""Images out of an engine's storage: what the digests say, or nothing."""

from __future__ import annotations

import base64
import gzip
import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from bannock.images.digests import digest_of, hex_of
from bannock.images.engine_storage import image_in_storage
from bannock.images.fields import Fields
from tests.unit.images.build import image, item, layer, tar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.images.blobs import Scratch

_LOWER = {"etc": None, "etc/passwd": b"root\n", "bin/link": item("bin/link", tarfile.SYMTYPE, link="/etc/passwd")}
_UPPER = {"app": None, "app/é.py": b"x" * 5000, "app/\udcff": b"no text", "empty": b"", "app/.wh.gone": b""}


class Storage:
    """What Docker has on its disk of an image of two layers, written by the parts that tar-split knows."""

    def __init__(self, root: Path, scratch: Scratch) -> None:
        self.root, tars = root, [tar(dict(_LOWER)), tar(dict(_UPPER))]
        self.image = image(*(layer(data, scratch) for data in tars))
        chain = ""
        for number, data in enumerate(tars):
            chain = digest_of(f"{chain} {digest_of(data)}".encode()) if chain else digest_of(data)
            self._layer(f"layer{number}", chain, data)
        written = self.image.written()
        place = root / "image/overlay2/imagedb/content/sha256"
        place.mkdir(parents=True)
        (place / hex_of(written.id)).write_bytes(written.config)
        self.told: dict[str, Any] = {
            "Id": written.id,
            "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": str(root / "overlay2/layer1/diff")}},
        }

    def _layer(self, name: str, chain: str, data: bytes) -> None:
        place = self.root / "image/overlay2/layerdb/sha256" / hex_of(chain)
        diff = self.root / "overlay2" / name / "diff"
        for directory in (place, diff):
            directory.mkdir(parents=True)
        (place / "cache-id").write_text(name)
        parts, position = [], 0
        with (self.root / "tar").open("w+b") as file:
            file.write(data)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                for member in archive:
                    if not member.isreg() or not member.size:
                        continue
                    parts.append({"type": 2, "payload": _text(data[position : member.offset_data])})
                    raw = os.fsencode(member.name)
                    try:
                        named = {"name": raw.decode()}
                    except UnicodeDecodeError:
                        named = {"name_raw": _text(raw)}
                    parts.append({"type": 1, **named, "size": member.size, "payload": "AAAAAAAAAAA="})
                    position = member.offset_data + member.size
                    target = diff / member.name
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(data[member.offset_data : position])
        parts.append({"type": 2, "payload": _text(data[position:])})
        with gzip.open(place / "tar-split.json.gz", "wt") as split:
            split.writelines(f"{json.dumps(part)}\n" for part in parts)

    def file(self, pattern: str) -> Path:
        """Find a file."""
        return next(self.root.glob(pattern))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def storage(tmp_path: Path, scratch: Scratch) -> Storage:
    """A storage in a directory."""
    return Storage(tmp_path / "docker", scratch)


def _opened(storage: Storage, scratch: Scratch) -> Any:
    return image_in_storage(Fields(storage.told, "the answer"), reference="x", scratch=scratch)


def test_an_image_is_put_together(storage: Storage, scratch: Scratch) -> None:
    """Configuration and layers are those of the image, byte for byte."""
    opened = _opened(storage, scratch)
    assert opened.written().config == storage.image.written().config
    for found, expected in zip(opened.layers, storage.image.layers, strict=True):
        assert found.unpacked().read() == expected.unpacked().read()
        assert found.entries() == expected.entries()


def _replaced_by_pipe(storage: Storage) -> None:
    path = storage.file("overlay2/layer0/diff/etc/passwd")
    path.unlink()
    os.mkfifo(path)


def _replaced_by_link(storage: Storage) -> None:
    path = storage.file("overlay2/layer0/diff/etc/passwd")
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def _with_cache_id(storage: Storage) -> None:
    storage.file("image/overlay2/layerdb/sha256/*/cache-id").write_text("../../../etc")


def _without_split(storage: Storage) -> None:
    storage.file("image/overlay2/layerdb/sha256/*/tar-split.json.gz").write_bytes(b"")


def _with_line(line: bytes) -> Callable[[Storage], None]:
    def change(storage: Storage) -> None:
        storage.file("image/overlay2/layerdb/sha256/*/tar-split.json.gz").write_bytes(gzip.compress(line))

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda storage: storage.file("overlay2/layer1/diff/app/é.py").write_bytes(b"y" * 5000),
        lambda storage: storage.file("overlay2/layer1/diff/app/é.py").write_bytes(b"x"),
        lambda storage: storage.file("overlay2/layer1/diff/app/é.py").unlink(),
        lambda storage: storage.file("image/overlay2/imagedb/content/sha256/*").write_bytes(b"{}"),
        _replaced_by_pipe,
        _replaced_by_link,
        _with_cache_id,
        _without_split,
        _with_line(b"{}"),
        _with_line(b"[1]"),
        _with_line(b'{"type": 1, "name": "etc/passwd", "size": "many"}'),
        _with_line(b'{"type": 2, "payload": "?"}'),
        _with_line(b"{"),
        lambda storage: storage.file("image/overlay2/layerdb/sha256/*/tar-split.json.gz").write_bytes(b"no gzip"),
        lambda storage: storage.file("image/overlay2/layerdb/sha256/*/tar-split.json.gz").write_bytes(b"\x1f\x8b\x08"),
        lambda storage: storage.told.pop("GraphDriver"),
        lambda storage: storage.told["GraphDriver"].update(Name="btrfs"),
        lambda storage: storage.told["GraphDriver"].update(Data={"UpperDir": "/nowhere/overlay2/x/diff"}),
        lambda storage: storage.told["GraphDriver"].update(Data={"UpperDir": "/"}),
        lambda storage: storage.told["GraphDriver"].update(Data=None),
    ],
)
def test_whatever_is_wrong(change: Callable[[Storage], object], storage: Storage, scratch: Scratch) -> None:
    """The engine is asked: nothing is taken that is not what the digests say, and nothing hangs."""
    change(storage)
    assert _opened(storage, scratch) is None
