"""Images in OCI layouts: a directory with an index and blobs (``image-layout.md`` of the OCI image specification).

What reads a layout does not care where its files are: :class:`BlobSource` is a directory, an archive or a registry.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import EnvironmentFault, InputError, IntegrityError
from bannock.files import atomic_writer, read_bounded, write_atomically
from bannock.images import media
from bannock.images.blobs import FileBlob
from bannock.images.config import Config
from bannock.images.digests import blocks, digest_of, hex_of, require_digest
from bannock.images.fields import Fields, parse_object
from bannock.images.manifest import DOCUMENT_BYTES_MAX, Descriptor, Manifest, choose, choose_platform, media_type_of
from bannock.images.model import Image, Layer, Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.images.blobs import Blob, Scratch

__all__ = ["REF_NAME", "BlobSource", "LayoutDirectory", "entry_of", "image_in", "open_layout", "store_layout"]

#: The annotation that names an image in an index.
REF_NAME: Final = "org.opencontainers.image.ref.name"
#: What the engine's exporter calls the whole name of an image.
_FULL_NAME: Final = "io.containerd.image.name"
_VERSION: Final = b'{"imageLayoutVersion":"1.0.0"}'
#: An index that names an index that names an index … ends here.
_DEPTH_MAX: Final = 4


class BlobSource(Protocol):
    """Where the blobs of an image are."""

    def blob(self, descriptor: Descriptor) -> Blob:
        """Return a blob, of which nothing is read before it is opened.

        Raises:
            InputError: it is not there.
        """


class LayoutDirectory:
    """A directory with an OCI layout."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def blob(self, descriptor: Descriptor) -> Blob:
        """Return a blob."""
        return FileBlob(self.blob_path(descriptor.digest), digest=descriptor.digest, size=descriptor.size)

    def blob_path(self, digest: str) -> Path:
        """Say where a blob is."""
        return self.path / "blobs" / "sha256" / hex_of(digest)

    def index(self) -> bytes:
        """Read the index.

        Raises:
            InputError: the directory has none.
        """
        return read_bounded(self.path / "index.json", DOCUMENT_BYTES_MAX)


def document(source: BlobSource, descriptor: Descriptor) -> bytes:
    """Read a manifest, an index or a configuration.

    Raises:
        InputError: it is larger than those are.
        IntegrityError: it is not what its digest says.
    """
    if descriptor.size > DOCUMENT_BYTES_MAX:
        raise InputError(
            f"a document of the image has {descriptor.size} bytes, more than the {DOCUMENT_BYTES_MAX} allowed"
        )
    with source.blob(descriptor).open() as stream:
        data = stream.read()
    require_digest(digest_of(data), descriptor.digest, "a document of the image")
    return data


def image_in(source: BlobSource, descriptor: Descriptor, data: bytes, *, reference: str, scratch: Scratch) -> Image:
    """Make an image of its manifest, or of an index that has one for this machine.

    Args:
        source: where its blobs are.
        descriptor: what the manifest or index is.
        data: its bytes, verified.
        reference: what messages call the image.
        scratch: where its layers are unpacked.

    Raises:
        InputError: there is none for this machine, or a document is malformed.
        IntegrityError: a document is not what its digest says, or they contradict each other.
    """
    notes: tuple[str, ...] = ()
    depth = 0
    while (media_type := media_type_of(data, descriptor.media_type)) in media.INDEXES:
        depth += 1
        if depth > _DEPTH_MAX:
            raise InputError(f"{reference} is an index of indexes, more than {_DEPTH_MAX} deep")
        chosen = choose_platform(data)
        descriptor, notes = chosen.descriptor, notes + chosen.notes
        data = document(source, descriptor)
    manifest = Manifest.parse(data)
    config_bytes = document(source, manifest.config)
    config = Config.parse(config_bytes)
    if (config.os, config.architecture) != ("linux", "amd64"):
        raise InputError(f"{reference} is for {config.os}/{config.architecture}, expected linux/amd64")
    if len(config.diff_ids) != len(manifest.layers):
        raise IntegrityError(
            f"{reference} has {len(manifest.layers)} layers by its manifest, "
            f"{len(config.diff_ids)} by its configuration"
        )
    layers = (
        Layer(
            source.blob(one), media_type=one.media_type, diff_id=diff_id, scratch=scratch, annotations=one.annotations
        )
        for one, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
    )
    return Image(
        config=config,
        layers=tuple(layers),
        reference=reference,
        notes=notes,
        annotations=manifest.annotations,
        config_bytes=config_bytes,
        original=Written(media_type=media_type, manifest=data, config=config_bytes),
    )


def entry_of(index: bytes, tag: str, where: str) -> Descriptor:
    """Find an image in the index of a layout.

    Raises:
        InputError: it is not there, or there are several and no tag says which.
    """
    items = Fields(parse_object(index, f"the index of {where}"), f"the index of {where}").items("manifests")
    found = [Descriptor.parse(item, f"an entry of the index of {where}") for item in items]
    names = sorted({name for item in found if (name := item.annotations.get(REF_NAME))})
    if tag:
        fitting = [item for item in found if tag in _names(item)]
    elif len({item.annotations.get(REF_NAME) for item in found}) == 1:
        fitting = found
    else:
        fitting = [item for item in found if REF_NAME not in item.annotations]
    if not fitting:
        raise InputError(
            f"there is no image {tag or 'without a tag'} in {where}; it has: {', '.join(names)[:500] or 'none'}",
            hint="name one of them behind a colon" if names else None,
        )
    return fitting[0] if len(fitting) == 1 else choose(fitting).descriptor


def _names(item: Descriptor) -> set[str]:
    return {item.annotations.get(REF_NAME, ""), item.annotations.get(_FULL_NAME, "").rpartition(":")[2]}


def open_layout(path: Path, tag: str, *, reference: str, scratch: Scratch) -> Image:
    """Open an image in a directory.

    Raises:
        InputError: as :func:`entry_of` and :func:`image_in`.
        IntegrityError: as :func:`image_in`.
    """
    source = LayoutDirectory(path)
    descriptor = entry_of(source.index(), tag, str(path))
    return image_in(source, descriptor, document(source, descriptor), reference=reference, scratch=scratch)


def store_layout(image: Image, path: Path, tag: str) -> Written:
    """Put an image into a directory, beside those that are there; blobs that are there stay.

    Raises:
        EnvironmentFault: the file system refuses.
        InputError: the directory is no layout.
        IntegrityError: a layer of the image is not what its digest says.
    """
    target = LayoutDirectory(path)
    written = image.written_for_oci()
    try:
        (path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"cannot make {path}: {error.strerror}") from error
    for layer in image.layers:
        _store_blob(target, layer.blob)
    for data in (written.config, written.manifest):
        write_atomically(target.blob_path(digest_of(data)), data, mode=0o644)
    with _locked(path):
        if not (path / "oci-layout").exists():
            write_atomically(path / "oci-layout", _VERSION, mode=0o644)
        index = parse_object(target.index(), f"the index of {path}") if (path / "index.json").exists() else {}
        write_atomically(path / "index.json", index_with(index, written, tag), mode=0o644)
    return written


def index_with(index: dict[str, object], written: Written, tag: str) -> bytes:
    """Give an index with one more image, in place of the one that has had its tag."""
    annotations = {REF_NAME: tag} if tag else {}
    descriptor = Descriptor(
        media_type=written.media_type, digest=written.digest, size=len(written.manifest), annotations=annotations
    )
    others = [
        item
        for item in Fields(index, "the index").items("manifests")
        if Descriptor.parse(item, "an entry of the index").annotations.get(REF_NAME) != (tag or None)
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": media.OCI_INDEX,
        "manifests": [*others, descriptor.to_json()],
    }
    return json.dumps(document, separators=(",", ":")).encode("utf-8")


def layout_marker() -> bytes:
    """Give the content of the file that marks a layout."""
    return _VERSION


def _store_blob(target: LayoutDirectory, blob: Blob) -> None:
    path = target.blob_path(blob.digest)
    with contextlib.suppress(InputError, IntegrityError):
        # What is there is taken for the blob only if it is it.
        FileBlob(path, digest=blob.digest, size=blob.size).open().close()
        return
    with blob.open() as stream, atomic_writer(path, mode=0o644) as file:
        for block in blocks(stream):
            file.write(block)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep others from changing the index meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
