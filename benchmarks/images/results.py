"""What is measured of images, what it is compared with, and what it is to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.goals import Beside, Unit, Within
from benchmarks.rows import Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.goals import Goal

__all__ = ["BUILD", "NATIVE", "SAVE", "SCONIFIED", "Measured", "add", "measurements"]

#: Ends of row names; what is before the colon says what is compared.
NATIVE: Final = "native container"
BUILD: Final = "docker build, one COPY"
SAVE: Final = "docker save, age"
SCONIFIED: Final = "sconify_image"
#: How many milliseconds longer a protected start may take, and how many times as long as a COPY a conversion.
_MORE_MS: Final = 400
_RATIO: Final = 1.5
_MEGA: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one row.

    Attributes:
        seconds: that it took.
        peak: MiB of memory that the command had at most; 0 where that was not looked at.
        sealed: bytes of layers that were sealed.
        pushed: bytes that a registry has more than before.
    """

    seconds: float
    peak: float = 0
    sealed: int = 0
    pushed: int = 0


def measurements(facts: dict[str, str]) -> tuple[Measurement, Measurement]:
    """Give empty ones, of starts and of conversions."""
    return (
        Measurement("container starts", peers=(NATIVE,), goals=_of_starts, facts=facts),
        Measurement("image conversions", peers=(BUILD, SAVE), goals=_of_conversions, facts=facts),
    )


def add(found: Sequence[Measurement], row: str, measured: Measured) -> None:
    """Keep a run, where it belongs."""
    starts, conversions = found
    case, _, subject = row.partition(": ")
    if subject not in {BUILD, SAVE} and not subject.startswith(SCONIFIED):
        starts.add(case, subject, Unit.MILLISECONDS, 1000 * measured.seconds)
        return
    conversions.add(case, subject, Unit.SECONDS, measured.seconds)
    if subject.startswith(SCONIFIED):
        conversions.add(f"{case}, memory", subject, Unit.MEBIBYTES, measured.peak)
        conversions.add(f"{case}, sealed", subject, Unit.MEGABYTES, measured.sealed / _MEGA)
        if "registry" in subject:
            conversions.add(f"{case}, pushed", subject, Unit.MEGABYTES, measured.pushed / _MEGA)


def _of_starts(_: str, __: str) -> tuple[Goal, ...]:
    return (Within(NATIVE, _MORE_MS),)


def _of_conversions(_: str, subject: str) -> tuple[Goal, ...]:
    return (Beside(BUILD, 1 / _RATIO),) if subject == SCONIFIED else ()
