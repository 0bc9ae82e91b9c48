"""What a host is to whoever runs something there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bannock.execution.job import Job, Outcome
    from bannock.execution.progress import Progress

__all__ = ["Host"]


class Host(Protocol):
    """A machine that runs applications."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    def perform(self, job: Job, progress: Progress) -> Outcome:
        """Do the host's part of a run, and leave nothing of it behind.

        Raises:
            BannockError: the host cannot; a run that is refused is an outcome.
        """
        ...
