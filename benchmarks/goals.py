"""What is to be reached beside a peer, beside another case, or at all, and whether it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AsCase", "AtLeast", "AtMost", "Beside", "Goal", "Unit", "Within", "number", "speed", "verdict"]

_DIGITS: Final = 3


class Unit(StrEnum):
    """What a value counts."""

    MEGABYTES_PER_SECOND = "MB/s"
    OPERATIONS_PER_SECOND = "op/s"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MEBIBYTES = "MiB"
    MEGABYTES = "MB"

    @property
    def more_is_better(self) -> bool:
        """Whether a larger value is the better one."""
        return self in {Unit.MEGABYTES_PER_SECOND, Unit.OPERATIONS_PER_SECOND}


@dataclass(frozen=True, slots=True)
class Beside:
    """At least ``factor`` times as fast as a peer."""

    peer: str
    factor: float


@dataclass(frozen=True, slots=True)
class Within:
    """At most so much more than a peer needs."""

    peer: str
    more: float


@dataclass(frozen=True, slots=True)
class AsCase:
    """At most ``factor`` times what the same subject needs in another case."""

    case: str
    factor: float


@dataclass(frozen=True, slots=True)
class AtMost:
    """An upper bound on the value itself."""

    value: float


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A lower bound on the value itself."""

    value: float


Goal = Beside | Within | AsCase | AtMost | AtLeast


def speed(unit: Unit, value: float, other: float) -> float:
    """Say how many times as fast (or as small) as ``other`` a value is; 1 where both are nothing."""
    better, worse = (value, other) if unit.more_is_better else (other, value)
    if not worse:
        return 1.0 if not better else float("inf")
    return better / worse


def verdict(goal: Goal, unit: Unit, value: float, median: Callable[[str | None, str | None], float | None]) -> str:
    """Say whether a value reaches a goal, in words; none where what it is compared with was not measured.

    Args:
        goal: what is to be reached.
        unit: what the value counts.
        value: the median.
        median: that of a case (None: this one) and a subject (None: this one).
    """
    match goal:
        case Beside(peer, factor) if (other := median(None, peer)) is not None:
            return _say(f">= {factor:.2g} x {peer}", met=speed(unit, value, other) >= factor)
        case Within(peer, more) if (other := median(None, peer)) is not None:
            return _say(f"<= {peer} + {more:g} {unit} ({value - other:+.3g})", met=value - other <= more)
        case AsCase(name, factor) if (other := median(name, None)) is not None:
            return _say(f'<= {factor:g} x "{name}" ({value / other:.2f})', met=value <= factor * other)
        case AtMost(bound):
            return _say(f"<= {bound:,g} {unit}", met=value <= bound)
        case AtLeast(bound):
            return _say(f">= {bound:,g} {unit}", met=value >= bound)
        case _:
            return ""


def number(value: float) -> str:
    """Write a value with as many digits as it has that say something."""
    if abs(value) >= 10**_DIGITS:
        return f"{value:,.0f}"
    return f"{value:#.{_DIGITS}g}".rstrip(".") if value else "0"


def _say(goal: str, *, met: bool) -> str:
    return f"{goal}: {'met' if met else 'MISSED'}"
