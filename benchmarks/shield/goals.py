"""Who does the work, and what each row is to reach."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Final

from benchmarks.goals import AsCase, AtMost, Beside

if TYPE_CHECKING:
    from benchmarks.goals import Goal

__all__ = ["GOALS", "PEERS", "Contender", "goals_of"]


class Contender(StrEnum):
    """Who does the work."""

    BANNOCK = "Bannock"
    GOCRYPTFS = "gocryptfs"
    BINDFS = "bindfs"
    PLAIN = "plain"
    AGE = "tar and age"


#: Whom Bannock is compared with, the most important first.
PEERS: Final = (Contender.GOCRYPTFS, Contender.BINDFS, Contender.AGE, Contender.PLAIN)
_AS_GOCRYPTFS: Final = Beside(Contender.GOCRYPTFS, 1)
_NEAR_BINDFS: Final = Beside(Contender.BINDFS, 1 / 1.5)

#: By pattern of the row's name; the first that fits. Where no data is moved, bindfs is the measure too. The case of
#: :class:`AsCase` is a row's name here.
GOALS: Final[tuple[tuple[str, tuple[Goal, ...]], ...]] = (
    ("sequential-read-*", (Beside(Contender.GOCRYPTFS, 2),)),
    ("walk-many", ()),
    ("walk-*", (_AS_GOCRYPTFS, _NEAR_BINDFS)),
    ("delete", (_AS_GOCRYPTFS, _NEAR_BINDFS)),
    ("create-empty", (_AS_GOCRYPTFS, _NEAR_BINDFS)),
    ("git-status-*", (_AS_GOCRYPTFS, _NEAR_BINDFS)),
    ("open-many", (AsCase("open-few", 2),)),
    ("open-few", ()),
    ("chunk-sparse", (_AS_GOCRYPTFS, AsCase("chunk-small", 2))),
    ("memory-*", (AtMost(200),)),
    ("*", (_AS_GOCRYPTFS,)),
)


def goals_of(row: str) -> tuple[Goal, ...]:
    """Return what a row is to reach."""
    return next(goals for pattern, goals in GOALS if fnmatch(row, pattern))
