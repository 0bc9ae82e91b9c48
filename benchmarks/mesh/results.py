"""What is measured of services, what it is compared with, and what it is to reach."""

from __future__ import annotations

from typing import Final

from benchmarks.goals import Beside
from benchmarks.rows import Measurement

__all__ = ["APPLY", "BUILD", "measurement"]

BUILD: Final = "docker build"
APPLY: Final = "sconectl apply"
#: How many times as long as ``docker build`` an apply may take.
_RATIO: Final = 1.5


def measurement(facts: dict[str, str]) -> Measurement:
    """Give an empty measurement."""
    return Measurement("services", peers=(BUILD,), goals=lambda *_: (Beside(BUILD, 1 / _RATIO),), facts=facts)
