"""1,000 kills at random moments of a write workload, each followed by a restart, and every promise kept.

After each restart nothing is lost that was acknowledged, the volume opens, and what is in it is exactly one state
that was committed. Copies of the volume that were taken from time to time are then tried in its place, and refused.
The moments follow from fixed seeds; where they fall in the work depends on the machine. The mix:

- 800 times a process that uses the volume as a library, with a keeper of its tag in a file: a half in the first
  microseconds of a commit, a quarter at any time from its start on, a quarter exactly at a system call (before it,
  after it, or in the midst of a write);
- 100 times such a process, a real CAS on its SQLite database, or both, over the enclave interface;
- 100 times the whole, `bannock run` with an application on a volume under FUSE, the CAS, or both.

Beside these the power of an ext4 is cut 100 times, under a process of the first kind.

All are forked from a process that has everything loaded; what is killed is killed by SIGKILL.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_REPOSITORY = Path(__file__).parents[3]

#: The keeper's word is not durable: every second time it answers before it has noted anything.
_FORGETFUL = """
import sys
from tests.integration.shield import hosting
from tests.integration.shield.kills import __main__
class Forgetful(hosting.FileKeeper):
    count = 0
    def advance(self, expected, new):
        Forgetful.count += 1
        if Forgetful.count % 2:
            self._forgotten = new
        else:
            self._path.write_text(str(new))
hosting.FileKeeper = Forgetful
sys.argv[0] = "kills"
__main__.main()
"""


def _kill(program: list[str], kind: str, directory: Path, kills: int, seed: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *program, kind, str(directory / "kills")]
    command += ["--kills", str(kills), "--seed", str(seed)]
    return subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, check=False, timeout=600)


def _report(kind: str, directory: Path, kills: int, seed: int) -> dict[str, Any]:
    done = _kill(["-m", "tests.integration.shield.kills"], kind, directory, kills, seed)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    print(kind, report)  # noqa: T201 # shown with -rA
    assert sum(report["kills"].values()) == kills
    return report


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_800_kills_of_a_process_with_a_volume(tmp_path: Path, seed: int) -> None:
    """Killed at any time, within commits and at system calls, a volume is in the state that its keeper names."""
    report = _report("file", tmp_path, 400, seed)
    assert report["states"] > 400
    assert report["states without an answer"] > 0, "some were killed between the keeper's move and its answer"
    assert report["older states refused"] > 400


@pytest.mark.slow
def test_100_kills_of_a_process_with_a_volume_and_its_cas(tmp_path: Path) -> None:
    """Whichever is killed, or both: what CAS has in force is on the disk, and what was acknowledged is in force."""
    report = _report("cas", tmp_path, 100, 3)
    assert set(report["kills"]) == {"writer", "CAS", "both"}
    assert report["states"] > 50
    assert report["older states refused"] > 50


@pytest.mark.fuse
@pytest.mark.root
@pytest.mark.slow
def test_100_kills_of_the_whole(tmp_path: Path) -> None:
    """What an application has fsynced is there for it after its runtime, the CAS, or both were killed."""
    report = _report("run", tmp_path, 100, 4)
    assert set(report["kills"]) == {"runtime", "CAS", "both"}
    assert report["ended without its CAS"] < 10
    assert report["states"] > 50
    assert report["older states refused"] > 50


@pytest.mark.root
@pytest.mark.slow
def test_100_power_cuts_of_a_real_file_system(tmp_path: Path) -> None:
    """After ext4 has lost everything that was not durable, the state that the keeper names is there, whole."""
    report = _report("disk", tmp_path, 100, 5)
    assert report["states"] > 50
    assert report["older states refused"] > 50


def test_kills_find_a_keeper_that_forgets(tmp_path: Path) -> None:
    """The same kills do find it out when something acknowledged is not durable."""
    done = _kill(["-c", _FORGETFUL], "file", tmp_path, 60, 1)
    assert done.returncode == 1
    assert "AssertionError: error " in done.stderr or "one had to be" in done.stderr
