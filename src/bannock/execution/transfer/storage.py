"""Where the parts of streams are kept: one narrow interface over services, directories, buckets; how often to try.

Interfaces and values; standard library alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

__all__ = ["MIB", "PATIENT", "Patience", "Store", "Stored", "retrying"]

MIB: Final = 1 << 20

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that a store has.

    Attributes:
        reference: what it is fetched by.
        deletion: what it is deleted by, if that is something else.
    """

    reference: str
    deletion: str | None = None


class Store(Protocol):
    """Keeps files of one run; safe to use from several threads."""

    @property
    def name(self) -> str:
        """What people call it; without credentials."""
        ...

    def part_bytes(self, number: int) -> int:
        """Return how large a part is to be."""
        ...

    def put(self, name: str, data: bytes | memoryview) -> Stored:
        """Keep a file.

        Raises:
            EnvironmentFault: not now; trying again may help.
            BannockError: not at all.
        """
        ...

    def get(self, reference: str, limit: int) -> bytearray:
        """Fetch a file; of one that is longer than the limit, no more than one byte beyond that.

        Raises:
            NotFoundError: it is not there.
            PeerError: the reference leads elsewhere.
            EnvironmentFault: not now; trying again may help.
        """
        ...

    def delete(self, stored: Stored) -> None:
        """Delete a file; nothing happens where it is gone, or where the store cannot delete."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: how often in all.
        first: seconds before the second attempt; each further time is twice as long.
        longest: seconds between two attempts at most.
        sleep: waits.
    """

    attempts: int = 8
    first: float = 0.5
    longest: float = 15.0
    sleep: Callable[[float], None] = time.sleep

    def until(self, stopped: threading.Event) -> Patience:
        """Return the same patience, which ends when somebody stops it."""

        def sleep(seconds: float) -> None:
            if self.sleep is time.sleep:
                stopped.wait(seconds)
            else:
                self.sleep(seconds)
            if stopped.is_set():
                raise EnvironmentFault("the transfer was broken off")

        return replace(self, sleep=sleep)

    def waits(self) -> Iterator[float]:
        """Yield how long to wait after each attempt but the last."""
        for attempt in range(self.attempts - 1):
            yield min(self.first * 2**attempt, self.longest)


PATIENT: Final = Patience()


def retrying(action: Callable[[], _Result], patience: Patience) -> _Result:
    """Do something until it does not fail for a reason that may pass.

    Raises:
        BannockError: as the action, the last time.
    """
    for wait in patience.waits():
        try:
            return action()
        except EnvironmentFault:
            patience.sleep(wait)
    return action()
