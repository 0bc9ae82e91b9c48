"""The first process of a run's container: programs that end, run too long, are stopped; volumes that come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from bannock.execution.container_job import ContainerJob, ContainerOutcome
from bannock.execution.transfer.backends import backend_for
from bannock.execution.transfer.volumes import send_volume
from bannock.values import FspfKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

_CARRY = """
import os, sys
from pathlib import Path
from bannock.execution.carrier import carry
sys.exit(carry(Path(sys.argv[1]), os.environ))
"""


class Place:
    """The directory of a run in a container."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "run"
        for name in ("input", "output"):
            (self.path / name).mkdir(parents=True)
        self.program = directory / "program"

    def job(self, script: str, *, seconds: float | None = None, **more: Mapping[str, Any]) -> None:
        """Say what is to be done."""
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        self.program.chmod(0o755)
        parts = {"input": None, "output": None, "grant": None, **more}
        job = ContainerJob(run="r", program=str(self.program), seconds=seconds, **parts)
        (self.path / "job.json").write_bytes(job.to_json())

    def start(self) -> subprocess.Popen[str]:
        """Start the carrier."""
        return subprocess.Popen(
            [sys.executable, "-c", _CARRY, str(self.path)],
            env={"PATH": os.defpath, "WHO": "host"},
            stderr=subprocess.PIPE,
            text=True,
        )

    def carry(self) -> ContainerOutcome:
        """Let the carrier do it."""
        process = self.start()
        told = process.communicate(timeout=60)[1]
        outcome = self.outcome()
        assert process.returncode == outcome.exit_code, told
        return outcome

    def outcome(self) -> ContainerOutcome:
        """What it says."""
        return ContainerOutcome.from_json((self.path / "outcome.json").read_bytes())

    def wait_for(self, name: str) -> None:
        """Wait until the program has made a file."""
        end = time.monotonic() + 30
        while not (self.path / name).exists():
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A directory with empty volumes."""
    return Place(tmp_path)


def test_a_program_is_run(place: Place) -> None:
    """Its exit code and its last words are told; it has the container's environment."""
    place.job(f"echo said by $WHO; echo kept > {place.path}/output/file; exit 7")
    outcome = place.carry()
    assert (outcome.exit_code, outcome.ran, outcome.stopped, outcome.timed_out) == (7, True, False, False)
    assert outcome.log == "said by host\n"
    assert (outcome.error, outcome.pushed) == ((), None)


def test_what_is_done_is_not_done_again(place: Place) -> None:
    """A container that is started again after its program has ended says the same."""
    place.job(f"echo once >> {place.path}/count; exit 3")
    assert place.carry() == place.carry()
    assert (place.path / "count").read_text() == "once\n"


def test_a_program_that_is_too_slow_is_ended(place: Place) -> None:
    """It is asked, and the outcome says that its time was over."""
    place.job("exec sleep 60", seconds=0.2)
    outcome = place.carry()
    assert (outcome.exit_code, outcome.timed_out, outcome.stopped) == (128 + signal.SIGTERM, True, False)


def test_a_program_that_was_stopped_is_run_again(place: Place) -> None:
    """An engine that ends asks its containers to; the next start runs the program anew."""
    place.job(f"test -e {place.path}/began && exit 0; touch {place.path}/began; exec sleep 60")
    process = place.start()
    place.wait_for("began")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert place.outcome().stopped
    outcome = place.carry()
    assert (outcome.exit_code, outcome.stopped) == (0, False)


def test_a_container_that_was_killed_says_nothing_of_before(place: Place) -> None:
    """What an earlier start has left does not pass for this one's."""
    place.job(f"test -e {place.path}/began && exit 0; touch {place.path}/began; exec sleep 60")
    (place.path / "record.json").write_text("{}")
    process = place.start()
    place.wait_for("began")
    process.kill()
    process.communicate(timeout=60)
    assert not (place.path / "outcome.json").exists()
    assert not (place.path / "record.json").exists()
    assert place.carry().exit_code == 0


def test_a_program_that_is_not_there(place: Place) -> None:
    """It did not run, and why is told."""
    place.job("true")
    place.program.unlink()
    outcome = place.carry()
    assert not outcome.ran
    assert outcome.exit_code == 127
    assert "cannot start" in outcome.error[0]


def test_a_container_without_a_job(place: Place) -> None:
    """There is nobody to tell but the container's own log."""
    process = place.start()
    assert "job.json" in process.communicate(timeout=60)[1]
    assert process.returncode not in (0, 1)


def test_volumes_come_and_go(place: Place, tmp_path: Path) -> None:
    """The inputs are pulled once, the output is pushed; one that could not be pushed is, at the next start."""
    shared, source = tmp_path / "shared", tmp_path / "source"
    for directory in (shared, source):
        directory.mkdir()
    (source / "file").write_text("content")
    backend = backend_for(f"dir:{shared}", environment={})
    parcels = []
    for what, content in (("input", source), ("output", None)):
        with backend.sender("r", what) as sender:
            key = FspfKey(os.urandom(32))
            parcels.append(send_volume(content, key, sender, scratch=tmp_path / "scratch")[1])
    grant = backend.grant("r", "result")
    place.job(f"echo {{}} > {place.path}/count", input=parcels[0], output=parcels[1], grant=grant)
    outcome = place.carry()
    assert outcome.exit_code == 0, outcome.error
    assert (place.path / "input" / "volume.fspf").exists()
    assert outcome.pushed is not None
    with backend.open("r", outcome.pushed) as stream:
        assert stream.read(1)
    # As if nothing could be pushed, at this start and at the next one.
    (place.path / "outcome.json").write_bytes(ContainerOutcome(exit_code=0, ran=True, error=("away",)).to_json())
    (place.path / "count").unlink()
    place.job("false", grant={"kind": "away"})
    failed = place.carry()
    assert failed.pushed is None
    assert "does not say how its volumes come here" in failed.error[0]
    place.job("false", grant=grant)
    again = place.carry()
    assert again.pushed is not None
    assert again.error == ()
    assert not (place.path / "count").exists()


def test_inputs_that_do_not_come(place: Place, tmp_path: Path) -> None:
    """The program is not run, and why is told."""
    parcel = {"kind": "directory", "path": str(tmp_path / "nobody"), "prefix": "x", "index": {}}
    place.job("true", input=parcel)
    outcome = place.carry()
    assert not outcome.ran
    assert outcome.error
