"""A host's part of a run: install, pull, run, push. The same for a host that is this machine and one that is not.

Works in one directory, which the caller makes and removes, and handles volumes as opaque trees of ciphertext.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Any, Final

from bannock.errors import BannockError, InputError
from bannock.execution.application import ENCLAVE_DIRECTORY, install
from bannock.execution.job import Outcome, Record
from bannock.execution.transfer.client import TransferClient
from bannock.files import read_bounded
from bannock.identity.tree import MeasurementTree
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping
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

_LOG_BYTES: Final = 64 << 10
_PIPE_BYTES: Final = 16 << 10
_RECORD_BYTES_MAX: Final = 16 << 20
#: How long the runtime has to write back and leave once it was asked to.
_GRACE_SECONDS: Final = 15.0
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TEXT_MAX: Final = 2000
_LAST_LINES: Final = 12


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
        log = _LogTail(process.stdout)
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
    record = _read_record(directory / _RECORD, log)
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


class _LogTail:
    """Keeps the last of what comes out of a pipe, in memory: what an application prints may be for its owner alone."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._tail = b""
        self._thread = threading.Thread(target=self._read, name="bannock-log", daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join(_GRACE_SECONDS)
        return self._tail.decode("utf-8", "replace")

    def _read(self) -> None:
        with self._pipe:
            while piece := os.read(self._pipe.fileno(), _PIPE_BYTES):
                self._tail = (self._tail + piece)[-_LOG_BYTES:]


def _read_record(path: Path, log: str) -> Record:
    """Read what the runtime wrote; a runtime that was killed wrote nothing, which is an error of its own."""
    try:
        document = json.loads(read_bounded(path, _RECORD_BYTES_MAX))
    except (BannockError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return Record(error=("the runtime ended without a record of the run; its last words:", *_last(log)))
    error = document.get("error")
    return Record(
        mrenclave=_text(document.get("mrenclave")),
        tree=_tree(document.get("tree")),
        platform=_text(document.get("platform")),
        mount=_text(document.get("mount")),
        before=_texts(document.get("before")),
        after=_texts(document.get("after")),
        error=tuple(map(_text, error)) if isinstance(error, list) else (),
    )


def _last(log: str) -> list[str]:
    return [line[:_TEXT_MAX] for line in log.splitlines()[-_LAST_LINES:]]


def _tree(value: Any) -> MeasurementTree | None:
    try:
        return MeasurementTree.from_json(canonical_json(value)) if value else None
    except (InputError, ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return value[:_TEXT_MAX] if isinstance(value, str) else ""


def _texts(value: Any) -> Mapping[str, str]:
    return {_text(name): _text(text) for name, text in value.items()} if isinstance(value, dict) else {}
