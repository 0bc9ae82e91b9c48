"""Images in one file: OCI layouts in a tar, and what ``docker save`` writes.

Nothing is unpacked: blobs are read where they are in the file. Links in it lead to its other entries at most.
"""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError, IntegrityError
from bannock.files import atomic_writer
from bannock.images import media
from bannock.images.blobs import FileBlob, Slice, unpacked_file
from bannock.images.config import Config
from bannock.images.digests import digest_of, digest_of_stream, hex_of
from bannock.images.fields import Fields, parse_list
from bannock.images.layout import document, entry_of, image_in, index_with, layout_marker
from bannock.images.manifest import DOCUMENT_BYTES_MAX
from bannock.images.model import Image, Layer, Written
from bannock.images.references import ImageName
from bannock.images.tar import entries_in, normal_path
from bannock.images.tar_stream import Member, TarStream

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from bannock.images.blobs import Blob, Scratch
    from bannock.images.manifest import Descriptor
    from bannock.images.tar import Entry

__all__ = [
    "Archive",
    "docker_archive_of",
    "open_docker_archive",
    "open_oci_archive",
    "store_docker_archive",
    "store_oci_archive",
]

_LINKS_MAX: Final = 8
_MANIFEST: Final = "manifest.json"


class Archive:
    """A file with an image in it.

    Args:
        path: the file; it may be packed with gzip or zstd, and is unpacked to ``scratch`` then.
        scratch: where to.
        known: (begin, size) → digest of bytes of the file that were hashed already, by whoever wrote it.

    Raises:
        InputError: it cannot be read.
        IntegrityError: it is no archive, or one that is made to mislead.
    """

    def __init__(self, path: Path, scratch: Scratch, known: Mapping[tuple[int, int], str] | None = None) -> None:
        self.name: Final = str(path)
        self._known = known or {}
        self._path = unpacked_file(path, scratch)
        self._entries: dict[str, Entry] = {}
        with self._path.open("rb") as stream:
            try:
                for entry in entries_in(stream):
                    self._entries[entry.path] = entry
            except IntegrityError as error:
                raise IntegrityError(f"{self.name} is no archive of an image") from error

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def blob(self, descriptor: Descriptor) -> Blob:
        """Return a blob of an OCI layout."""
        entry = self._file(f"blobs/sha256/{hex_of(descriptor.digest)}")
        if entry.size != descriptor.size:
            raise IntegrityError(
                f"the blob {descriptor.digest} in {self.name} has {entry.size} bytes, expected {descriptor.size}"
            )
        return self._blob(entry, descriptor.digest)

    def read(self, name: str) -> bytes:
        """Read a document.

        Raises:
            InputError: it is not there, or larger than documents are.
        """
        entry = self._file(name)
        if entry.size > DOCUMENT_BYTES_MAX:
            raise InputError(
                f"{name} in {self.name} has {entry.size} bytes, more than the {DOCUMENT_BYTES_MAX} allowed"
            )
        with Slice(self._path, entry.data, entry.size) as stream:
            return stream.read(entry.size) or b""

    def layer(self, name: str, diff_id: str, scratch: Scratch) -> Layer:
        """Return a layer of which nothing is known but what its tar has to be."""
        entry = self._file(name)
        with Slice(self._path, entry.data, entry.size) as stream:
            packing = media.packing_by_magic(stream.read(4) or b"")
            stream.seek(0)
            known = self._known.get((entry.data, entry.size))
            digest = diff_id if packing == "tar" else known or digest_of_stream(stream)[0]  # type: ignore[arg-type]
        return Layer(
            self._blob(entry, digest), media_type=media.oci_layer_type(packing), diff_id=diff_id, scratch=scratch
        )

    def _blob(self, entry: Entry, digest: str) -> Blob:
        trusted = self._known.get((entry.data, entry.size)) == digest
        return FileBlob(self._path, digest=digest, size=entry.size, offset=entry.data, trusted=trusted)

    def _file(self, name: str) -> Entry:
        """Find a file; layers that are there twice are links in what older engines write."""
        path = normal_path(name)
        for _ in range(_LINKS_MAX):
            entry = self._entries.get(path)
            if entry is None:
                break
            match entry.kind:
                case "file" if not entry.sparse:
                    return entry
                case "symlink":
                    # Also where it steps up, it leads to a name in the archive, or to none.
                    path = normal_path(posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.link)))
                case "hardlink":
                    path = entry.link
                case _:
                    break
        raise InputError(f"there is no file {name[:200]!r} in {self.name}")


def open_oci_archive(path: Path, tag: str, *, reference: str, scratch: Scratch) -> Image:
    """Open an image in a tar of an OCI layout.

    Raises:
        InputError: it is not there, or not for this machine.
        IntegrityError: something in the archive is not what it has to be.
    """
    archive = Archive(path, scratch)
    if "index.json" not in archive:
        raise InputError(f"{path} is no OCI archive: it has no index.json", hint=f"try docker-archive:{path}")
    descriptor = entry_of(archive.read("index.json"), tag, str(path))
    return image_in(archive, descriptor, document(archive, descriptor), reference=reference, scratch=scratch)


def open_docker_archive(
    path: Path,
    name: ImageName | None,
    *,
    reference: str,
    scratch: Scratch,
    known: Mapping[tuple[int, int], str] | None = None,
) -> Image:
    """Open an image in what ``docker save`` wrote; ``known`` is as of :class:`Archive`.

    Raises:
        InputError: it is not there, or not for this machine.
        IntegrityError: something in the archive is not what it has to be.
    """
    archive = Archive(path, scratch, known)
    if _MANIFEST not in archive:
        raise InputError(f"{path} is no archive of docker save: it has no {_MANIFEST}", hint=f"try oci-archive:{path}")
    entry = _docker_entry(archive, name)
    config_bytes = archive.read(entry.text("Config", None))
    config = Config.parse(config_bytes)
    if (config.os, config.architecture) != ("linux", "amd64"):
        raise InputError(f"{reference} is for {config.os}/{config.architecture}, expected linux/amd64")
    names = entry.texts("Layers")
    if len(names) != len(config.diff_ids):
        raise IntegrityError(f"{reference} has {len(names)} layers, its configuration {len(config.diff_ids)}")
    layers = tuple(archive.layer(one, diff_id, scratch) for one, diff_id in zip(names, config.diff_ids, strict=True))
    return Image(config=config, layers=layers, reference=reference, annotations={}, config_bytes=config_bytes)


def _docker_entry(archive: Archive, name: ImageName | None) -> Fields:
    """Find one image among those of an archive."""
    what = f"{_MANIFEST} of {archive.name}"
    found = [Fields(item, what) for item in parse_list(archive.read(_MANIFEST), what)]
    names = [tag for item in found for tag in item.texts("RepoTags")]
    if name is not None:
        fitting = [item for item in found if any(_same(tag, name) for tag in item.texts("RepoTags"))]
    else:
        fitting = found
    if len(fitting) != 1:
        raise InputError(
            f"there are {len(fitting)} images {name.familiar if name else ''} in {archive.name}, expected one",
            hint=f"it has: {', '.join(names)[:500]}" if names else None,
        )
    return fitting[0]


def _same(tag: str, name: ImageName) -> bool:
    try:
        return ImageName.parse(tag) == name
    except InputError:
        return False


def docker_archive_of(
    image: Image, name: ImageName | None, *, without: Collection[int] = ()
) -> tuple[TarStream, Written]:
    """Give an image as ``docker load`` reads it.

    Args:
        image: the image.
        name: what it is called after it was loaded.
        without: numbers of layers that whoever reads it has already.

    Raises:
        IntegrityError: a layer is not what its digests say.
    """
    written = image.written()
    entry = {
        "Config": f"{hex_of(written.id)}.json",
        "RepoTags": [name.tagged.familiar] if name else None,
        "Layers": [f"{hex_of(layer.diff_id)}/layer.tar" for layer in image.layers],
    }
    members: dict[str, Member] = {}
    for number, layer in enumerate(image.layers):
        if number not in without:
            tar = layer.tar()
            path = f"{hex_of(layer.diff_id)}/layer.tar"
            members[path] = Member(path, tar.size, tar.open)
    documents = [
        Member.of(f"{hex_of(written.id)}.json", written.config),
        Member.of(_MANIFEST, json.dumps([entry]).encode()),
    ]
    return TarStream([*documents, *members.values()]), written


def store_docker_archive(image: Image, path: Path, name: ImageName | None) -> Written:
    """Write an image into a file that ``docker load`` reads.

    Raises:
        EnvironmentFault: the file system refuses.
        IntegrityError: a layer is not what its digests say.
    """
    stream, written = docker_archive_of(image, name)
    _store(stream, path)
    return written


def store_oci_archive(image: Image, path: Path, tag: str) -> Written:
    """Write an image into a tar of an OCI layout.

    Raises:
        EnvironmentFault: the file system refuses.
        IntegrityError: a layer is not what its digest says.
    """
    written = image.written_for_oci()
    members = {
        f"blobs/sha256/{hex_of(layer.digest)}": Member(
            f"blobs/sha256/{hex_of(layer.digest)}", layer.size, layer.blob.open
        )
        for layer in image.layers
    }
    documents = [
        Member.of("oci-layout", layout_marker()),
        Member.of("index.json", index_with({}, written, tag)),
        *(Member.of(f"blobs/sha256/{hex_of(digest_of(data))}", data) for data in (written.manifest, written.config)),
    ]
    _store(TarStream([*documents, *members.values()]), path)
    return written


def _store(stream: TarStream, path: Path) -> None:
    with atomic_writer(path, mode=0o644) as file:
        for block in stream:
            file.write(block)
