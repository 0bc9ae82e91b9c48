"""Runs of images, as a user starts them: a home with inputs, a configuration, and what is left of runs anywhere.

The image is busybox alone, whose ``sh`` starts as an enclave; the template of the session says what it does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.containers import Engine

__all__ = ["COPY", "RunHome"]

#: What most runs do.
COPY: Final = "cp -r /encryptedInputs/. /encryptedOutputs"
_LABEL: Final = "dev.bannock.run"
_SECONDS: Final = 120.0
_STEP_SECONDS: Final = 0.05
_TEMPLATE: Final = """
name: $SESSION
version: "0.3.10"
security: {attestation: {tolerate: [simulation]}}
services:
  - name: app
    image_name: app
    mrenclaves: [$MRENCLAVE]
    command: [/bin/sh, -c, $SCRIPT]
    pwd: /
    environment: {PATH: /bin, "@@FRAME_FIRST": "", "@@FRAME_LAST": ""}
images:
  - name: app
    volumes: [{name: inputs, path: /encryptedInputs}, {name: outputs, path: /encryptedOutputs}]
volumes:
  - {name: inputs, fspf_key: $INPUT_FSPF_KEY, fspf_tag: $INPUT_FSPF_TAG}
  - {name: outputs, fspf_key: $OUTPUT_FSPF_KEY, fspf_tag: $OUTPUT_FSPF_TAG}
"""
#: A client that dies when a run comes to a state, before or after that is written down.
_DYING: Final = """\
import os, signal, sys
from bannock.cli.bannock import main
from bannock.execution.runs.book import OpenRun

state, when = sys.argv[1:3]
change = OpenRun.change

def dying(self, **changes):
    there = str(changes.get("state", "")) == state
    if there and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    change(self, **changes)
    if there:
        os.kill(os.getpid(), signal.SIGKILL)

OpenRun.change = dying
sys.exit(main(sys.argv[3:]))
"""


@dataclass
class RunHome:
    """Where a user runs images.

    Attributes:
        directory: of all of it.
        engine: of this machine.
        image: whose ``sh`` starts as an enclave.
        host: where it runs.
        more: further options of every run.
        variables: further variables of the environment of commands.
    """

    directory: Path
    engine: Engine
    image: str
    host: str = "local"
    more: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for path in (self.input, self.directory / "tmp"):
            path.mkdir(parents=True, exist_ok=True)
        (self.directory / "template.yaml").write_text(_TEMPLATE)

    @property
    def input(self) -> Path:
        """What is read."""
        return self.directory / "in"

    @property
    def output(self) -> Path:
        """What is written."""
        return self.directory / "out"

    @property
    def conf(self) -> Path:
        """Keys and state."""
        return self.directory / "conf"

    def arguments(self, script: str, *more: str, host: str | None = None) -> list[str]:
        """Return the command line of a run."""
        return [
            *("execute", "--application", f"docker-daemon:{self.image}:latest", "--host", host or self.host),
            *("--input", str(self.input), "--output", str(self.output), "--conf", str(self.conf)),
            *("--template", str(self.directory / "template.yaml"), "--env", f"SCRIPT={script}"),
            *self.more,
            *more,
        ]

    def execute(self, script: str, *more: str, host: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run something to its end."""
        return self.command(*self.arguments(script, *more, host=host))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``bannock``."""
        return subprocess.run(
            [sys.executable, "-m", "bannock.cli.bannock", *arguments],
            env=self.environment, cwd=self.directory, capture_output=True, text=True, check=False, timeout=_SECONDS,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``bannock``."""
        return self._popen([sys.executable, "-m", "bannock.cli.bannock", *arguments])

    def start_dying(self, state: str, when: str, *arguments: str) -> subprocess.Popen[str]:
        """Start ``bannock``, which is killed when its run comes to a state."""
        return self._popen([sys.executable, "-c", _DYING, state, when, *arguments])

    def resume(self, name: str) -> subprocess.CompletedProcess[str]:
        """Go on with a run."""
        return self.command("runs", "resume", name, "--conf", str(self.conf))

    def cancel(self, name: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Take a run away."""
        return self.command("runs", "cancel", name, "--conf", str(self.conf), *more)

    def runs(self) -> list[dict[str, Any]]:
        """List the runs that are not done."""
        done = self.command("runs", "list", "--json", "--conf", str(self.conf))
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def record(self) -> dict[str, Any] | None:
        """Read what is written down of the only run; None if there is none."""
        paths = list((self.conf / "runs").glob("*/run.json"))
        if not paths:
            return None
        try:
            found: dict[str, Any] = json.loads(paths[0].read_bytes())
        except (OSError, ValueError):
            return None
        return found

    def wait_for(self, state: str, process: subprocess.Popen[str] | None = None) -> str:
        """Wait until the only run has come to a state; return its name."""
        end = time.monotonic() + _SECONDS
        while True:
            record = self.record()
            if record is not None and record["state"] == state:
                return str(record["name"])
            assert time.monotonic() < end
            assert process is None or process.poll() is None, process.communicate()[1]
            time.sleep(_STEP_SECONDS)

    def wait_for_program(self, text: str) -> None:
        """Wait until some program runs on this machine whose command line has a text in it."""
        end = time.monotonic() + _SECONDS
        while not self.programs(text):
            assert time.monotonic() < end
            time.sleep(_STEP_SECONDS)

    @staticmethod
    def programs(text: str) -> list[int]:
        """Return the processes whose first words have a text in them."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", text.encode()]:
                found.append(int(path.parent.name))
        return found

    def containers(self) -> list[str]:
        """Return what containers the engine has of our runs."""
        told = self.engine.output("ps", "-a", "--filter", f"label={_LABEL}", "--format", "{{.Names}}").split()
        return [name for name in told if name.removeprefix("bannock-run-") in self._ours()]

    def left(self) -> list[str]:
        """Return what is left of our runs: containers, volumes, records, files."""
        volumes = self.engine.output("volume", "ls", "-q", "--filter", f"label={_LABEL}").split()
        found = [*self.containers(), *(name for name in volumes if name.removeprefix("bannock-run-") in self._ours())]
        for place in (self.conf / "runs", self.directory / "tmp"):
            found += [str(path) for path in place.glob("*")] if place.exists() else []
        found += [str(path) for path in self.output.glob(".*")] if self.output.exists() else []
        return found

    def _ours(self) -> set[str]:
        self._names |= {path.name for path in (self.conf / "runs").glob("*")}
        return self._names

    @property
    def environment(self) -> Mapping[str, str]:
        """What commands are run with."""
        return {
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory / "tmp"),
            "PATH": os.environ.get("PATH", os.defpath),
            "DOCKER_HOST": self.engine.host,
            **self.variables,
        }

    def _popen(self, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words, env=self.environment, cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
