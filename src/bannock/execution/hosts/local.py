"""This machine as a host."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from bannock.execution.host_job import perform
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.execution.job import Job, Outcome
    from bannock.execution.progress import Progress

__all__ = ["LocalHost", "run_directory"]

_RUNS: Final = "runs"


class LocalHost:
    """This machine.

    Args:
        state_directory: where runs have their directories.
    """

    name: Final = "local"

    def __init__(self, state_directory: Path) -> None:
        self._state_directory = state_directory

    def perform(self, job: Job, progress: Progress) -> Outcome:
        """As :meth:`bannock.execution.hosts.interface.Host.perform`."""
        with run_directory(self._state_directory, job.run) as directory:
            return perform(job, directory, progress)


@contextmanager
def run_directory(state_directory: Path, run: str) -> Iterator[Path]:
    """Make a directory for one run, and remove it with all that is in it."""
    private_directory(state_directory)
    directory = private_directory(private_directory(state_directory / _RUNS) / run).resolve()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
