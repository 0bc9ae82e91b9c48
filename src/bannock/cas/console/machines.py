"""The platforms that enclaves run on: what their last evidence said of them, and when it ends.

Pure. A machine is what its platform names it by; where the platform names none, the attester stands for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from bannock.cas.console.history import Decision
    from bannock.cas.forecasting import Outlook

__all__ = ["Machine", "machines_of"]


@dataclass(slots=True, kw_only=True)
class Machine:
    """One machine, or one attester.

    Attributes:
        last: the newest decision on an enclave there; None where the log does not tell of any.
        accepted, refused: how many decisions the log tells of.
        services: that were let in, or are foretold of.
        ends: the first of its services to stop, and why; None where nothing ends.
        stopped: services that would be refused now.
    """

    name: str
    platform: str
    last: Decision | None = None
    accepted: int = 0
    refused: int = 0
    services: set[str] = field(default_factory=set)
    ends: Outlook | None = None
    stopped: list[Outlook] = field(default_factory=list)

    @property
    def seen(self) -> dt.datetime | None:
        """When something was last heard of it."""
        told = [] if self.last is None else [self.last.at]
        return max([*told, *(each.seen for each in (self.ends, *self.stopped) if each is not None)], default=None)

    @property
    def state(self) -> str:
        """Say how it is: ``refused``, ``simulated``, ``rehearsed``, ``weak``, ``well`` or ``unknown``."""
        if self.stopped:
            return "refused"
        if self.platform.startswith(SIMULATED):
            return "simulated" if self.platform == SIMULATED else "rehearsed"
        if self.last is None:
            return "unknown"
        weak = self.last.weak or self.last.advisories or self.last.debug or self.last.warnings
        return "weak" if weak else "well" if self.last.tcb or self.ends is not None else "unknown"


def machines_of(decisions: Iterable[Decision], outlooks: Iterable[Outlook]) -> list[Machine]:
    """Put together what is known of machines.

    Args:
        decisions: the newest first.
        outlooks: what is foretold.
    """
    found: dict[str, Machine] = {}
    for decision in decisions:
        name = decision.machine or (f"attester {decision.attester}" if decision.attester else "")
        if not name:
            continue  # the evidence did not hold, so it says nothing
        machine = found.setdefault(name, Machine(name=name, platform=decision.platform))
        machine.last = machine.last or decision
        if decision.accepted:
            machine.accepted += 1
            machine.services.add(f"{decision.session}/{decision.service}")
        else:
            machine.refused += 1
    for outlook in outlooks:
        machine = found.setdefault(outlook.machine, Machine(name=outlook.machine, platform=outlook.platform))
        machine.services.add(f"{outlook.session}/{outlook.service}")
        if outlook.stopped:
            machine.stopped.append(outlook)
        elif outlook.until is not None and (machine.ends is None or outlook.until < _end(machine.ends)):
            machine.ends = outlook
    return sorted(found.values(), key=lambda each: (each.state != "refused", each.platform, each.name))


def _end(outlook: Outlook) -> dt.datetime:
    return outlook.until or outlook.seen
