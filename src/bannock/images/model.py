"""An image as it is worked with: its layers, what a container of it runs, and the copy with other ones.

Not responsible for where images come from (:mod:`bannock.images.places`) or for what is in layers
(:mod:`bannock.images.tar`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from bannock.errors import InputError, IntegrityError
from bannock.images import media
from bannock.images.blobs import unpacked
from bannock.images.digests import digest_of
from bannock.images.manifest import Descriptor, Manifest
from bannock.images.tar import entries_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bannock.images.blobs import Blob, Scratch
    from bannock.images.config import Config
    from bannock.images.tar import Entry

__all__ = ["Image", "Layer", "Written", "require_content"]


class Layer:
    """A layer: a tar, packed or not.

    Args:
        blob: its bytes.
        media_type: how they are packed.
        diff_id: digest of the tar.
        scratch: where it is unpacked, when somebody asks for it.
        annotations: what its manifest said of it.
        entries: what is in the tar, where whoever wrote it knows.
    """

    def __init__(
        self,
        blob: Blob,
        *,
        media_type: str,
        diff_id: str,
        scratch: Scratch,
        annotations: Mapping[str, str] | None = None,
        entries: Iterable[Entry] | None = None,
    ) -> None:
        self.packing: Final = media.packing_of(media_type)
        self.blob: Final = blob
        self.media_type: Final = media_type
        self.diff_id: Final = diff_id
        self.annotations: Final = dict(annotations or {})
        self._scratch = scratch
        self._entries = None if entries is None else tuple(entries)
        if self.packing == "tar" and blob.digest != diff_id:
            raise IntegrityError(
                f"a layer is {blob.digest} by the manifest of the image, and {diff_id} by its configuration"
            )

    @property
    def digest(self) -> str:
        """Digest of the bytes as they are, packed or not."""
        return self.blob.digest

    @property
    def size(self) -> int:
        """Size of the bytes as they are."""
        return self.blob.size

    def tar(self) -> Blob:
        """Return the plain tar as a blob.

        Raises:
            IntegrityError: the layer is not what its digests say.
        """
        return unpacked(self.blob, self.packing, self.diff_id, self._scratch)

    def unpacked(self) -> BinaryIO:
        """Open the plain tar, verified and seekable.

        Raises:
            IntegrityError: the layer is not what its digests say.
        """
        return self.tar().open()

    def entries(self) -> tuple[Entry, ...]:
        """List what is in the tar, in its order.

        Raises:
            IntegrityError: as :meth:`tar`; it is no tar, or one that is made to mislead.
        """
        if self._entries is None:
            with self.unpacked() as stream:
                self._entries = tuple(entries_in(stream))
        return self._entries

    def content(self, entry: Entry) -> BinaryIO:
        """Open the content of a file in the layer.

        Raises:
            InputError: it is no file, or one with holes that were left out of the tar.
            IntegrityError: as :meth:`tar`.
        """
        require_content(entry)
        return self.tar().part(entry.data, entry.size)

    def descriptor(self) -> Descriptor:
        """Say what the layer is, in OCI's words."""
        return Descriptor(
            media_type=media.oci_layer_type(self.packing),
            digest=self.digest,
            size=self.size,
            annotations=self.annotations,
        )

    def __repr__(self) -> str:
        return f"Layer({self.digest}, {self.size} bytes, {self.packing})"


def require_content(entry: Entry) -> None:
    """See that an entry has content that can be read.

    Raises:
        InputError: it is no file, or one with holes that were left out of the tar.
    """
    if entry.kind != "file" or entry.sparse:
        raise InputError(f"/{entry.path} in the image is {'sparse' if entry.sparse else 'no file'}: it is not read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The documents of an image.

    Attributes:
        media_type: of the manifest.
        manifest: its bytes.
        config: bytes of the configuration, which the manifest names.
    """

    media_type: str
    manifest: bytes
    config: bytes

    @property
    def digest(self) -> str:
        """Digest of the manifest: what the image is called by in registries."""
        return digest_of(self.manifest)

    @property
    def id(self) -> str:
        """Digest of the configuration: what the image is called by in an engine."""
        return digest_of(self.config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image.

    Attributes:
        config: what a container of it runs.
        layers: the lowest first.
        reference: where it came from.
        notes: what to tell a person of how it was found.
        annotations: those of its manifest.
        config_bytes: the configuration as it was read; empty once something was changed.
        original: the documents as they were read; None where there were none, or once something was changed.
    """

    config: Config
    layers: tuple[Layer, ...]
    reference: str = ""
    notes: tuple[str, ...] = ()
    annotations: Mapping[str, str]
    config_bytes: bytes = b""
    original: Written | None = None

    def __post_init__(self) -> None:
        found = tuple(layer.diff_id for layer in self.layers)
        if found != self.config.diff_ids:
            raise IntegrityError(
                f"the image has {len(found)} layers, its configuration {len(self.config.diff_ids)} (or others)"
            )

    def changed(self, *, config: Config | None = None, layers: Iterable[Layer] | None = None) -> Self:
        """Give a copy with other layers, or another configuration; what it names as layers follows.

        Raises:
            InputError: the history tells of more or fewer layers than there are.
        """
        chosen = self.layers if layers is None else tuple(layers)
        config = (config or self.config).changed(diff_ids=tuple(layer.diff_id for layer in chosen))
        return type(self)(
            config=config,
            layers=chosen,
            reference=self.reference,
            notes=self.notes,
            annotations=self.annotations,
        )

    def repacked(self, layers: Iterable[Layer]) -> Self:
        """Give a copy whose layers are the same tars, packed in another way; the configuration stays."""
        return replace(self, layers=tuple(layers), original=None)

    def written(self) -> Written:
        """Give the documents of the image: those it was read with, as long as nothing was changed."""
        if self.original is not None:
            return self.original
        config = self.config_bytes or self.config.to_bytes()
        manifest = Manifest(
            config=Descriptor(media_type=media.OCI_CONFIG, digest=digest_of(config), size=len(config)),
            layers=tuple(layer.descriptor() for layer in self.layers),
            annotations=self.annotations,
        )
        return Written(media_type=media.OCI_MANIFEST, manifest=manifest.to_bytes(), config=config)

    def written_for_oci(self) -> Written:
        """Give the documents as OCI has them, whatever the image was read with; the configuration stays."""
        if self.original is not None and self.original.media_type != media.OCI_MANIFEST:
            return replace(self, original=None).written()
        return self.written()

    @property
    def size(self) -> int:
        """Bytes of all layers as they are."""
        return sum(layer.size for layer in self.layers)
