"""The protection file of an image: what its protected directories hold, as records of their files."""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.shield.regions import Protection, Region
from bannock.shield.sealed_tree import Item, RegionContent, write_sealed_tree
from bannock.values import FSPF_KEY_BYTES, FspfKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.images.blobs import Scratch
    from bannock.images.sconify.cache import SealCache
    from bannock.images.sconify.sealing import SealedImage
    from bannock.images.tree import Found
    from bannock.shield.format.seal import RandomBytes
    from bannock.shield.sealed_files import SealedFile
    from bannock.values import FspfTag

__all__ = ["ProtectionFileOfImage", "make_protection_file"]

_FORMAT: Final = "bannock image protection 1"
_TYPES: Final = {"directory": stat.S_IFDIR, "symlink": stat.S_IFLNK, "file": stat.S_IFREG}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionFileOfImage:
    """A protection file, with what a session says of it."""

    content: bytes
    key: FspfKey
    tag: FspfTag


def make_protection_file(
    sealed: SealedImage, scratch: Scratch, cache: SealCache, random: RandomBytes
) -> ProtectionFileOfImage | None:
    """Make the protection file; None where nothing is encrypted. The same image gets the same one.

    Raises:
        InputError: a path is longer than it can be kept.
        EnvironmentFault: the file system refuses.
    """
    regions = [path for path in sealed.plan.directories if sealed.plan.tree.find(path) is not None]
    if not regions and not sealed.plan.authenticated and not sealed.plan.ephemeral:
        return None
    contents = [RegionContent(region=_root())]
    contents += [_content(path, sealed) for path in regions]
    contents += [_authenticated(path, sealed) for path in sealed.plan.authenticated]
    memory = (Region(path=path, protection=Protection.ENCRYPTED, kernel=None) for path in sealed.plan.ephemeral)
    contents += [RegionContent(region=region) for region in memory]
    name = _name(contents)
    if (known := cache.protection_file(name)) is not None:
        content, key, tag = known
        return ProtectionFileOfImage(content=content, key=key, tag=tag)
    key = FspfKey(random(FSPF_KEY_BYTES))
    path = Path(scratch.directory) / "image.fspf"
    tag = write_sealed_tree(path, key, contents, random)
    content = path.read_bytes()
    path.unlink()
    cache.keep_protection_file(name, content, key, tag)
    return ProtectionFileOfImage(content=content, key=key, tag=tag)


def _root() -> Region:
    return Region(path="/", protection=Protection.NOT_PROTECTED, kernel="/")


def _content(path: str, sealed: SealedImage) -> RegionContent:
    region = Region(path=path, protection=Protection.ENCRYPTED, kernel=path)
    return RegionContent(region=region, items=tuple(_items(path, sealed)))


def _items(directory: str, sealed: SealedImage) -> Iterator[Item]:
    for found in sealed.plan.tree.walk(directory):
        kind = found.entry.kind
        if kind in _TYPES and not (kind == "file" and found.path in sealed.plan.measured):
            stored, file = sealed.file(found) if kind == "file" else ("", None)
            yield _item(directory, found, file, stored)


def _authenticated(path: str, sealed: SealedImage) -> RegionContent:
    """Return a region of files that stay as they are, what is measured among them: nothing can be added there."""
    region = Region(path=path, protection=Protection.AUTHENTICATED, kernel=path)
    items = (
        _item(path, found, sealed.records.get((path, found.layer, found.entry.start)), found.path)
        for found in sealed.plan.authenticated_entries(path)
        if found.entry.kind in _TYPES
    )
    return RegionContent(region=region, items=tuple(items))


def _item(directory: str, found: Found, file: SealedFile | None, stored: str) -> Item:
    kind, entry = found.entry.kind, found.entry
    return Item(
        path=found.path.removeprefix(directory).lstrip("/"),
        mode=_TYPES[kind] | (0o777 if kind == "symlink" else entry.mode),
        uid=entry.uid,
        gid=entry.gid,
        modified=entry.modified,
        target=entry.link if kind == "symlink" else "",
        file=file if kind == "file" else None,
        stored=stored.removeprefix(directory).lstrip("/") if kind == "file" else "",
    )


def _name(contents: Sequence[RegionContent]) -> str:
    """Name a protection file by all that is in it."""
    digest = hashlib.sha256(_FORMAT.encode())
    for content in contents:
        region = content.region
        digest.update(json.dumps([region.path, region.protection.value, region.kernel]).encode())
        for item in content.items:
            file = None if item.file is None else [item.file.number, item.file.key.hex(), item.file.chunks[:28].hex()]
            fields = [item.path, item.mode, item.uid, item.gid, item.modified, item.target, item.stored, file]
            digest.update(json.dumps(fields).encode())
    return digest.hexdigest()
