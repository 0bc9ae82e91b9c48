"""A host's part of a run: install, pull, run, push. The same for a host that is this machine and one that is not.

Works in one directory, which the caller makes and removes, and handles volumes as opaque trees of ciphertext.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from bannock.execution.application import ENCLAVE_DIRECTORY, install
from bannock.execution.job import RECORD_BYTES_MAX, Outcome, Record
from bannock.execution.log_tail import LogTail
from bannock.execution.transfer.client import TransferClient
from bannock.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.execution.job import Job
    from bannock.execution.progress import Progress
    from bannock.execution.transfer.client import Uploaded

__all__ = ["APPLICATION", "INPUT", "OUTPUT", "conclude", "perform", "prepare", "run"]

#: What is where in the directory of a run.
APPLICATION: Final = "app"
INPUT: Final = "input"
OUTPUT: Final = "output"
_RECORD: Final = "record.json"

#: How long the runtime has to write back and leave once it was asked to.
_GRACE_SECONDS: Final = 15.0
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def perform(job: Job, directory: Path, progress: Progress) -> Outcome:
    """Do a whole job in an existing, empty, private directory.

    Raises:
        BannockError: the host could not do its part. That the run was refused is an outcome.
    """
    prepare(job, directory, progress)
    exit_code, log = run(job, directory, progress)
    return conclude(job, directory, progress, exit_code, log)


def prepare(job: Job, directory: Path, progress: Progress) -> None:
    """Install the application and pull both volumes.

    Raises:
        BannockError: one of them cannot be had.
    """
    install(job.application, directory / APPLICATION)
    client = TransferClient(job.transfer)
    with progress.stage("pull on the host") as stage:
        for name, url in ((INPUT, job.input_url), (OUTPUT, job.output_url)):
            client.download(url, directory / name, observer=stage.advance, sized=stage.expect)


def run(job: Job, directory: Path, progress: Progress) -> tuple[int, str]:
    """Run the application as an enclave; return its exit code, and the last of what it and the runtime wrote.

    Its processes are gone when this returns or raises.
    """
    with progress.stage(f"run {job.application.name}"):
        process = subprocess.Popen(
            _command(job, directory),
            env=_environment(job),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101 # Popen was asked for a pipe
        log = LogTail(process.stdout)
        try:
            code = process.wait()
        finally:
            _end(process)
            text = log.text()
    return code, text


def conclude(job: Job, directory: Path, progress: Progress, exit_code: int, log: str) -> Outcome:
    """Push the output volume, if the application ran to its end, and say what happened.

    Raises:
        BannockError: the transfer service does not take the output.
    """
    record = Record.from_bytes(_record_bytes(directory / _RECORD), log)
    output: Uploaded | None = None
    if not record.error:
        with progress.stage("push on the host") as stage:
            client = TransferClient(job.transfer)
            output = client.upload(directory / OUTPUT, f"{job.run}-result", observer=stage.advance, sized=stage.expect)
    return Outcome(exit_code=exit_code, record=record, log=log, output=output)


def _command(job: Job, directory: Path) -> list[str]:
    return [
        *(sys.executable, "-I", "-m", "bannock.cli.bannock", "run"),
        *("--bind", f"{directory / APPLICATION}:{ENCLAVE_DIRECTORY}"),
        *("--volume", f"{job.application.input_volume}={directory / INPUT}"),
        *("--volume", f"{job.application.output_volume}={directory / OUTPUT}"),
        *("--mount", job.mount.value, "--record", str(directory / _RECORD)),
        *("--", job.application.enclave_program),
    ]


def _environment(job: Job) -> dict[str, str]:
    return {
        "PATH": _PATH,
        "SCONE_LOG": "INFO",
        "SCONE_CAS_ADDR": str(job.cas),
        "SCONE_LAS_ADDR": job.las,
        "SCONE_CONFIG_ID": f"{job.session}/{job.application.service}",
        "BANNOCK_CAS_KEY": str(job.cas_key),
        **job.application.settings,
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that is still there, because we are to stop: first asked, then killed with all of its group."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _record_bytes(path: Path) -> bytes:
    try:
        return read_bounded(path, RECORD_BYTES_MAX)
    except BannockError:
        return b""
