"""What is measured of encrypted runs, what it is compared with, and what it is to reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.goals import Beside, Unit, Within
from benchmarks.rows import Measurement

if TYPE_CHECKING:
    from benchmarks.goals import Goal

__all__ = ["BY_HAND", "FILES", "NOTHING", "add", "measurement"]

#: ``ssh HOST docker run``, with tar and age where there are files.
BY_HAND: Final = "by hand"
FILES: Final = "files"
NOTHING: Final = "nothing"
#: A run with large inputs may take that many times as long as by hand, one with nothing that many seconds more.
_GOALS: Final[dict[str, tuple[Goal, ...]]] = {FILES: (Beside(BY_HAND, 1 / 1.2),), NOTHING: (Within(BY_HAND, 3.0),)}


def measurement(facts: dict[str, str]) -> Measurement:
    """Give an empty measurement."""
    return Measurement("encrypted runs", peers=(BY_HAND,), goals=lambda case, _: _GOALS.get(case, ()), facts=facts)


def add(found: Measurement, case: str, subject: str, seconds: float, peak: float) -> None:
    """Keep a run: its seconds, and MiB of the client or, by hand, of the largest process."""
    found.add(case, subject, Unit.SECONDS, seconds)
    found.add(f"{case}, memory of the client", subject, Unit.MEBIBYTES, peak)
