"""What is measured: a run of ``execute``, and the same by hand, each as a user would type it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ByHand", "Execute", "Took"]

_KIB: Final = 1024
#: What one does in the container: the host's part, in one line of shell.
_THERE: Final = (
    "mkdir /in /out && age -d -i /key | tar -x -C /in && cp -a /in/. /out && tar -c -C /out . | age -r {recipient}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What something took: seconds, and MiB of memory of the largest process here."""

    seconds: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """``bannock execute``.

    Attributes:
        conf: with the host.
        host: its alias.
        application: the image that copies.
    """

    conf: Path
    host: str
    application: str

    def run(self, source: Path, target: Path, *further: str) -> Took:
        """Run once.

        Raises:
            RuntimeError: it failed.
        """
        words = [
            *(sys.executable, "-m", "bannock.cli.bannock", "execute", "--application", self.application),
            *(
                "--host",
                self.host,
                "--conf",
                str(self.conf),
                "--input",
                str(source),
                "--output",
                str(target),
                *further,
            ),
        ]
        return _measured([words])


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """tar, age, ssh and docker.

    Attributes:
        ssh: the words that reach the host.
        image: has tar and age.
        identity: file of the private key, which the host has too: by hand, one trusts it.
    """

    ssh: Sequence[str]
    image: str
    identity: Path

    def run(self, source: Path, target: Path) -> Took:
        """Copy once.

        Raises:
            RuntimeError: it failed.
        """
        recipient = self._recipient()
        target.mkdir(parents=True, exist_ok=True)
        there = ["docker", "run", "-i", "--rm", "-v", f"{self.identity}:/key:ro", self.image]
        there += ["sh", "-c", _THERE.format(recipient=recipient)]
        return _measured(
            [
                ["tar", "-c", "-C", str(source), "."],
                ["age", "-r", recipient],
                [*self.ssh, shlex.join(there)],
                ["age", "-d", "-i", str(self.identity)],
                ["tar", "-x", "-C", str(target)],
            ]
        )

    def nothing(self) -> Took:
        """Start a container that does nothing.

        Raises:
            RuntimeError: it failed.
        """
        return _measured([[*self.ssh, shlex.join(["docker", "run", "--rm", self.image, "true"])]])

    def _recipient(self) -> str:
        return subprocess.check_output(["age-keygen", "-y", str(self.identity)], text=True).strip()


def _measured(pipeline: Sequence[Sequence[str]]) -> Took:
    """Run programs, each reading what the one before it writes; and measure them together."""
    began = time.monotonic()
    processes: list[subprocess.Popen[bytes]] = []
    before: int | None = subprocess.DEVNULL
    for number, words in enumerate(pipeline, 1):
        after = subprocess.DEVNULL if number == len(pipeline) else subprocess.PIPE
        process = subprocess.Popen(words, stdin=before, stdout=after, stderr=subprocess.PIPE)
        if processes and (pipe := processes[-1].stdout) is not None:
            pipe.close()
        processes.append(process)
        before = process.stdout.fileno() if process.stdout is not None else None
    peak, failed = 0.0, []
    for words, process in zip(pipeline, processes, strict=True):
        told = process.stderr.read() if process.stderr is not None else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = max(peak, used.ru_maxrss / _KIB)
        if process.returncode:
            failed.append(f"{words[0]} ended with {process.returncode}: {told.decode(errors='replace')[-1000:]}")
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
    if failed:
        raise RuntimeError("; ".join(failed))
    return Took(seconds=time.monotonic() - began, peak=peak)
