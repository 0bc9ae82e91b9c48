"""Kills the whole: ``bannock run`` with an application on a volume under FUSE, its CAS, or both.

The runtime is forked from a process that has loaded it already; else most of the time would go into starting Python.
It does all that the command does: private root, measurement by a LAS, attestation to the CAS, mount, application.
"""

from __future__ import annotations

import io
import os
import random
import sys
import time
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import RollbackError
from bannock.runtime.run import run
from bannock.runtime.settings import Mount, RunOptions
from bannock.values import Measurement
from tests.integration.shield.kills import application
from tests.integration.shield.kills.history import Copies, History
from tests.integration.shield.kills.process import Process, spin
from tests.integration.shield.kills.services import CasKeeper, CasProcess, start_las

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.shield.kills.process import Say

__all__ = ["RunDrive"]

_PYTHON: Final = os.path.realpath(sys.executable)
_SESSION: Final = """
name: demo
version: "0.3.10"
security: {{attestation: {{tolerate: [simulation]}}}}
services:
  - name: app
    image_name: image
    mrenclaves: ["{measurement}"]
    command: ["{python}", "-I", "-S", "{application}", /data, "{said}"]
    pwd: /
images:
  - name: image
    volumes: [{{name: output, path: /data}}]
volumes:
  - name: output
"""
#: A step has two fsync(2), each of which is a commit.
_STEP_SECONDS: Final = 0.06
_START_SECONDS: Final = 0.6
_WHOLE_EVERY: Final = 10
_PATIENCE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.0005
_LOG_BYTES: Final = 4000


class RunDrive:
    """Kills at random moments, which follow from a seed; a context manager."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._choose = random.Random(seed)  # noqa: S311 # repeatable moments
        self.kills = Counter[str]()
        self._gave_up = 0
        self._lost_its_cas = False
        self._history = History(seed)
        self._said = directory / "said"
        self._options = RunOptions(command=_PYTHON, volumes={}, mount=Mount.FUSE)
        self._runtime: Process | None = None
        self._las, self._las_address = start_las(directory / "las")
        self._cas = CasProcess(directory / "cas")
        self._measurement = self._measure()
        self._cas.make_session(
            _SESSION.format(
                measurement=self._measurement, python=_PYTHON, application=application.__file__, said=self._said
            )
        )
        keeper = self._keeper()
        keeper.close()
        self._copies = Copies(directory / "copies", keeper.key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_runtime()
        self._cas.kill()
        self._las.close()

    def _measure(self) -> Measurement:
        """Ask the runtime itself what it would be measured as."""

        def work(say: Say) -> None:
            with redirect_stdout(io.StringIO()) as out:
                run(self._options, {"SCONE_HASH": "1"})
            say(out.getvalue().strip())

        process = Process(work)
        (words,) = process.lines()
        process.close()
        return Measurement.from_hex(words[0])

    def _run(self, say: Say, volume: Path) -> None:
        log = os.open(self._directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        environment = {
            "SCONE_CAS_ADDR": str(self._cas.enclaves),
            "SCONE_CONFIG_ID": "demo/app",
            "BANNOCK_CAS_KEY": str(self._cas.key),
            "SCONE_LAS_ADDR": self._las_address,
        }
        say("ended", run(replace(self._options, volumes={"output": volume}), environment))

    def _start(self, volume: Path | None = None) -> None:
        # A new file each time: the application that was killed with its runtime may still be about to say something.
        self._said.unlink(missing_ok=True)
        self._said.touch()
        self._heard = 0
        self._lost_its_cas = False
        self._runtime = Process(lambda say: self._run(say, volume or self._directory / "volume"))

    def kill(self) -> None:
        """Kill one or both at some moment, start again what was killed, and see that nothing is lost."""
        victim = self._choose.choice(["runtime", "runtime", "CAS", "both"])
        if self._runtime is None:
            self._start()
        if victim == "runtime" and self._choose.random() < 0.2:
            time.sleep(self._choose.random() * _START_SECONDS)
        else:
            self._wait_for_a_step()
        if victim != "CAS" and self._runtime is not None:
            self._runtime.kill()
        if victim != "runtime":
            self._cas.kill()
            self._lost_its_cas = True
        if victim != "CAS":
            self._end_runtime()
        if victim != "runtime":
            self._cas.start()
        self.kills[victim] += 1
        if victim != "CAS" and (tag := self._cas.tag("demo", "output")) is not None:
            self._copies.look(self.kills.total(), self._directory / "volume", tag, self._keeper)
            if self.kills.total() % _WHOLE_EVERY == 0 and (copy := self._copies.oldest(tag)) is not None:
                self._refuse(copy)

    def _keeper(self) -> CasKeeper:
        """Ask the CAS as an enclave of the same measurement does."""
        return CasKeeper(self._cas, "demo", self._measurement)

    def _refuse(self, copy: Path) -> None:
        """Start the whole on an older copy: it is refused before the application is started."""
        self._start(copy)
        assert self._runtime is not None
        for words in self._runtime.lines():
            assert words == ["ended", str(RollbackError.exit_code)], f"{words}: {self._log()}"
        assert not self._said.read_text()
        self._end_runtime()

    def _wait_for_a_step(self) -> None:
        count, deadline = self._choose.randrange(1, 4), time.monotonic() + _PATIENCE_SECONDS
        while count > 0:
            for words in self._lines():
                self._history.hear(words)
                count -= words[0] == "announce"
            assert time.monotonic() < deadline, "the application does nothing"
            assert self._runtime is not None
            for words in self._runtime.lines(0):
                # A runtime asks for some seconds, and a machine with much else to do may take longer for a CAS.
                assert self._lost_its_cas, f"{words}: {self._log()}"
                self._gave_up += 1
                self._end_runtime()
                self._start()
                break
            time.sleep(_POLL_SECONDS)
        spin(self._choose.random() * _STEP_SECONDS)

    def _log(self) -> str:
        """Return the end of what the runtime said."""
        path = self._directory / "log"
        return path.read_text()[-_LOG_BYTES:] if path.exists() else ""

    def _lines(self) -> Iterator[list[str]]:
        said = self._said.read_text()
        for line in said[self._heard :].splitlines(keepends=True):
            self._heard += len(line)
            yield line.split()

    def _end_runtime(self) -> None:
        if self._runtime is None:
            return
        self._runtime.close()
        self._runtime = None
        for words in self._lines():
            self._history.hear(words)

    def finish(self) -> None:
        """Have the application look for a last time."""
        self._end_runtime()
        self._start()
        self._wait_for_a_step()

    def report(self) -> dict[str, object]:
        """Return what was done."""
        return {
            "kills": dict(self.kills), "states": self._history.acknowledged,
            "states without an answer": self._history.lost_answers, "older states refused": self._copies.refused,
            "ended without its CAS": self._gave_up,
        }  # fmt: skip
