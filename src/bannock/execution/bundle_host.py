"""Hosts of bundles: who installs the files of an application, and runs it without a container. This machine is one."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from bannock.execution.host_job import perform
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.execution.job import Job, Outcome
    from bannock.execution.progress import Progress

__all__ = ["BundleHost", "LocalHost", "run_directory"]

_RUNS: Final = "runs"


class BundleHost(Protocol):
    """A machine that runs bundles."""

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


class LocalHost:
    """This machine.

    Args:
        state_directory: where runs have their directories.
    """

    name: Final = "local"

    def __init__(self, state_directory: Path) -> None:
        self._state_directory = state_directory

    def perform(self, job: Job, progress: Progress) -> Outcome:
        """As :meth:`BundleHost.perform`."""
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
