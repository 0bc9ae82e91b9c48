"""What media types say of a blob, in the two vocabularies that are in use: OCI's and Docker's.

Sources: OCI image specification 1.1 (``media-types.md``); "Image Manifest Version 2, Schema 2" of the Docker registry.
Pure.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from bannock.errors import InputError

__all__ = [
    "ACCEPTED",
    "DOCKER_CONFIG",
    "DOCKER_LAYER_GZIP",
    "DOCKER_MANIFEST",
    "DOCKER_MANIFEST_LIST",
    "INDEXES",
    "LAYER_GZIP",
    "LAYER_TAR",
    "LAYER_ZSTD",
    "MANIFESTS",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_MANIFEST",
    "Packing",
    "oci_layer_type",
    "packing_by_magic",
    "packing_of",
]

#: How the tar of a layer is packed.
Packing: TypeAlias = Literal["tar", "gzip", "zstd"]

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TAR: Final = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"

DOCKER_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEXES: Final = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
#: What a registry is asked for.
ACCEPTED: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_MANIFEST_LIST, DOCKER_MANIFEST)

_PACKINGS: Final[dict[str, Packing]] = {
    LAYER_TAR: "tar",
    LAYER_GZIP: "gzip",
    LAYER_ZSTD: "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "tar",
    DOCKER_LAYER_GZIP: "gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
}
#: Layers whose owner does not allow that they are passed on; they may not even be there.
_FOREIGN: Final = ("application/vnd.oci.image.layer.nondistributable", "application/vnd.docker.image.rootfs.foreign")
_MAGIC: Final[dict[bytes, Packing]] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_TYPES: Final[dict[Packing, str]] = {"tar": LAYER_TAR, "gzip": LAYER_GZIP, "zstd": LAYER_ZSTD}


def packing_of(media_type: str) -> Packing:
    """Say how a layer of a media type is packed.

    Raises:
        InputError: it is no layer, or one that may not be passed on.
    """
    if media_type.startswith(_FOREIGN):
        raise InputError(
            f"a layer of the image may not be passed on by its licence (media type {media_type})",
            hint="build on a base image whose layers are all distributable",
        )
    packing = _PACKINGS.get(media_type)
    if packing is None:
        raise InputError(f"a layer of the image has the media type {media_type[:100]!r}, which is not a tar archive's")
    return packing


def packing_by_magic(begin: bytes) -> Packing:
    """Say how a layer is packed by its first bytes, where nothing names its type."""
    return next((packing for magic, packing in _MAGIC.items() if begin.startswith(magic)), "tar")


def oci_layer_type(packing: Packing) -> str:
    """Give OCI's name for a layer packed so."""
    return _TYPES[packing]
