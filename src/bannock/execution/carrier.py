"""The first process of a run's container: pulls volumes, starts the program, pushes the output, says what happened.

It is not trusted, and knows no key: volumes are ciphertext to it, and the program in whose place the launcher is gets
its secrets from the CAS. It may be started again: what is done already is not done again. Standard library alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from bannock import linux
from bannock.errors import BannockError, InputError, PeerError, render
from bannock.execution import container_job
from bannock.execution.container_job import ContainerJob, ContainerOutcome
from bannock.execution.log_tail import LogTail
from bannock.execution.transfer.host import pull, push
from bannock.files import read_bounded, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["carry", "entry"]

#: So that what happened can be said when the disk is full. More than an outcome is.
_RESERVE: Final = "reserve"
_RESERVE_BYTES: Final = 256 << 10
_JOB_BYTES_MAX: Final = 64 << 20
#: How long runtime and program have to write back and leave once they were asked to.
_GRACE_SECONDS: Final = 25.0
_NOT_STARTED: Final = 127


def entry() -> NoReturn:
    """Be the first process of a container."""
    sys.exit(carry(Path(container_job.PLACE), os.environ))


def carry(place: Path, environment: Mapping[str, str]) -> int:
    """Do what the job in a directory says, and return an exit code; what happened is in a file.

    Args:
        place: the directory.
        environment: what the program is started with.
    """
    try:
        return _Carrier(place, environment).carry()
    except BannockError as error:
        # Without a place to write there is nobody to tell but whoever reads the container's own log.
        sys.stderr.write("".join(f"{line}\n" for line in render(error)))
        return error.exit_code


class _Carrier:
    def __init__(self, place: Path, environment: Mapping[str, str]) -> None:
        self._place = place
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def carry(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        job = ContainerJob.from_json(read_bounded(self._place / container_job.JOB, _JOB_BYTES_MAX))
        outcome = self._before()
        if outcome is None:
            self._reserve()
            outcome = self._perform(job)
            self._tell(outcome)
        if job.grant is not None and outcome.ran and outcome.pushed is None and not outcome.stopped:
            outcome = self._push(job.grant, outcome)
            self._tell(outcome)
        return outcome.exit_code

    def _before(self) -> ContainerOutcome | None:
        """Return what happened when this container ran before, if the program came to its end then."""
        path = self._place / container_job.OUTCOME
        if not path.exists():
            return None
        try:
            outcome = ContainerOutcome.from_json(read_bounded(path, container_job.OUTCOME_BYTES_MAX))
        except PeerError:
            return None
        return outcome if outcome.ran and not outcome.stopped else None

    def _reserve(self) -> None:
        reserve = self._place / _RESERVE
        if not reserve.exists():
            # Best effort: where even this does not fit, pulling fails, and the container's exit code says so.
            try:
                reserve.write_bytes(bytes(_RESERVE_BYTES))
            except OSError:
                reserve.unlink(missing_ok=True)

    def _tell(self, outcome: ContainerOutcome) -> None:
        (self._place / _RESERVE).unlink(missing_ok=True)
        write_atomically(self._place / container_job.OUTCOME, outcome.to_json())

    def _perform(self, job: ContainerJob) -> ContainerOutcome:
        try:
            for name, parcel in ((container_job.INPUT, job.input), (container_job.OUTPUT, job.output)):
                if parcel is not None:
                    self._pull(name, parcel)
        except BannockError as error:
            return ContainerOutcome(exit_code=error.exit_code, error=tuple(render(error)))
        return self._run(job)

    def _pull(self, name: str, parcel: Mapping[str, object]) -> None:
        """Fetch a volume once: the output's may be another one after the program has run."""
        done = self._place / f"{name}.pulled"
        if done.exists():
            return
        pull(parcel, self._place / name)
        write_atomically(done, b"")

    def _run(self, job: ContainerJob) -> ContainerOutcome:
        # What is there of an earlier start would be taken for this one's.
        for name in (container_job.OUTCOME, container_job.RECORD):
            (self._place / name).unlink(missing_ok=True)
        try:
            process = subprocess.Popen(
                [job.program],
                env=dict(self._environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            told = InputError(f"the container cannot start {job.program}: {error.strerror}")
            return ContainerOutcome(exit_code=_NOT_STARTED, error=tuple(render(told)))
        assert process.stdout is not None  # noqa: S101 # Popen was asked for a pipe
        self._process = process
        log = LogTail(process.stdout)
        if self._stopped:
            process.terminate()
        timed_out = not _ended(process.wait, job.seconds)
        if timed_out:
            process.terminate()
            if not _ended(process.wait, _GRACE_SECONDS):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        code = process.returncode
        return ContainerOutcome(
            exit_code=linux.exit_code(code),
            ran=True,
            stopped=self._stopped and code != 0,
            timed_out=timed_out,
            log=log.text(),
        )

    def _push(self, grant: Mapping[str, object], outcome: ContainerOutcome) -> ContainerOutcome:
        try:
            return replace(outcome, pushed=push(self._place / container_job.OUTPUT, grant), error=())
        except BannockError as error:
            return replace(outcome, error=tuple(render(error)))

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()


def _ended(wait: Callable[[float | None], object], seconds: float | None) -> bool:
    """Wait for a process for so long, and return whether it has ended."""
    try:
        wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
