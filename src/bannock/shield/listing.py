"""What a protection file holds, for people and scripts: its states without a key, its regions and files with one.

Reads names and records, no contents.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.shield.fspf import Fspf, headers
from bannock.shield.original import is_original, open_original
from bannock.shield.volume import PROTECTION_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.shield.format.pages import Header
    from bannock.shield.original import OriginalRegion
    from bannock.shield.regions import Region
    from bannock.values import FspfKey, FspfTag

__all__ = ["Listed", "ListedRegion", "Listing", "is_encrypted", "list_fspf", "protection_file", "state_tag"]

_FORMAT: Final = "bannock 1"
_ORIGINAL: Final = "scone 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A file, directory or symbolic link.

    Attributes:
        path: as the application sees it.
        mode: type and permissions as ``ls`` shows them; dashes where the format records none.
        size: bytes of a file or of a link's target, 0 for a directory.
        protection: what is done for it.
        target: of a link, where it is known.
        ciphertext: path below the region's directory of the file that holds its text; None if there is none.
    """

    path: str
    mode: str
    size: int
    protection: str
    target: str | None
    ciphertext: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRegion:
    """A region; ``kernel`` is None for an ephemeral one, and empty for a volume."""

    path: str
    protection: str
    kernel: str | None
    chunk_bytes: int
    key_bytes: int
    files: tuple[Listed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A protection file.

    Attributes:
        file: where it is.
        format: whose, and which version.
        tag: of its state.
        commit: number of the commit; None where the format counts none.
        encrypted: whether it says that it is encrypted.
        authentic: whether the key vouches for all that is told here.
        unknown_fields: parts of a file of the original format that are not known here.
        regions: in the order of their paths; None where the key is needed for them.
    """

    file: str
    format: str
    tag: str
    commit: int | None
    encrypted: bool
    authentic: bool
    unknown_fields: tuple[str, ...]
    regions: tuple[ListedRegion, ...] | None


def protection_file(path: Path) -> Path:
    """Return the protection file that a user means: of a directory, that of the volume in it.

    Raises:
        InputError: there is none.
    """
    file = path / PROTECTION_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"there is no file {file}")
    return file


def is_encrypted(path: Path) -> bool:
    """Whether a protection file says that it is encrypted; False for what is none, which is told when it is opened."""
    if not path.is_file():
        return False
    if is_original(path):
        return open_original(path).sealed
    found = headers(path)
    return bool(found) and not found[0].public


def state_tag(file: Path) -> FspfTag:
    """Return the tag of the state that a protection file says it is in; without its key that proves nothing.

    Raises:
        InputError: it is no protection file.
    """
    return open_original(file).tag if is_original(file) else _newest(file).tag


def list_fspf(file: Path, key: FspfKey | None) -> Listing:
    """Look at a protection file; without the key of one that is encrypted there is not much to see.

    Raises:
        InputError: it is no protection file, or is not encrypted and there is a key.
        IntegrityError: it is not authentic, or damaged (:mod:`bannock.shield.check` goes on behind damage).
    """
    if is_original(file):
        return _list_original(file, key)
    newest = _newest(file)
    if key is None and not newest.public:
        return Listing(
            file=str(file), format=_FORMAT, tag=str(newest.tag), commit=newest.generation, encrypted=True,
            authentic=False, unknown_fields=(), regions=None,
        )  # fmt: skip
    with Fspf.open(file, key, writable=False) as fspf:
        return Listing(
            file=str(file), format=_FORMAT, tag=str(fspf.tag), commit=fspf.generation, encrypted=fspf.encrypted,
            authentic=fspf.encrypted, unknown_fields=(),
            regions=tuple(_region(region, tuple(_files(fspf, region, file))) for region in fspf.regions),
        )  # fmt: skip


def _newest(file: Path) -> Header:
    if not (found := headers(file)):
        raise InputError(f"{file} is no file-system protection file of a version that is known here")
    return found[0]


def _region(region: Region | OriginalRegion, files: tuple[Listed, ...]) -> ListedRegion:
    return ListedRegion(
        path=region.path,
        protection=str(region.protection),
        kernel=region.kernel,
        chunk_bytes=region.chunk_bytes,
        key_bytes=region.key_bytes,
        files=files,
    )


def _files(fspf: Fspf, region: Region, file: Path) -> Iterator[Listed]:
    """Yield what is in a region, each directory before what is in it; nothing for one that keeps no records."""
    if not region.kept:
        return
    volume = fspf.open_region(region.path, file.absolute().parent, writable=False)
    waiting = [(region.path.rstrip("/"), volume.root)]
    while waiting:
        above, parent = waiting.pop()
        for entry in volume.names.entries(parent):
            inode, path = volume.inodes.get(entry.ino), f"{above}/{_text(entry.name)}"
            if inode.is_directory:
                waiting.append((path, entry.ino))
            is_link = stat.S_ISLNK(inode.mode)
            yield Listed(
                path=path,
                mode=stat.filemode(inode.mode),
                size=inode.size,
                protection=str(region.protection),
                target=_text(volume.names.link_target(entry.ino)) if is_link else None,
                ciphertext=_text(inode.backing) if inode.is_file and inode.slots else None,
            )


def _list_original(file: Path, key: FspfKey | None) -> Listing:
    original = open_original(file, key)
    regions = original.regions
    return Listing(
        file=str(file),
        format=_ORIGINAL,
        tag=str(original.tag),
        commit=None,
        encrypted=original.sealed,
        authentic=original.sealed and regions is not None,
        unknown_fields=original.unknown,
        regions=None if regions is None else tuple(_region(region, _original_files(region)) for region in regions),
    )


def _original_files(region: OriginalRegion) -> tuple[Listed, ...]:
    above = "" if region.path in {"/", "."} else region.path
    return tuple(
        Listed(
            path=f"{above}/{file.name}",
            mode="l---------" if file.link else "----------",
            size=file.size,
            protection="encrypted" if file.encrypted else "authenticated",
            target=None,
            ciphertext=file.name,
        )
        for file in region.files
    )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
