"""What one state of a protection file consists of, as far as it can be read: regions, names, files, ciphertext.

The first half of a check: it reads the tree and no contents. Keeps a few hundred bytes for each name. Not thread-safe.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import IntegrityError
from bannock.shield.format.records import (
    ROOT,
    Inode,
    Kind,
    decode_name,
    inode_key,
    name_key,
    range_of,
    split_key,
)
from bannock.shield.format.salvage import Lost, LostRanges, PageUse, salvage
from bannock.shield.regions import Protection, Region, decode_region

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.shield.format.pages import Pager, Superblock

__all__ = ["Survey"]

#: Deeper paths than any system call takes; a circle of directories ends here.
_MAX_DEPTH: Final = 4096
_NO_NAMES: Final = {b"", b".", b".."}


class _Name(NamedTuple):
    parent: int
    name: bytes


class Survey:
    """One state.

    Attributes:
        state: its superblock.
        regions: path → region and the inode of its topmost directory.
        table_lost: whether regions may be missing, because the page that names them is lost.
        lost: the pages that cannot be read.
        use: what pages are used for.
        defects: contradictions in what is authentic: faults of the writer.
    """

    def __init__(self, pager: Pager, state: Superblock, *, is_volume: bool) -> None:
        self.state = state
        self.regions: dict[str, tuple[Region, int]] = {}
        self.use = PageUse()
        self.defects: list[str] = []
        self._names: dict[int, _Name] = {}
        self._more_names: dict[int, list[_Name]] = {}
        self._links: dict[int, int] = {}
        self._directories: set[int] = set()
        self._backings: dict[int, bytes] = {}
        self._orphans: set[int] = set()
        self._regions_of: dict[int, Region | None] = {}
        lost: list[Lost] = []
        for found in salvage(pager, state, self.use):
            if isinstance(found, Lost):
                lost.append(found)
            else:
                self._enter(*found)
        self.use.read_lists(pager, state)
        self.lost = tuple(lost)
        self.ranges = LostRanges(lost)
        self.table_lost = bool(self.ranges.within(*range_of(_TABLE)))
        if is_volume and not self.regions:
            # A volume may have no table, and then it is this; where its table is lost, it is likely to have been so.
            self.regions["/"] = Region(path="/", protection=Protection.ENCRYPTED, kernel=""), ROOT
        self._roots = {root: region for region, root in self.regions.values() if root}

    def names_of(self, ino: int) -> list[tuple[Region, str]]:
        """Return the region and the path below it of each name of an inode; none for one whose names are lost."""
        names = [self._names[ino], *self._more_names.get(ino, [])] if ino in self._names else []
        return [found for name in names if (found := self._climb(name)) is not None]

    def paths_of(self, ino: int) -> list[str]:
        """Return every path of an inode as the application sees it."""
        if ino in self._roots:
            return [self._roots[ino].path]
        return [f"{region.path.rstrip('/')}/{path}" for region, path in self.names_of(ino)]

    def path_of(self, ino: int) -> str | None:
        """Return the first path of an inode, None if it has none that is known."""
        return next(iter(self.paths_of(ino)), None)

    def region_of(self, ino: int) -> Region | None:
        """Return the region that an inode belongs to; where its names are lost, the only one there is, or None."""
        kept = list(self._roots.values())
        return self._region_above(ino) or (kept[0] if len(kept) == 1 else None)

    def hidden(self) -> Iterator[tuple[Lost, int]]:
        """Yield the inodes that have a name which can be read, while their record is on a lost page."""
        for ino in sorted({*self._names, *self._roots}) if self.lost else ():
            if (lost := self.ranges.of(inode_key(ino))) is not None:
                yield lost, ino

    def without_names(self) -> Iterator[tuple[Lost, int]]:
        """Yield the directories of which names are on a lost page, or may be."""
        for ino in sorted(self._directories | self._roots.keys()) if self.lost else ():
            for lost in self.ranges.within(*range_of(name_key(ino))):
                yield lost, ino

    def is_nameless(self, ino: int) -> bool:
        """Whether an inode has no path, because pages are lost; else a file without a name was removed while open."""
        return bool(self.lost) and ino not in self._orphans and self.path_of(ino) is None

    def ciphertext(self, region: Region) -> Iterator[bytes]:
        """Yield the paths of the ciphertext files of a region, and of files whose region is not known."""
        for ino, path in self._backings.items():
            if self.region_of(ino) in (region, None):
                yield path

    def contradictions(self) -> Iterator[str]:
        """Yield what cannot be in a state that was written as it should be."""
        yield from self.defects
        yield from self.use.defects(self.state)
        counted = Counter(dict.fromkeys(self._names, 1))
        counted.update({ino: len(more) for ino, more in self._more_names.items()})
        for ino in self._names:
            if ino not in self._links and self.ranges.of(inode_key(ino)) is None:
                yield f"{self.path_of(ino)} has no inode (number {ino})"
        if self.lost:
            return
        for ino, links in self._links.items():
            if ino not in self._directories and counted[ino] != links:
                yield f"inode {ino} ({self.path_of(ino)}) has {counted[ino]} names, and counts {links}"
            elif ino not in self._orphans and self._region_above(ino) is None:
                yield f"inode {ino} is in no directory of a region"

    # -- below

    def _enter(self, key: bytes, value: bytes) -> None:
        try:
            ino, kind, rest = split_key(key)
            match kind:
                case Kind.REGION:
                    region, root = decode_region(rest, value)
                    self.regions[region.path] = region, root
                case Kind.INODE:
                    self._enter_inode(ino, Inode.decode(value))
                case Kind.NAME:
                    self._enter_name(ino, rest, decode_name(value)[0])
                case Kind.ORPHAN:
                    self._orphans.add(int.from_bytes(rest, "big"))
                case Kind.CHUNKS | Kind.SLOTS | Kind.LINK | Kind.GARBAGE:
                    pass
                case _:
                    self.defects.append(f"an entry of inode {ino} is of the unknown kind {kind}")
        except IntegrityError as error:
            self.defects.append(str(error))

    def _enter_inode(self, ino: int, inode: Inode) -> None:
        self._links[ino] = inode.links
        if inode.is_directory:
            self._directories.add(ino)
        if inode.is_file and inode.slots:
            self._backings[ino] = inode.backing

    def _enter_name(self, parent: int, name: bytes, ino: int) -> None:
        if name in _NO_NAMES or b"/" in name or b"\0" in name:
            self.defects.append(f"{name!r} is in the place of a name")
        elif ino in self._names:
            self._more_names.setdefault(ino, []).append(_Name(parent, name))
        else:
            self._names[ino] = _Name(parent, name)

    def _region_above(self, ino: int) -> Region | None:
        """Return the region whose topmost directory is above an inode, if there is one."""
        if ino not in self._names:
            return self._roots.get(ino)
        parent = self._names[ino].parent
        if parent not in self._regions_of:
            found = self._climb(self._names[ino])
            self._regions_of[parent] = None if found is None else found[0]
        return self._regions_of[parent]

    def _climb(self, name: _Name) -> tuple[Region, str] | None:
        parts = [name.name]
        for _ in range(_MAX_DEPTH):
            if (region := self._roots.get(name.parent)) is not None:
                return region, os.fsdecode(b"/".join(reversed(parts)))
            if name.parent not in self._names:
                return None
            name = self._names[name.parent]
            parts.append(name.name)
        return None


_TABLE: Final = inode_key(0)[:-1] + bytes([Kind.REGION])
