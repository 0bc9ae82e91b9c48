"""What is measured of a CAS, what it is compared with, and what it is to reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.goals import AtLeast, AtMost, Beside, Unit
from benchmarks.rows import Measurement

if TYPE_CHECKING:
    from benchmarks.cas.load import Load
    from benchmarks.goals import Goal

__all__ = ["ATTESTATIONS", "LIMIT", "add", "measurement"]

ATTESTATIONS: Final = "attestations"
#: Does nothing but the handshake of an attestation: a limit, not a peer.
LIMIT: Final = "openssl s_server"
#: What is to be reached, whatever the store and the number of processes.
_GOALS: Final[dict[str, tuple[Goal, ...]]] = {
    ATTESTATIONS: (AtLeast(500), Beside(LIMIT, 0.25)),
    f"{ATTESTATIONS}, p50": (AtMost(15),),
    f"{ATTESTATIONS}, p99": (AtMost(50),),
    "tag updates, strict": (AtLeast(500),),
    "tag updates, grouped": (AtLeast(20_000),),
    "session reads": (AtLeast(5_000),),
}


def measurement(facts: dict[str, str]) -> Measurement:
    """Give an empty measurement."""
    return Measurement("CAS", peers=(LIMIT,), goals=lambda case, _: _GOALS.get(case, ()), facts=facts)


def add(found: Measurement, case: str, subject: str, load: Load) -> None:
    """Keep what a load came to."""
    found.add(case, subject, Unit.OPERATIONS_PER_SECOND, load.rate)
    found.add(f"{case}, p50", subject, Unit.MILLISECONDS, load.p50)
    found.add(f"{case}, p99", subject, Unit.MILLISECONDS, load.p99)
    if load.failures:
        found.remark(case, subject, f"FAILED: {len(load.failures)} turns, one with {load.failures[0]}")
