"""Layers are what their digests say, whatever lies on the disk."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import EnvironmentFault, InputError, IntegrityError
from bannock.images import blobs, media
from bannock.images.blobs import FileBlob, Scratch, gzipped, unpacked
from bannock.images.digests import BLOCK, digest_of, parse_digest
from bannock.images.tar import entries_in
from bannock.images.writer import LayerWriter, header
from tests.unit.images.build import image, layer, packed, tar, write

if TYPE_CHECKING:
    from bannock.images.model import Layer

_TAR = tar({"a": b"hello", "b": hashlib.shake_128(b"").digest(3 * BLOCK)})
_PACKINGS: tuple[media.Packing, ...] = ("tar", "gzip", "zstd")


@pytest.mark.parametrize("packing", _PACKINGS)
def test_unpacked(packing: media.Packing, scratch: Scratch) -> None:
    """A layer gives the tar that was packed, from any place in it."""
    made = layer(_TAR, scratch, packing)
    with made.unpacked() as stream:
        assert stream.read() == _TAR
        stream.seek(512)
        assert stream.read(5) == b"hello"
    with made.content(made.entries()[0]) as stream:
        assert stream.read() == b"hello"


def test_members_follow_each_other(scratch: Scratch) -> None:
    """Parallel packers write gzip in many members, and some of what unpacks far."""
    parts = [_TAR[:1000], b"", _TAR[1000:], bytes(5 * BLOCK)]
    data = b"".join(gzip.compress(part) for part in parts)
    blob = FileBlob(write(scratch.directory, "x", data), digest=digest_of(data), size=len(data))
    whole = b"".join(parts)
    with unpacked(blob, "gzip", digest_of(whole), scratch).open() as stream:
        assert stream.read() == whole


@pytest.mark.parametrize("packing", _PACKINGS)
def test_other_bytes(packing: media.Packing, scratch: Scratch) -> None:
    """Bytes that are not those of the digest are never given out, not even the first of them."""
    with pytest.raises(IntegrityError, match="expected sha256:0000"):
        layer(_TAR, scratch, packing, digest="sha256:" + "0" * 64, diff_id="sha256:" + "0" * 64).unpacked()


@pytest.mark.parametrize("packing", _PACKINGS)
def test_cut(packing: media.Packing, scratch: Scratch) -> None:
    """A layer that was cut is refused, however far its bytes would go."""
    with pytest.raises(IntegrityError):
        layer(_TAR, scratch, packing, cut=9).unpacked()


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_packing_that_ends_early(packing: media.Packing, scratch: Scratch) -> None:
    """A packed stream that does not end is an error, also where its own digest is right."""
    data = packed(_TAR, packing)[:-9]
    blob = FileBlob(write(scratch.directory, "x", data), digest=digest_of(data), size=len(data))
    with pytest.raises(IntegrityError):
        unpacked(blob, packing, digest_of(_TAR), scratch)


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_no_such_packing(packing: media.Packing, scratch: Scratch) -> None:
    """Bytes that are not packed so are told as that."""
    blob = FileBlob(write(scratch.directory, "x", _TAR), digest=digest_of(_TAR), size=len(_TAR))
    with pytest.raises(IntegrityError, match="not whole"):
        unpacked(blob, packing, digest_of(_TAR), scratch)


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_other_tar(packing: media.Packing, scratch: Scratch) -> None:
    """A packed layer whose tar is not the one of the configuration is refused."""
    with pytest.raises(IntegrityError, match="unpacked"):
        layer(_TAR, scratch, packing, diff_id=digest_of(b"another")).unpacked()


def test_two_digests_of_one_tar(scratch: Scratch) -> None:
    """An unpacked layer has one digest, so a manifest and a configuration that differ contradict each other."""
    with pytest.raises(IntegrityError, match="by the manifest"):
        layer(_TAR, scratch, diff_id=digest_of(b"another"))


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_bomb(packing: media.Packing, scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that unpack without end fill neither memory nor disk, and leave nothing behind."""
    monkeypatch.setattr(blobs, "_FREE_BYTES", 4 << 20)
    data = packed(bytes(64 << 20), packing)
    blob = FileBlob(write(scratch.directory, "x", data), digest=digest_of(data), size=len(data))
    with pytest.raises(IntegrityError, match="not taken for genuine"):
        unpacked(blob, packing, digest_of(b""), scratch)
    assert os.listdir(scratch.directory) == ["x"]  # noqa: PTH208  # the names alone


@settings(deadline=None)  # a disk may be slow
@given(st.sampled_from(["gzip", "zstd"]), st.binary(max_size=200), st.integers(0, 60), st.integers(0, 255))
def test_any_packed_bytes(packing: media.Packing, data: bytes, at: int, value: int) -> None:
    """Whatever is packed how badly, it is the tar of the digest or our error."""
    whole = packed(data, packing)
    at %= len(whole)
    changed = whole[:at] + bytes([value]) + whole[at + 1 :]
    with TemporaryDirectory() as directory, Scratch(Path(directory)) as scratch:
        blob = FileBlob(write(scratch.directory, "x", changed), digest=digest_of(changed), size=len(changed))
        try:
            found = unpacked(blob, packing, digest_of(data), scratch)
        except IntegrityError:
            return
        assert found.open().read() == data


def test_gzip_is_the_same_each_time(scratch: Scratch) -> None:
    """What is packed for a registry has one digest, so that it is pushed once."""
    one, two = layer(_TAR, scratch), layer(_TAR, scratch)
    with gzipped(one.blob, scratch).open() as stream:
        data = stream.read()
    assert gzip.decompress(data) == _TAR
    assert gzipped(two.blob, scratch).digest == digest_of(data)


def test_scratch_is_removed(tmp_path: Path) -> None:
    """Nothing of a layer is left once nobody needs it."""
    with Scratch(tmp_path / "cache") as scratch:
        layer(_TAR, scratch, "gzip").entries()
    assert not list((tmp_path / "cache").iterdir())


def test_scratch_of_who_was_killed(tmp_path: Path) -> None:
    """What a process left that was killed is removed by the next one, and nothing that is in use."""
    left = tmp_path / "bannock-image-left"
    left.mkdir()
    write(left, "layer", b"")
    with Scratch(tmp_path) as one, Scratch(tmp_path) as two:
        used = one.directory
        write(used, "layer", b"")
        assert two.directory != used
        assert not left.exists()
        assert (used / "layer").exists()


def test_scratch_cannot_be_made(tmp_path: Path) -> None:
    """A file in the way is told."""
    write(tmp_path, "file", b"")
    with pytest.raises(EnvironmentFault, match="cannot make a directory"):
        _ = Scratch(tmp_path / "file").directory


def test_foreign_layers() -> None:
    """A layer that nobody may pass on is named as the reason."""
    with pytest.raises(InputError, match="licence"):
        media.packing_of("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    with pytest.raises(InputError, match="not a tar"):
        media.packing_of("application/vnd.cncf.helm.chart.content.v1.tar+gzip")


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:" + "A" * 64, "sha512:" + "0" * 128, "sha256:" + "0" * 64 + "\n", None, "../" * 20]
)
def test_digests(text: object) -> None:
    """A digest that is not one names no file."""
    with pytest.raises(InputError, match="a digest is"):
        parse_digest(text)


def test_written_layer(scratch: Scratch) -> None:
    """A layer that was written holds what was put in, and is the same each time."""
    source = layer(tar({"keep": b"1" * 600, "drop": b"2", "later": b"3", "bin": None}), scratch, "gzip")

    def write_one() -> Layer:
        with LayerWriter(scratch) as writer:
            for entry in source.entries():
                if entry.path != "drop":
                    writer.copy(source, entry)
            writer.directory("opt/bannock", mode=0o700, uid=3)
            writer.file("/opt/bannock/x", b"content", mode=0o755)
            writer.symlink("opt/link", "../bannock/x")
            writer.hardlink("opt/same", "/opt/bannock/x")
            writer.whiteout("/etc/secret")
            writer.whiteout("gone")
            return writer.finish()

    made = write_one()

    assert [(entry.path, entry.kind, entry.link, entry.size) for entry in made.entries()] == [
        ("keep", "file", "", 600),
        ("later", "file", "", 1),
        ("bin", "directory", "", 0),
        ("opt/bannock", "directory", "", 0),
        ("opt/bannock/x", "file", "", 7),
        ("opt/link", "symlink", "../bannock/x", 0),
        ("opt/same", "hardlink", "opt/bannock/x", 0),
        ("etc/secret", "whiteout", "", 0),
        ("gone", "whiteout", "", 0),
    ]
    assert made.entries()[3].mode == 0o700
    assert made.entries()[3].uid == 3
    with made.content(made.entries()[0]) as stream:
        assert stream.read() == b"1" * 600
    assert write_one().digest == made.digest == made.diff_id


@pytest.mark.parametrize(
    ("name", "number", "size"),
    [
        ("a", 0, 5),
        ("usr/lib/" + "n" * 92, 8**7 - 1, 0),
        ("usr/lib/" + "n" * 93, 0, 1),
        ("é", 3, 2),
        ("\udcff", 3, 2),
        ("a", 8**7, 2),
        ("a", 0, 8**11),
    ],
)
def test_headers_are_those_of_the_library(name: str, number: int, size: int) -> None:
    """Headers that are made in the quick way are the same bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uid, info.gid = size, 0o755, number, number
    expected = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    assert header(name, tarfile.REGTYPE, mode=0o755, uid=number, gid=number, size=size) == expected


def test_a_writer_knows_what_a_reader_finds(scratch: Scratch) -> None:
    """Entries of a layer are those that are in its bytes, also between copied ones, and where the bytes are many."""
    source = layer(tar({f"file{number}": bytes(number * 1000) for number in range(9)}), scratch)
    with LayerWriter(scratch) as writer:
        for number, entry in enumerate(source.entries()):
            if number % 3:
                writer.copy(source, entry)
            if number % 2:
                writer.file(f"made{number}", bytes([number]) * (number << 19), mode=0o4755, uid=number, gid=8**7)
        made = writer.finish()
    with made.unpacked() as stream:
        assert made.entries() == tuple(entries_in(stream))
        assert digest_of(made.unpacked().read()) == made.diff_id
    with LayerWriter(scratch) as writer:
        writer.file("etc/.wh.gone", b"")
        assert [(entry.path, entry.kind) for entry in writer.finish().entries()] == [("etc/gone", "whiteout")]


def test_a_full_disk_is_told(scratch: Scratch) -> None:
    """What fails while a layer is written beside its making is an error of whoever makes it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, before[1]))
    try:
        with pytest.raises(EnvironmentFault, match="cannot keep a layer"), LayerWriter(scratch) as writer:
            writer.file("large", bytes(9 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path for path in scratch.directory.iterdir() if path.is_file()] == []


def test_written_layer_that_is_cut(scratch: Scratch) -> None:
    """A stream that ends before its size leaves no layer."""
    with pytest.raises(IntegrityError, match="3 of 5 bytes"), LayerWriter(scratch) as writer:
        writer.file("a", layer(tar({"x": b"12"}), scratch).content(layer(tar({"x": b"12"}), scratch).entries()[0]), 5)
    with pytest.raises(InputError, match="has to be known"), LayerWriter(scratch) as writer:
        writer.file("a", layer(tar({}), scratch).unpacked())


def test_changed_image(scratch: Scratch) -> None:
    """An image with other layers names those, and no longer what it was read from."""
    one, two = layer(tar({"a": b""}), scratch), layer(tar({"b": b""}), scratch, "gzip")
    changed = image(one).changed(layers=[one, two])

    assert changed.config.diff_ids == (one.diff_id, two.diff_id)
    assert changed.written().digest == image(one, two).written().digest
    assert b"rootfs" in changed.written().config
