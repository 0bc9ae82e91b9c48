"""Layers and images for tests, written with the standard library's tar and not with our own."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import zstandard

from bannock.images import media
from bannock.images.blobs import FileBlob
from bannock.images.config import Config
from bannock.images.digests import digest_of
from bannock.images.model import Image, Layer

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.images.blobs import Scratch


def item(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", size: int = 0, mode: int = 0o644
) -> tarfile.TarInfo:
    """One entry's header."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, size, mode
    return info


def tar(files: dict[str, bytes | tarfile.TarInfo | None], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of files; None stands for a directory."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name, content in files.items():
            match content:
                case None:
                    archive.addfile(item(name, tarfile.DIRTYPE, mode=0o755))
                case tarfile.TarInfo():
                    archive.addfile(content)
                case _:
                    archive.addfile(item(name, size=len(content)), io.BytesIO(content))
    return made.getvalue()


def packed(data: bytes, packing: media.Packing) -> bytes:
    """Pack a tar as a layer is packed."""
    match packing:
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "zstd":
            return zstandard.compress(data)
        case "tar":
            return data


def layer(
    data: bytes, scratch: Scratch, packing: media.Packing = "tar", *, diff_id: str = "", digest: str = "", cut: int = 0
) -> Layer:
    """A layer of a tar in a file; with another digest than it has, or cut short, where a test wants that."""
    blob = packed(data, packing)
    with scratch.file() as (path, file):
        file.write(blob[: len(blob) - cut])
    return Layer(
        FileBlob(path, digest=digest or digest_of(blob), size=len(blob)),
        media_type=media.oci_layer_type(packing),
        diff_id=diff_id or digest_of(data),
        scratch=scratch,
    )


def image(*layers: Layer, config: Config | None = None) -> Image:
    """An image of layers."""
    config = (config or Config()).changed(diff_ids=tuple(one.diff_id for one in layers))
    return Image(config=config, layers=layers, annotations={})


def write(directory: Path, name: str, data: bytes) -> Path:
    """A file."""
    path = directory / name
    path.write_bytes(data)
    return path
