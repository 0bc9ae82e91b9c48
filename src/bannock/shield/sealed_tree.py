"""A main protection file made at once, of files that were sealed before (:mod:`bannock.shield.sealed_files`).

The alternative to :class:`bannock.shield.fspf.Fspf` there is nothing yet that could be changed, and nothing has to be
durable on the way: the tree is put together in its order and written once.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bannock.errors import Bug, EnvironmentFault, InputError
from bannock.shield.format.pages import NO_PAGE, Pager
from bannock.shield.format.records import (
    MAX_BACKING_BYTES,
    Inode,
    encode_name,
    inode_key,
    link_key,
    name_key,
    region_key,
    short_backing,
)
from bannock.shield.format.seal import page_sealer
from bannock.shield.format.tree import Tree
from bannock.shield.regions import Region, encode_region

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from bannock.shield.format.seal import RandomBytes
    from bannock.shield.sealed_files import SealedFile
    from bannock.values import FspfKey, FspfTag

__all__ = ["Item", "RegionContent", "write_sealed_tree"]

_LINK_MAX: Final = 4095
_LINK_PART: Final = 1024
_NANOSECONDS: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One name in a region; those above it come before it.

    Attributes:
        path: relative to the region's topmost directory; empty for that itself.
        mode: type and permissions, as st_mode.
        uid, gid: owner.
        modified: seconds since 1970.
        target: of a symbolic link.
        file: of a regular file; the same object for every hard link to it.
        stored: of a regular file with content: where its ciphertext is, relative to the region's directory.
    """

    path: str
    mode: int
    uid: int = 0
    gid: int = 0
    modified: int = 0
    target: str = ""
    file: SealedFile | None = None
    stored: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionContent:
    """A region and what is in it."""

    region: Region
    items: Sequence[Item] = ()


def write_sealed_tree(
    target: Path, key: FspfKey, contents: Sequence[RegionContent], random: RandomBytes = os.urandom
) -> FspfTag:
    """Write an encrypted protection file in its first state, and return the tag of that.

    Raises:
        InputError: a path is longer than records can have it.
        EnvironmentFault: the file cannot be written.
    """
    writer = _Writer()
    entries = sorted(entry for content in contents for entry in writer.entries(content))
    keys = [entry for entry, _ in entries]
    if len(set(keys)) != len(keys):
        raise Bug("two files were sealed under one number; seal one of them anew")
    try:
        target.touch(mode=0o600)
        with target.open("wb+") as file:
            state = Pager.new_superblock(random)
            pager = Pager(_Pages(file.fileno()), page_sealer(key, random), state)
            tree = Tree(pager, NO_PAGE)
            for entry, value in entries:
                tree.put(entry, value)
            root = tree.flush()
            made = replace(
                state, generation=1, root=root, free=pager.flush_free(), pages=pager.pages, next_inode=writer.following
            )
            tag, block, offset = pager.seal_superblock(made)
            os.pwrite(file.fileno(), block, offset)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {target}: {error.strerror}") from error
    return tag


class _Pages:
    """The file of pages."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def pread(self, size: int, offset: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def pwrite(self, data: bytes, offset: int) -> None:
        os.pwrite(self._descriptor, data, offset)


class _Writer:
    """Gives numbers to directories and links, and makes the entries of all."""

    def __init__(self) -> None:
        self._next = 1
        self._largest = 0

    @property
    def following(self) -> int:
        """The number that the next inode gets."""
        return max(self._next, self._largest + 1)

    def entries(self, content: RegionContent) -> Iterator[tuple[bytes, bytes]]:
        """Yield the entries of a region and of what is in it."""
        region = content.region
        if not region.kept:
            yield region_key(region.path.encode()), encode_region(region, 0)
            return
        inodes: dict[int, Inode] = {}
        sealed: dict[int, SealedFile] = {}
        root = self._take()
        inodes[root] = Inode(mode=stat.S_IFDIR | 0o755, links=2)
        directories = {"": root}
        for item in content.items:
            if not item.path:
                _describe(inodes[root], item)
                continue
            above, _, name = item.path.rpartition("/")
            parent = directories[above]
            number = self._number(item)
            yield name_key(parent, os.fsencode(name)), encode_name(number, item.mode)
            if number in inodes:
                inodes[number].links += 1
                continue
            inode = inodes[number] = Inode(mode=item.mode)
            _describe(inode, item)
            if stat.S_ISDIR(item.mode):
                directories[item.path] = number
                inode.links, inodes[parent].links = 2, inodes[parent].links + 1
                inode.backing = _directory_backing(item.path, number)
            elif stat.S_ISLNK(item.mode):
                yield from _link(number, inode, os.fsencode(item.target))
            elif item.file is not None:
                inode.backing = _file_backing(item)
                sealed[number] = item.file
        yield region_key(region.path.encode()), encode_region(region, root)
        for number, inode in inodes.items():
            if number in sealed:
                yield from sealed[number].entries(inode)
            else:
                yield inode_key(number), inode.encode()

    def _number(self, item: Item) -> int:
        if item.file is None:
            return self._take()
        self._largest = max(self._largest, item.file.number)
        return item.file.number

    def _take(self) -> int:
        self._next += 1
        return self._next - 1


def _describe(inode: Inode, item: Item) -> None:
    inode.mode, inode.uid, inode.gid = item.mode, item.uid, item.gid
    inode.modified = inode.changed = inode.accessed = item.modified * _NANOSECONDS


def _directory_backing(path: str, number: int) -> bytes:
    backing = os.fsencode(path)
    return backing if len(backing) <= MAX_BACKING_BYTES else short_backing(number)


def _file_backing(item: Item) -> bytes:
    backing = os.fsencode(item.stored) if item.file is not None and item.file.size else b""
    if len(backing) > MAX_BACKING_BYTES:
        raise InputError(f"the path {item.path[:200]!r} has more than {MAX_BACKING_BYTES} bytes, and cannot be kept")
    return backing


def _link(number: int, inode: Inode, target: bytes) -> Iterable[tuple[bytes, bytes]]:
    if not 0 < len(target) <= _LINK_MAX:
        raise InputError(f"a link has a target of {len(target)} bytes, which cannot be kept")
    inode.size = len(target)
    for part in range(0, len(target), _LINK_PART):
        yield link_key(number, part // _LINK_PART), target[part : part + _LINK_PART]
