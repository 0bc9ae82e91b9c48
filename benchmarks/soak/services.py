"""Services of a soak: what each has to say is compared with what it said before, through every restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.soak.servers import BANNOCK
from benchmarks.soak.tree import descendants

if TYPE_CHECKING:
    from bannock.values import KeyHash
    from benchmarks.soak.servers import Cas

__all__ = ["PROGRAM", "Service", "Wrong", "measured"]

PROGRAM: Final = "/usr/bin/python3"
_APPLICATION: Final = Path(__file__).with_name("application.py")
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 60.0
_PAUSE: Final = 0.1
_SESSION: Final = """\
name: {name}
version: "0.3.11"
{predecessor}security: {{attestation: {{tolerate: [simulation]}}}}
services:
  - name: app
    image_name: image
    command: {command}
    environment: {{GENERATION: "{generation}", PAUSE: "{pause}", KEY: $$SCONE::key:hex$$, PATH: /usr/bin:/bin}}
    attestation: [{{mrenclave: {measurement}}}]
secrets: [{{name: key, kind: binary, size: 32}}]
images: [{{name: image, volumes: [{{name: data, path: /data}}]}}]
volumes: [{{name: data}}]
"""


class Wrong(Exception):
    """Something that must not be."""


def measured() -> str:
    """Give MRENCLAVE of the program."""
    words = [*BANNOCK, "run", "--", PROGRAM]
    environment = {"HOME": "/nonexistent", "PATH": os.defpath, "SCONE_HASH": "1"}
    return subprocess.check_output(words, env=environment, text=True).strip()


@dataclass(kw_only=True)
class Service:
    """One service with one volume.

    Attributes:
        name: of the session.
        home: of whoever starts it.
        volume: directory of its ciphertext.
        durable: whether what it says is done is durable at once: a volume in memory is written back at times.
        steady: it is never ended before the end, so that its memory can be looked at.
        generation: version of its session.
        tried, done: numbers of entries.
        has_given_up: its volume took no more, so it ended by itself.
    """

    name: str
    home: Path
    volume: Path
    durable: bool
    steady: bool
    measurement: str
    pause: float
    cas: Cas
    key: KeyHash
    environment: dict[str, str]
    generation: int = 0
    hash: str = ""
    tried: int = 0
    done: int = 0
    commits: int = 0
    failures: int = 0
    lives: int = 0
    has_given_up: bool = False
    _graceful: bool = True
    _read: int = 0
    _ready: tuple[int, int] | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def post(self) -> None:
        """Make its session, or the next version of it.

        Raises:
            BannockError: the CAS is away or refuses it.
        """
        text = _SESSION.format(
            name=self.name,
            predecessor=f"predecessor: {self.hash}\n" if self.hash else "",
            command=json.dumps([PROGRAM, "-I", "-c", _APPLICATION.read_text(encoding="utf-8")]),
            generation=self.generation + 1,
            pause=self.pause,
            measurement=self.measurement,
        )
        self.hash = self.cas.post(text, self.key)
        self.generation += 1

    @property
    def pid(self) -> int | None:
        """Its runtime, if it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def _output(self) -> Path:
        return self.home / f"{self.name}.out"

    @property
    def errors(self) -> str:
        """The end of what the runtime said."""
        return (self.home / f"{self.name}.err").read_text(errors="replace")[-1500:]

    def launch(self, program: str = PROGRAM) -> None:
        """Start it, and wait for nothing."""
        self.lives += 1
        self._ready = None
        mount = "fuse" if self.durable else "memory"
        words = [*BANNOCK, "run", "--mount", mount, "--volume", f"data={self.volume}", "--", program]
        environment = self.environment | {"SCONE_CONFIG_ID": f"{self.name}/app"}
        with self._output.open("ab") as output, (self.home / f"{self.name}.err").open("ab") as errors:
            self._process = subprocess.Popen(
                words, env=environment, cwd=self.home, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
        self.has_given_up = False

    def start(self) -> None:
        """Start it, and wait until it has looked at everything.

        Raises:
            Wrong: it does not start, or an entry that was durable is lost, or one is there that nobody made.
        """
        self.launch()
        end = time.monotonic() + _START_SECONDS
        while self._ready is None:
            if self.pid is None or time.monotonic() > end:
                raise Wrong(f"{self.name} does not start: {self.errors}")
            time.sleep(_PAUSE)
            self.look()

    def look(self) -> None:
        """Read what it said since.

        Raises:
            Wrong: it is not what has to be.
        """
        with self._output.open("rb") as file:
            file.seek(self._read)
            said = file.read()
        whole = said[: said.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            self._heard(line.split())

    def _heard(self, words: list[str]) -> None:
        match words:
            case ["try", number]:
                self.tried = max(self.tried, int(number))
            case ["done", number]:
                self.done = int(number)
                self.commits += 1
            case ["failed", *_]:
                self.failures += 1
            case ["ends"]:
                self.has_given_up = True
            case ["ready", generation, number]:
                self._begun(int(generation), int(number))
            case _:
                raise Wrong(f"{self.name} says: {' '.join(words)}")

    def _begun(self, generation: int, number: int) -> None:
        self._ready = generation, number
        least = self.done if self.durable or self._graceful else 0
        if generation != self.generation:
            raise Wrong(f"{self.name} has configuration {generation}, and {self.generation} is in force")
        if not least <= number <= max(self.tried, self.done):
            raise Wrong(f"{self.name} begins at {number}; done were {self.done}, and tried {self.tried}")
        self.done = self.tried = number
        self._graceful = False

    def stop(self) -> int:
        """End it in good order, and give its exit code.

        Raises:
            Wrong: it does not end.
        """
        process = self._running()
        process.terminate()
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill("all")
            raise Wrong(f"{self.name} does not end by SIGTERM") from None
        self.look()
        self._graceful = True
        return code

    def kill(self, what: str) -> None:
        """Kill ``all`` of it, its ``runtime`` or its ``application``; nothing of it may go on.

        Raises:
            Wrong: something does.
        """
        process = self._running()
        tree = descendants(process.pid)
        doomed = {"all": tree, "runtime": [process.pid], "application": tree[-1:]}[what]
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{self.name} goes on without its {what}") from None
        end = time.monotonic() + _STOP_SECONDS
        while left := [pid for pid in tree if Path(f"/proc/{pid}").exists()]:
            if time.monotonic() > end:
                raise Wrong(f"{self.name}: processes {left} go on without its {what}")
            time.sleep(_PAUSE)
        self.look()

    def refused(self, program: str = PROGRAM) -> str:
        """Start it where it must not get anywhere, and give the reason.

        Raises:
            Wrong: it is started.
        """
        self.launch(program)
        process = self._running()
        try:
            code = process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill("all")
            code = 0
        with self._output.open("rb") as file:
            file.seek(self._read)
            said = file.read()
            self._read += len(said)
        if not code or b"ready" in said:
            raise Wrong(f"{self.name} is started though it must not be: {said.decode(errors='replace')}")
        return self.errors.splitlines()[-1]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise Wrong(f"{self.name} was never started")
        return self._process
