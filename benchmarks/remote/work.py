"""What is measured: a run of ``execute``, and the same by hand, each as a user would type it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ByHand", "Execute", "Took"]

_KIB: Final = 1024
_LOOK_SECONDS: Final = 0.02
_HIGH_WATER: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", flags=re.MULTILINE)
#: What one does in the container: the host's part, in one line of shell.
_THERE: Final = (
    "mkdir /in /out && age -d -i /key | tar -x -C /in && cp -a /in/. /out && tar -c -C /out . | age -r {recipient}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What something took: seconds, and MiB of memory of the largest process here; and what was told of it."""

    seconds: float
    peak: float
    told: str = ""


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
    with tempfile.TemporaryFile() as errors:
        before: int | None = subprocess.DEVNULL
        for number, words in enumerate(pipeline, 1):
            after = subprocess.DEVNULL if number == len(pipeline) else subprocess.PIPE
            process = subprocess.Popen(words, stdin=before, stdout=after, stderr=errors)
            if processes and (pipe := processes[-1].stdout) is not None:
                pipe.close()
            processes.append(process)
            before = process.stdout.fileno() if process.stdout is not None else None
        peak = _peak(processes)
        seconds = time.monotonic() - began
        errors.seek(0)
        told = errors.read().decode(errors="replace")
    failed = [process.returncode for process in processes if process.returncode]
    if failed:
        raise RuntimeError(f"{pipeline[-1][0]} ended with {failed[0]}: {told[-2000:]}")
    return Took(seconds=seconds, peak=peak, told=told)


def _peak(processes: Sequence[subprocess.Popen[bytes]]) -> float:
    """Wait until all have ended, and return the MiB that the largest had at most, to within its last moments.

    What wait4(2) says counts the program from which they were forked as well.
    """
    peak = 0
    while True:
        running = [process for process in processes if process.poll() is None]
        if not running:
            return peak / _KIB
        for process in running:
            with suppress(OSError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                if found := _HIGH_WATER.search(status):
                    peak = max(peak, int(found[1]))
        with suppress(subprocess.TimeoutExpired):
            running[-1].wait(_LOOK_SECONDS)
