"""What each row is to reach, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Final, assert_never

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GOALS", "AsRow", "AtMost", "Beside", "Contender", "Goal", "Unit", "goals_of", "speed", "verdict"]


class Contender(StrEnum):
    """Who does the work."""

    BANNOCK = "Bannock"
    GOCRYPTFS = "gocryptfs"
    BINDFS = "bindfs"
    PLAIN = "plain"
    AGE = "tar and age"


class Unit(StrEnum):
    """What a value counts."""

    MEGABYTES_PER_SECOND = "MB/s"
    OPERATIONS_PER_SECOND = "op/s"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MEBIBYTES = "MiB"

    @property
    def more_is_better(self) -> bool:
        """Whether a larger value is the better one."""
        return self in {Unit.MEGABYTES_PER_SECOND, Unit.OPERATIONS_PER_SECOND}


@dataclass(frozen=True, slots=True)
class Beside:
    """At least ``factor`` times as fast as a peer."""

    peer: Contender
    factor: float


@dataclass(frozen=True, slots=True)
class AsRow:
    """At most ``factor`` times what Bannock needs in another row."""

    row: str
    factor: float


@dataclass(frozen=True, slots=True)
class AtMost:
    """A bound on the value itself."""

    value: float


Goal = Beside | AsRow | AtMost

_AS_GOCRYPTFS: Final = Beside(Contender.GOCRYPTFS, 1)
_NEAR_BINDFS: Final = Beside(Contender.BINDFS, 1 / 1.5)

#: By pattern of the row's name; the first that fits. Where no data is moved, bindfs is the measure too.
GOALS: Final[tuple[tuple[str, tuple[Goal, ...]], ...]] = (
    ("sequential-read-*", (Beside(Contender.GOCRYPTFS, 2),)),
    ("walk-many", ()),
    ("walk-*", (_AS_GOCRYPTFS, _NEAR_BINDFS)),
    ("delete", (_AS_GOCRYPTFS, _NEAR_BINDFS)),
    ("create-empty", (_AS_GOCRYPTFS, _NEAR_BINDFS)),
    ("git-status-*", (_AS_GOCRYPTFS, _NEAR_BINDFS)),
    ("open-many", (AsRow("open-few", 2),)),
    ("open-few", ()),
    ("chunk-sparse", (_AS_GOCRYPTFS, AsRow("chunk-small", 2))),
    ("memory-*", (AtMost(200),)),
    ("*", (_AS_GOCRYPTFS,)),
)


def goals_of(row: str) -> tuple[Goal, ...]:
    """Return what a row is to reach."""
    return next(goals for pattern, goals in GOALS if fnmatch(row, pattern))


def speed(unit: Unit, value: float, other: float) -> float:
    """Say how many times as fast (or as small) as ``other`` a value is; 1 where both are nothing."""
    better, worse = (value, other) if unit.more_is_better else (other, value)
    if not worse:
        return 1.0 if not better else float("inf")
    return better / worse


def verdict(
    goal: Goal, unit: Unit, value: float, median: Callable[[Contender, str | None], float | None]
) -> str | None:
    """Say whether Bannock's value reaches a goal, in words; None where what it is compared with was not measured.

    Args:
        goal: what is to be reached.
        unit: what the value counts.
        value: Bannock's median.
        median: the median of a contender in this row, or in the row that is named.
    """
    match goal:
        case Beside(peer, factor):
            other = median(peer, None)
            if other is None:
                return None
            return _say(f">= {factor:.2g} x {peer}", met=speed(unit, value, other) >= factor)
        case AsRow(row, factor):
            other = median(Contender.BANNOCK, row)
            if other is None:
                return None
            return _say(f"<= {factor:g} x row {row} ({value / other:.2f})", met=value <= factor * other)
        case AtMost(bound):
            return _say(f"<= {bound:g} {unit}", met=value <= bound)
        case _:
            assert_never(goal)


def _say(goal: str, *, met: bool) -> str:
    return f"{goal}: {'met' if met else 'MISSED'}"
