"""Directories and archives: what is stored is found again, and what was tampered with is refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import BannockError, EnvironmentFault, InputError, IntegrityError, NotFoundError
from bannock.images import blobs, media
from bannock.images.config import Config, History
from bannock.images.digests import digest_of, hex_of
from bannock.images.places import Places
from tests.unit.images.build import image, item, layer, tar, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.images.blobs import Scratch
    from bannock.images.model import Image

_KINDS = ("oci:{}/layout", "oci:{}/layout:tag", "oci-archive:{}/a.tar:tag", "docker-archive:{}/d.tar:app:1")


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    """Places without an engine and without a login."""
    environment = {"HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    with Places.prepared(environment=environment) as made:
        yield made


@pytest.fixture
def app(scratch: Scratch) -> Image:
    """An image of three layers, one of them there twice."""
    one, two = layer(tar({"a": b"1"}), scratch), layer(tar({"b": b"2" * 5000}), scratch, "gzip")
    config = Config(cmd=("python3",), env=(("A", "1"),), history=(History(created_by="x"),) * 3)
    return image(one, two, one, config=config)


def _blobs(found: Image) -> list[bytes]:
    return [one.blob.open().read() for one in found.layers]


def _tars(found: Image) -> list[bytes]:
    return [one.unpacked().read() for one in found.layers]


@pytest.mark.parametrize("kind", _KINDS)
def test_stored_and_found(kind: str, app: Image, places: Places, tmp_path: Path) -> None:
    """What is stored is the same image when it is opened again."""
    reference = kind.format(tmp_path)
    stored = places.store(app, reference)
    found = places.open(reference)
    assert stored.reference == reference
    assert found.config == app.config
    assert found.config_bytes == app.written().config
    assert _tars(found) == _tars(app)
    assert stored.id == found.written().id == app.written().id


@pytest.mark.parametrize("kind", _KINDS[:3])
def test_layers_stay_as_they_are(kind: str, app: Image, places: Places, tmp_path: Path) -> None:
    """A layer is passed on byte for byte, packed as it was."""
    reference = kind.format(tmp_path)
    places.store(app, reference)
    found = places.open(reference)
    assert [one.digest for one in found.layers] == [one.digest for one in app.layers]
    assert found.written().digest == app.written().digest


def test_same_bytes_each_time(app: Image, places: Places, tmp_path: Path) -> None:
    """An archive is the same each time that it is written."""
    for kind in ("oci-archive:{}:x", "docker-archive:{}:app:1"):
        for name in ("1", "2"):
            places.store(app, kind.format(tmp_path / name))
        assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_several_images_in_one_layout(app: Image, places: Places, tmp_path: Path) -> None:
    """Images stand beside each other under their tags; a tag that is used again names the new one."""
    other = app.changed(config=app.config.changed(cmd=("other",)))
    for tag, one in (("a", app), ("b", app), ("b", other)):
        places.store(one, f"oci:{tmp_path}/l:{tag}")
    assert places.open(f"oci:{tmp_path}/l:a").config.cmd == ("python3",)
    assert places.open(f"oci:{tmp_path}/l:b").config.cmd == ("other",)
    with pytest.raises(InputError, match=r"no image c in .*; it has: a, b"):
        places.open(f"oci:{tmp_path}/l:c")
    with pytest.raises(InputError, match="no image without a tag"):
        places.open(f"oci:{tmp_path}/l")


def test_packed_archive(app: Image, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved and packed is read as it is; one that unpacks without end is not."""
    places.store(app, f"docker-archive:{tmp_path}/d.tar:app:1")
    write(tmp_path, "d.tar.gz", gzip.compress((tmp_path / "d.tar").read_bytes()))
    assert places.open(f"docker-archive:{tmp_path}/d.tar.gz").config == app.config
    monkeypatch.setattr(blobs, "_FREE_BYTES", 1 << 20)
    write(tmp_path, "bomb", gzip.compress(bytes(32 << 20)))
    with pytest.raises(IntegrityError, match="not taken for genuine"):
        places.open(f"docker-archive:{tmp_path}/bomb")


def test_dockers_documents_become_ocis(app: Image, places: Places, tmp_path: Path) -> None:
    """An OCI layout has no documents of Docker's in it; the image keeps its id."""
    places.store(app, f"oci:{tmp_path}/l")
    found = places.open(f"oci:{tmp_path}/l")
    manifest = json.loads(found.written().manifest)
    manifest["mediaType"], manifest["config"]["mediaType"] = media.DOCKER_MANIFEST, media.DOCKER_CONFIG
    data = json.dumps(manifest).encode()
    write(tmp_path / "l" / "blobs" / "sha256", hex_of(digest_of(data)), data)
    entry = {"mediaType": media.DOCKER_MANIFEST, "digest": digest_of(data), "size": len(data)}
    write(tmp_path / "l", "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())

    docker = places.open(f"oci:{tmp_path}/l")
    assert docker.written().manifest == data
    stored = places.store(docker, f"oci:{tmp_path}/m")

    assert stored.id == app.written().id
    assert b"docker" not in places.open(f"oci:{tmp_path}/m").written().manifest


def test_several_platforms(app: Image, places: Places, tmp_path: Path) -> None:
    """Of an image for several platforms the one for this machine is opened, through indexes of indexes, and told."""
    layout = tmp_path / "l"
    places.store(app, f"oci:{layout}")
    entry = json.loads((layout / "index.json").read_bytes())["manifests"][0]
    entries = [
        entry | {"platform": {"os": "linux", "architecture": "arm64"}, "digest": "sha256:" + "f" * 64},
        entry | {"platform": {"os": "linux", "architecture": "amd64"}},
    ]
    for depth in range(6):
        index = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries}).encode()
        write(layout / "blobs" / "sha256", hex_of(digest_of(index)), index)
        entries = [{"mediaType": media.OCI_INDEX, "digest": digest_of(index), "size": len(index)}]
        write(layout, "index.json", json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
        if depth < 4:
            assert places.open(f"oci:{layout}").notes == (
                "took linux/amd64 of 2 platforms (linux/amd64, linux/arm64)",
            )
        else:
            with pytest.raises(InputError, match="more than 4 deep"):
                places.open(f"oci:{layout}")


def test_other_platform(app: Image, places: Places, tmp_path: Path) -> None:
    """An image for another processor is refused, wherever it says so."""
    for kind in _KINDS:
        places.store(app.changed(config=app.config.changed(architecture="arm64")), kind.format(tmp_path))
        with pytest.raises(InputError, match="is for linux/arm64"):
            places.open(kind.format(tmp_path))


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
@pytest.mark.parametrize("kind", ["oci:{}/l", "oci-archive:{}/a.tar"])
def test_one_changed_bit(which: str, kind: str, app: Image, places: Places, tmp_path: Path) -> None:
    """One bit that is another one in any blob is an error, and never an image."""
    places.store(app, kind.format(tmp_path))
    written = app.written()
    blob = {"manifest": written.manifest, "config": written.config}.get(which) or app.layers[1].blob.open().read()
    path = (
        tmp_path / "l" / "blobs" / "sha256" / hex_of(digest_of(blob))
        if kind.startswith("oci:")
        else tmp_path / "a.tar"
    )
    data = bytearray(path.read_bytes())
    data[data.index(blob) + len(blob) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="is not what it was"):
        _tars(places.open(kind.format(tmp_path)))


@pytest.mark.parametrize("kind", _KINDS)
def test_cut_files(kind: str, app: Image, places: Places, tmp_path: Path) -> None:
    """A file that ends early is an error, wherever it ends."""
    out = tmp_path / "out"
    out.mkdir()
    places.store(app, kind.format(out))
    for path in [path for path in out.rglob("*") if path.is_file() and path.name != "oci-layout"]:
        whole = path.read_bytes()
        for size in (0, 1, len(whole) // 3, len(whole) // 2):
            path.write_bytes(whole[:size])
            with pytest.raises((IntegrityError, InputError)):
                _blobs(places.open(kind.format(out)))
        path.write_bytes(whole)
    assert _tars(places.open(kind.format(out))) == _tars(app)


def _save(path: Path, files: dict[str, bytes | tarfile.TarInfo | None]) -> None:
    path.write_bytes(tar(files))


def _saved(app: Image) -> dict[str, Any]:
    tars = _tars(app)
    entry = {"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["0/layer.tar", "1/layer.tar", "2/layer.tar"]}
    files: dict[str, Any] = {f"{number}/layer.tar": data for number, data in enumerate(tars)}
    return files | {"c.json": app.written().config, "manifest.json": json.dumps([entry]).encode()}


def test_layers_that_are_links(app: Image, places: Places, tmp_path: Path) -> None:
    """Older engines write a layer that is there twice as a link to itself, and some packers pack layers."""
    files = _saved(app)
    files["2/layer.tar"] = item("2/layer.tar", tarfile.SYMTYPE, link="../0/layer.tar")
    files["1/layer.tar"] = gzip.compress(files["1/layer.tar"])
    _save(tmp_path / "d.tar", files)
    assert _tars(places.open(f"docker-archive:{tmp_path}/d.tar")) == _tars(app)


def _linked(target: str, kind: bytes = tarfile.SYMTYPE) -> Callable[[dict[str, Any]], None]:
    def change(files: dict[str, Any]) -> None:
        files["c.json"] = item("c.json", kind, link=target)

    return change


def _manifest(**changes: object) -> Callable[[dict[str, Any]], None]:
    def change(files: dict[str, Any]) -> None:
        files["manifest.json"] = json.dumps([json.loads(files["manifest.json"])[0] | changes]).encode()

    return change


def _file(name: str, data: bytes) -> Callable[[dict[str, Any]], None]:
    return lambda files: files.update({name: data})


_HOSTILE = {
    "link to the host": _linked("/etc/passwd"),
    "link out of the archive": _linked("../../../etc/passwd"),
    "hard link to the host": _linked("../../etc/passwd", tarfile.LNKTYPE),
    "link in a circle": _linked("c.json"),
    "device": _linked("", tarfile.CHRTYPE),
    "name that leads out": _manifest(Config="../../etc/passwd"),
    "name of the host": _manifest(Config="/etc/passwd"),
    "layers of the host": _manifest(Layers=["/etc/passwd"] * 3),
    "fewer layers": _manifest(Layers=["0/layer.tar"]),
    "layers in another order": _manifest(Layers=["1/layer.tar", "0/layer.tar", "2/layer.tar"]),
    "no names of layers": _manifest(Layers=[1, 2, 3]),
    "entry that leads out": _file("../evil", b""),
    "no list": _file("manifest.json", b"{}"),
    "empty list": _file("manifest.json", b"[]"),
    "list of texts": _file("manifest.json", b'["x"]'),
    "no JSON": _file("manifest.json", b"]["),
    "other layer": _file("0/layer.tar", tar({"a": b"other"})),
    "other configuration": _file("c.json", b"{}"),
    "huge document": _file("c.json", b" " * ((4 << 20) + 1)),
}


@pytest.mark.parametrize("change", _HOSTILE.values(), ids=_HOSTILE)
def test_hostile_archives(
    change: Callable[[dict[str, Any]], None], app: Image, places: Places, tmp_path: Path
) -> None:
    """An archive that would have us read something else is refused."""
    files = _saved(app)
    change(files)
    _save(tmp_path / "d.tar", files)
    with pytest.raises((InputError, IntegrityError)):
        _tars(places.open(f"docker-archive:{tmp_path}/d.tar"))


def test_blob_that_is_no_file(app: Image, places: Places, tmp_path: Path) -> None:
    """What lies in place of a blob is not waited for."""
    places.store(app, f"oci:{tmp_path}/l")
    blob = tmp_path / "l" / "blobs" / "sha256" / hex_of(app.layers[0].digest)
    blob.unlink()
    blob.mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        _tars(places.open(f"oci:{tmp_path}/l"))


def test_repaired_layout(app: Image, places: Places, tmp_path: Path) -> None:
    """A damaged blob that is stored again is written anew, and one that is whole is left alone."""
    places.store(app, f"oci:{tmp_path}/l")
    blob, other = (tmp_path / "l" / "blobs" / "sha256" / hex_of(app.layers[number].digest) for number in (0, 1))
    blob.write_bytes(b"damaged")
    before = other.stat().st_mtime_ns
    places.store(app, f"oci:{tmp_path}/l")
    assert _tars(places.open(f"oci:{tmp_path}/l")) == _tars(app)
    assert other.stat().st_mtime_ns == before


def test_what_is_not_there(places: Places, tmp_path: Path) -> None:
    """Each place says what it lacks, and which one may have been meant."""
    write(tmp_path, "text", b"text" * 200)
    write(tmp_path, "empty.tar", tar({}))
    cases: list[tuple[str, type[BannockError], str]] = [
        (f"oci:{tmp_path}/none", InputError, "cannot read .*index.json"),
        (f"oci-archive:{tmp_path}/none", InputError, "there is no file"),
        (f"docker-archive:{tmp_path}/text", IntegrityError, "no archive of an image"),
        (f"docker-archive:{tmp_path}/empty.tar", InputError, "no archive of docker save"),
        (f"oci-archive:{tmp_path}/empty.tar", InputError, "no OCI archive"),
        ("docker-daemon:app", EnvironmentFault, "cannot reach the container engine"),
        ("localhost:1/app", NotFoundError, "neither in the container engine of this machine nor in localhost:1"),
        ("docker://localhost:1/app", EnvironmentFault, "cannot reach localhost:1"),
    ]
    for reference, family, named in cases:
        with pytest.raises(family, match=named) as caught:
            places.open(reference)
        if family is NotFoundError:
            assert [reason.partition(" at ")[0] for reason in caught.value.reasons] == [
                "the engine: cannot reach the container engine",
                "the registry: cannot reach localhost:1: connection refused",
            ]


def test_wanted_name(app: Image, places: Places, tmp_path: Path) -> None:
    """An archive is asked for an image by its name."""
    places.store(app, f"docker-archive:{tmp_path}/d.tar:app:1")
    assert places.open(f"docker-archive:{tmp_path}/d.tar:docker.io/library/app:1").config == app.config
    with pytest.raises(InputError, match="0 images other:latest"):
        places.open(f"docker-archive:{tmp_path}/d.tar:other")
    with pytest.raises(InputError, match="not under an id"):
        places.store(app, f"docker-daemon:{app.written().id}")


def test_layer_of_a_file(places: Places, tmp_path: Path) -> None:
    """A layer that was built elsewhere is taken for what its digests say, or not at all."""
    data = tar({"opt/bannock": None})
    packed = gzip.compress(data)
    path = write(tmp_path, "layer", packed)
    made = places.layer_from(path, digest=digest_of(packed), size=len(packed), diff_id=digest_of(data))
    assert [entry.path for entry in made.entries()] == ["opt/bannock"]
    with pytest.raises(IntegrityError):
        places.layer_from(path, digest=digest_of(packed), size=len(packed), diff_id=digest_of(b"")).entries()
    with places.new_layer() as writer:
        writer.file("x", io.BytesIO(b"12"), 2)
        assert writer.finish().entries()[0].path == "x"


def test_nothing_is_left(app: Image, tmp_path: Path) -> None:
    """What was unpacked meanwhile is gone once the places are closed."""
    with Places.prepared(cache=tmp_path / "cache", environment={}) as places:
        places.store(app, f"oci:{tmp_path}/l")
        _tars(places.open(f"oci:{tmp_path}/l"))
        assert list((tmp_path / "cache").iterdir())
    assert not list((tmp_path / "cache").iterdir())


def test_engine_elsewhere() -> None:
    """An engine on another machine is not used by mistake."""
    with pytest.raises(InputError, match=r"DOCKER_HOST is .tcp://10\.0\.0\.1:2375"):
        Places.prepared(environment={"DOCKER_HOST": "tcp://10.0.0.1:2375"})
