"""File-system images that tests write by hand, as the format's document says and without the code that is tested."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

from bannock.identity.image import Contents, ImageFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["contents", "image_head"]


def contents(
    files: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
    host_paths: Sequence[str] = (),
) -> Contents:
    """Describe files by their content."""
    described = {
        path: ImageFile(hashlib.sha256(content).digest(), len(content), 0o644, 0)
        for path, content in (files or {}).items()
    }
    return Contents(files=described, links=links or {}, host_paths=tuple(host_paths))


def image_head(
    files: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
    host_paths: Sequence[str] = (),
) -> bytes:
    """Return the start of an image: the first member of the archive, which lists the others."""
    data = contents(files, links, host_paths).to_json()
    name = b"binary-fs.json"
    header = struct.pack(
        "<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0x21, zlib.crc32(data), len(data), len(data), len(name), 0
    )
    return header + name + data
