"""What lies in the directories of encrypted regions and belongs to no state: remains of commits that were cut short.

Authenticated regions share their directories with whatever else is there, so nothing in those is ever taken for a
remain.
"""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.shield.regions import Protection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from bannock.shield.format.backing import Backing
    from bannock.shield.survey import Survey

__all__ = ["OF_THE_FILE_SYSTEM", "Leftover", "find_leftovers", "remove_leftovers"]

#: Made by mkfs, and needed by fsck.
OF_THE_FILE_SYSTEM: Final = "lost+found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file, or a directory that nothing in use is in.

    Attributes:
        region: in whose directory it is.
        path: below that.
        size: bytes of a file; None for a directory.
    """

    region: str
    path: bytes
    size: int | None

    def __str__(self) -> str:
        return os.fsdecode(self.path)


def find_leftovers(
    file: Path, survey: Survey, others: Iterable[Survey], places: Mapping[str, Path]
) -> Iterator[Leftover]:
    """Yield what no state refers to; in a directory that is left over, what is in it comes first.

    Args:
        file: the protection file, which is none of its own files.
        survey: the state in question.
        others: other states that are on the disk.
        places: path of a region → where its files are.
    """
    known = [survey, *others]
    own = file.stat()
    for path, directory in places.items():
        region, _ = survey.regions[path]
        if region.protection is not Protection.ENCRYPTED:
            continue
        needed = {each for state in known if path in state.regions for each in state.ciphertext(region)}
        spared = set(_other_places(survey, path, places))
        for found, status in _walk(os.fsencode(directory), b"", spared):
            if (status.st_dev, status.st_ino) == (own.st_dev, own.st_ino) or found in needed:
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield Leftover(region=path, path=found, size=status.st_size)
            elif not any(each.startswith(found + b"/") for each in needed | spared):
                yield Leftover(region=path, path=found, size=None)


def remove_leftovers(backings: Mapping[str, Backing], leftovers: Iterable[Leftover]) -> None:
    """Remove what :func:`find_leftovers` found; a directory goes with the last file in it."""
    for leftover in leftovers:
        if leftover.size is None:
            backings[leftover.region].remove_empty(leftover.path)
        else:
            backings[leftover.region].unlink(leftover.path)


def _other_places(survey: Survey, path: str, places: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield where below a region's directory those of other regions are."""
    kernel, here = survey.regions[path][0].kernel, places[path].resolve()
    for other, (region, _) in survey.regions.items():
        if other == path:
            continue
        if kernel and region.kernel and region.kernel.startswith(f"{kernel.rstrip('/')}/"):
            yield os.fsencode(posixpath.relpath(region.kernel, kernel))
        if other in places and (there := places[other].resolve()) != here and there.is_relative_to(here):
            yield os.fsencode(there.relative_to(here))


def _walk(top: bytes, below: bytes, spared: set[bytes]) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield what is in a directory, what is below a directory before it; other regions' directories are left out."""
    with os.scandir(top + b"/" + below) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = below + b"/" + entry.name if below else entry.name
        if path in spared or path == os.fsencode(OF_THE_FILE_SYSTEM):
            continue
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(top, path, spared)
        yield path, status
