"""Directories and files of this user: whether there is room, and who else may look."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.doctor.finding import Finding, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Place", "look_at_storage"]

_GIBI: Final = 1 << 30
_MEBI: Final = 1 << 20
_FREE_NEEDED: Final = 64 * _MEBI
_INODES_NEEDED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory or a file that commands use.

    Attributes:
        what: it is for.
        path: where it is, or would be made.
        private: whether nobody else may look into it.
        wanted: bytes that should be free there.
    """

    what: str
    path: Path
    private: bool = False
    wanted: int = _GIBI


def look_at_storage(places: Sequence[Place]) -> Iterator[Finding]:
    """Look at each place, and make none."""
    for place in places:
        yield _look_at(place)


def _look_at(place: Place) -> Finding:
    nearest = next(path for path in (place.path, *place.path.parents) if path.exists())
    made = "" if nearest == place.path else " (not there so far)"
    where = f"{place.path}{made}"
    if problem := _rights(place, nearest):
        found, hint = problem
        return Finding(what=place.what, state=State.PROBLEM, found=f"{where}: {found}", hint=hint)
    free = shutil.disk_usage(nearest).free
    inodes = os.statvfs(nearest).f_favail
    text = f"{where}: {_amount(free)} free"
    if free < _FREE_NEEDED or (inodes < _INODES_NEEDED and os.statvfs(nearest).f_files):
        found = text if free < _FREE_NEEDED else f"{where}: no room for more files ({inodes} inodes)"
        return Finding(what=place.what, state=State.PROBLEM, found=found, hint=f"make room on {_mount_point(nearest)}")
    return Finding.judged(
        place.what, text, good=free >= place.wanted,
        hint=f"{_amount(place.wanted)} should be free: make room on {_mount_point(nearest)}",
    )  # fmt: skip


def _rights(place: Place, nearest: Path) -> tuple[str, str] | None:
    """Return what is wrong with who may do what, and what to do about it."""
    status = nearest.stat()
    mode = stat.S_IMODE(status.st_mode)
    if not os.access(nearest, os.W_OK | (os.X_OK if nearest.is_dir() else 0)):
        return f"this user may not write there (mode {mode:04o}, owner {status.st_uid})", f"chown or chmod {nearest}"
    if nearest.is_dir() and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return f"everybody may exchange what others have there (mode {mode:04o})", f"chmod +t {nearest}"
    if place.private and nearest == place.path and (mode & 0o077 or status.st_uid != os.geteuid()):
        wanted = 0o700 if nearest.is_dir() else 0o600
        return (
            f"others may look into it: mode {mode:04o}, owner {status.st_uid}",
            f"chmod {wanted:o} {nearest}; if others use this machine, take the keys in it for known",
        )
    return None


def _mount_point(path: Path) -> Path:
    return next(each for each in (path.resolve(), *path.resolve().parents) if each.is_mount())


def _amount(size: int) -> str:
    return f"{size / _GIBI:.1f} GiB" if size >= _GIBI else f"{size / _MEBI:.0f} MiB"
