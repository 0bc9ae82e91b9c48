"""Manifests, indexes and configurations: what strangers wrote is checked, and kept where it is not known."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError, IntegrityError
from bannock.images import media
from bannock.images.config import Config, History
from bannock.images.manifest import Manifest, choose_platform, media_type_of
from bannock.images.model import Image

_DIGEST = "sha256:" + "a" * 64
_OTHER = "sha256:" + "b" * 64


_NAMES = st.sampled_from(
    [
        "config",
        "layers",
        "manifests",
        "rootfs",
        "diff_ids",
        "history",
        "Env",
        "digest",
        "size",
        "mediaType",
        "platform",
    ]
)


def _deeper(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(values, max_size=3) | st.dictionaries(_NAMES, values, max_size=4)


def _bytes(document: object) -> bytes:
    return json.dumps(document).encode()


def _descriptor(media_type: str, digest: str = _DIGEST, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": 7, **more}


def _manifest(**changes: object) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "config": _descriptor(media.DOCKER_CONFIG),
        "layers": [_descriptor(media.DOCKER_LAYER_GZIP, _OTHER, annotations={"a": "b"})],
    } | changes


_CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "os.version": "1",
    "created": "2024-01-01T00:00:00Z",
    "container_config": {"Env": ["SECRET=1"]},
    "config": {
        "Env": ["PATH=/bin", "EMPTY=", "A=b=c"],
        "Entrypoint": ["/entry", "point"],
        "Cmd": "single",
        "WorkingDir": "/app",
        "User": "1000:100",
        "Labels": {"l": "1"},
        "Volumes": {"/v": {}},
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGINT",
        "Shell": ["/bin/ash"],
        "Healthcheck": {"Test": ["NONE"]},
        "OnBuild": None,
        "Unknown": 3,
    },
    "rootfs": {"type": "layers", "diff_ids": [_DIGEST]},
    "history": [{"created_by": "ADD x"}, {"created_by": "ENV", "empty_layer": True}],
}


def test_configuration() -> None:
    """All that a container is made of is found."""
    config = Config.parse(_bytes(_CONFIG))
    assert config.env == (("PATH", "/bin"), ("EMPTY", ""), ("A", "b=c"))
    assert config.entrypoint == ("/entry", "point")
    assert config.cmd == ("single",)
    assert (config.working_dir, config.user, config.stop_signal) == ("/app", "1000:100", "SIGINT")
    assert (config.volumes, config.exposed_ports, config.labels) == (("/v",), ("80/tcp",), {"l": "1"})
    assert config.diff_ids == (_DIGEST,)
    assert config.history == (History(created_by="ADD x"), History(created_by="ENV", empty_layer=True))


def test_configuration_written() -> None:
    """What was changed is written, what is not known is kept, and what Docker kept of the build is not."""
    changed = Config.parse(_bytes(_CONFIG)).changed(cmd=("python3",), env=(), labels={"m": "2"})
    document = json.loads(changed.to_bytes())
    assert document["config"]["Cmd"] == ["python3"]
    assert document["config"]["Labels"] == {"m": "2"}
    assert document["config"]["Unknown"] == 3
    assert document["os.version"] == "1"
    assert "Env" not in document["config"]
    assert b"SECRET" not in changed.to_bytes()
    assert Config.parse(changed.to_bytes()) == changed
    assert Config.parse(changed.to_bytes()).to_bytes() == changed.to_bytes()


def test_history_has_to_fit() -> None:
    """A history that tells of other layers than there are is no image that engines take."""
    config = Config.parse(_bytes(_CONFIG))
    with pytest.raises(InputError, match="has 1 layers, the image has 2"):
        config.changed(diff_ids=(_DIGEST, _OTHER))
    added = config.changed(history=(*config.history, History(created_by="more")), diff_ids=(_DIGEST, _OTHER))
    assert len(added.history) == 3


def test_layers_have_to_fit() -> None:
    """A manifest and a configuration of two images are none."""
    with pytest.raises(IntegrityError, match="0 layers, its configuration 1"):
        Image(config=Config.parse(_bytes(_CONFIG)), layers=(), annotations={})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"config": []}, "config is not a JSON object"),
        ({"config": {"Env": "A=b"}}, None),
        ({"config": {"Env": [1]}}, "Env is not a list of texts"),
        ({"config": {"Labels": {"a": 1}}}, "Labels is not an object of texts"),
        ({"config": {"User": 0}}, "User is not a text"),
        ({"config": {"Volumes": ["/v"]}}, "Volumes is not a JSON object"),
        ({"config": {"Healthcheck": []}}, "Healthcheck is not a JSON object"),
        ({"rootfs": {"type": "windows"}}, "'windows'"),
        ({"rootfs": {"diff_ids": ["md5:0"]}}, "a digest is"),
        ({"rootfs": {"diff_ids": {}}}, "diff_ids is not a list"),
        ({"history": [{"empty_layer": 1}]}, "empty_layer is not true or false"),
        ({"history": ["x"]}, "not a JSON object"),
    ],
)
def test_malformed_configuration(change: dict[str, object], named: str | None) -> None:
    """A field that is not what it has to be is named."""
    if named is None:
        assert Config.parse(_bytes(_CONFIG | change)).env == (("A", "b"),)
        return
    with pytest.raises(InputError, match=named):
        Config.parse(_bytes(_CONFIG | change))


def test_manifest() -> None:
    """Docker's manifest and OCI's are read alike; OCI's is written, the same each time."""
    manifest = Manifest.parse(_bytes(_manifest(annotations={"x": "y"})))
    assert manifest.layers[0].annotations == {"a": "b"}
    assert Manifest.parse(manifest.to_bytes()) == manifest
    assert media_type_of(manifest.to_bytes()) == media.OCI_MANIFEST


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schemaVersion": 1}, "schema version 1"),
        ({"layers": [{}]}, "mediaType is not a text"),
        ({"layers": [_descriptor("x", "sha256:../../etc")]}, "a digest is"),
        ({"layers": [_descriptor("x", size=-1)]}, "size is not a number of bytes"),
        ({"layers": [_descriptor("x", size=1 << 70)]}, "size is not a number of bytes"),
        ({"layers": [_descriptor("x", size=True)]}, "size is not a number of bytes"),
        ({"layers": [_descriptor("x")] * 1001}, "1001 layers"),
        ({"config": _descriptor("application/vnd.cncf.helm.config.v1+json")}, "no container image"),
        ({"config": None}, "mediaType"),
    ],
)
def test_malformed_manifest(change: dict[str, object], named: str) -> None:
    """A manifest that is not one is told as that."""
    with pytest.raises(InputError, match=named):
        Manifest.parse(_bytes(_manifest(**change)))


def _platform(system: str, architecture: str, variant: str = "") -> dict[str, str]:
    return {"os": system, "architecture": architecture} | ({"variant": variant} if variant else {})


def test_platform() -> None:
    """Of several platforms the one that enclaves run on is taken, and that is told."""
    entries = [
        _descriptor(media.OCI_MANIFEST, _OTHER, platform=_platform("linux", "arm64", "v8")),
        _descriptor(media.OCI_MANIFEST, _DIGEST, platform=_platform("linux", "amd64")),
        _descriptor(media.OCI_MANIFEST, _OTHER, platform=_platform("unknown", "unknown")),
    ]
    chosen = choose_platform(_bytes({"manifests": entries}))
    assert chosen.descriptor.digest == _DIGEST
    assert chosen.notes == ("took linux/amd64 of 2 platforms (linux/amd64, linux/arm64/v8)",)
    assert not choose_platform(_bytes({"manifests": entries[1:]})).notes
    with pytest.raises(InputError, match="it is there for: linux/arm64/v8"):
        choose_platform(_bytes({"manifests": entries[:1]}))
    with pytest.raises(InputError, match="there for: nothing"):
        choose_platform(b"{}")


def test_index_of_one_image_without_a_platform() -> None:
    """Tools that write one image write no platform; then it is that one."""
    entry = _descriptor(media.OCI_MANIFEST)
    assert choose_platform(_bytes({"manifests": [entry]})).descriptor.digest == _DIGEST
    with pytest.raises(InputError, match="unnamed"):
        choose_platform(_bytes({"manifests": [entry, entry]}))


def test_two_documents_in_one() -> None:
    """A document that is a manifest to one reader and an index to another is neither (CVE-2021-41190)."""
    both = _manifest(manifests=[])
    with pytest.raises(InputError, match="fields of an image and of an index"):
        media_type_of(_bytes(both))
    with pytest.raises(InputError, match="calls itself"):
        media_type_of(_bytes({"mediaType": media.OCI_INDEX, "layers": []}), media.OCI_MANIFEST)
    assert media_type_of(_bytes({"manifests": []})) == media.OCI_INDEX
    assert media_type_of(_bytes({}), f"{media.DOCKER_MANIFEST}; charset=utf-8") == media.DOCKER_MANIFEST


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), _deeper, max_leaves=20))
def test_any_document(document: object) -> None:
    """Whatever a document says, it is read, or our error is raised."""
    for parse in (Config.parse, Manifest.parse, choose_platform, media_type_of):
        with suppress(InputError):
            parse(_bytes(document))


@pytest.mark.parametrize("data", [b"", b"[" * 100_000, b"\xff", b"1", b'{"a": ' * 50_000])
def test_no_document(data: bytes) -> None:
    """Bytes that are no JSON are told as that, however deep they go."""
    with pytest.raises(InputError, match="not a JSON"):
        Config.parse(data)
