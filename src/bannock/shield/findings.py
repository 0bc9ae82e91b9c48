"""What a check finds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.shield.leftovers import Leftover
    from bannock.values import FspfTag

__all__ = ["CheckReport", "Damage", "LostPage", "StateOnDisk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateOnDisk:
    """A state that the protection file holds.

    Attributes:
        tag, generation: as its superblock says.
        authentic: whether the key vouches for that.
        checked: whether it is the one that was checked.
        expected: whether it is the one that the caller expects.
    """

    tag: FspfTag
    generation: int
    authentic: bool
    checked: bool
    expected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file that is not whole in the state that was checked.

    Attributes:
        path: as the application sees it, one of several if it has more names; None where they are lost.
        inode: its number.
        ciphertext: the file on the disk, None if it has none or its record is lost.
        ranges: first and last of the bytes that are lost; none, where the file is lost as a whole.
        reasons: why.
    """

    path: str | None
    inode: int
    ciphertext: str | None
    ranges: tuple[tuple[int, int], ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LostPage:
    """A page that cannot be read, and what it hides: paths, or directories of which names are lost."""

    page: int
    reason: str
    hides: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found.

    Attributes:
        file: the protection file.
        states: on the disk, the newest first.
        rollback: the expected state is not among those that are authentic.
        expected: its tag, None if the caller did not say.
        tag: of the state that was checked.
        regions: paths of the regions, and where their files are; None where they keep none.
        files, bytes: how much was read.
        damaged: files that are not whole.
        lost: pages that cannot be read.
        defects: contradictions in what is authentic.
        leftovers: files and directories that no state refers to.
        removed: whether these were removed.
        kept_because: why they were not, though they were to be.
        recovered: how many files and links were taken out whole; None if that was not asked for.
        partial: files that were taken out in part.
    """

    file: Path
    states: tuple[StateOnDisk, ...]
    rollback: bool
    expected: FspfTag | None
    tag: FspfTag
    encrypted: bool
    regions: tuple[tuple[str, Path | None], ...]
    files: int
    size: int
    damaged: tuple[Damage, ...]
    lost: tuple[LostPage, ...]
    defects: tuple[str, ...]
    leftovers: tuple[Leftover, ...]
    removed: bool
    kept_because: str | None
    recovered: int | None
    partial: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether the state that was checked can be read as a whole."""
        return not (self.damaged or self.lost or self.defects)
