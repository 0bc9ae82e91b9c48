"""Applications that are images, on hosts with a container engine: what comes back, and that nothing is left."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.errors import ConflictError, DeniedError, IntegrityError, NotFoundError
from tests.image_runs import COPY, RunHome

if TYPE_CHECKING:
    from tests.containers import Engine
    from tests.protected_images import ProtectedImages

pytestmark = [pytest.mark.docker, pytest.mark.root]


@pytest.fixture
def home(engine: Engine, protected: ProtectedImages, tmp_path: Path) -> RunHome:
    """A user with an input."""
    home = RunHome(tmp_path, engine, protected.of("busybox", "/bin/busybox"))
    (home.input / "f1.txt").write_text("Hello World\n")
    return home


def test_outputs_come_back(home: RunHome) -> None:
    """Inputs reach the program, outputs come back, the plan tells it before, and nothing is left."""
    planned = home.execute(COPY, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "/bin/sh: MRENCLAVE" in planned.stdout
    assert home.left() == []
    done = home.execute(COPY, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    assert (result["exit_code"], result["platform"], result["files"]) == (0, "sim", 1)
    assert result["output_tag_before"] != result["output_tag_after"]
    assert home.left() == []


@pytest.mark.parametrize(
    ("state", "when"),
    [
        ("created", "before"),
        ("uploaded", "before"),
        ("started", "before"),
        ("ended", "before"),
        ("fetched", "after"),
    ],
)
def test_a_client_that_is_killed_is_followed_by_another(home: RunHome, state: str, when: str) -> None:
    """At whatever point the client is killed, the run is listed, resumed, gives the outputs, and leaves nothing."""
    name = killed_at(home, state, when)
    done = home.resume(name)
    assert done.returncode == 0, done.stderr
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    assert home.left() == []
    assert home.runs() == []


@pytest.mark.parametrize("state", ["uploaded", "ended"])
def test_what_a_killed_client_left_is_taken_away(home: RunHome, state: str) -> None:
    """A run that nobody wants any more is cancelled at whatever point it is."""
    name = killed_at(home, state, "after")
    done = home.cancel(name)
    assert done.returncode == 0, done.stderr
    assert home.left() == []
    assert home.resume(name).returncode == NotFoundError.exit_code


def test_a_running_program_outlives_its_client(home: RunHome) -> None:
    """The program waits for the embedded CAS, which is away with its client, and ends when that is back."""
    process = home.start(*home.arguments(f"{COPY}; sleep 3.141; echo 2 > /encryptedOutputs/second"))
    home.wait_for_program("3.141")
    process.kill()
    process.communicate()
    (run,) = home.runs()
    assert (run["state"], run["busy"]) == ("started", False)
    done = home.resume(run["run"])
    assert done.returncode == 0, done.stderr
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    assert (home.output / "second").read_text() == "2\n"
    assert home.left() == []


def test_interrupting_cancels(home: RunHome) -> None:
    """Ctrl-C ends the program on the host, and leaves nothing."""
    process = home.start(*home.arguments("sleep 432.1"))
    home.wait_for_program("432.1")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert home.programs("432.1") == []
    assert home.left() == []


def test_interrupting_with_keep_leaves_the_run_alone(home: RunHome) -> None:
    """With --keep, Ctrl-C says how to go on, and the program runs; nobody else resumes meanwhile."""
    process = home.start(*home.arguments("sleep 432.2", "--keep"))
    home.wait_for_program("432.2")
    name = home.wait_for("started")
    assert home.runs()[0]["busy"]
    assert home.resume(name).returncode == ConflictError.exit_code
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert f"bannock runs resume {name}" in told
    assert home.programs("432.2") != []
    assert home.cancel(name).returncode == 0
    assert home.programs("432.2") == []
    assert home.left() == []


def test_a_container_that_is_killed_is_started_again(home: RunHome) -> None:
    """A host that starts anew ends the container; the program runs again, over the outputs that it had written."""
    script = "if test -e /encryptedOutputs/before; then echo again > /encryptedOutputs/after; "
    script += "else echo once > /encryptedOutputs/before; sleep 2; sleep 432.3; fi"
    process = home.start(*home.arguments(script))
    home.wait_for_program("432.3")
    home.engine.run("kill", home.containers()[0])
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "it is started again" in told
    assert (home.output / "before").read_text() == "once\n"
    assert (home.output / "after").read_text() == "again\n"
    assert home.left() == []


def test_a_container_that_the_host_removes_is_told(home: RunHome) -> None:
    """What the host took away is an error that says so; the rest is removed by cancelling."""
    name = killed_at(home, "started", "after")
    home.engine.run("rm", "-f", home.containers()[0])
    done = home.resume(name)
    assert done.returncode == NotFoundError.exit_code
    assert "is not on host local any more" in done.stderr
    assert home.left() == []


def test_time_is_bounded(home: RunHome) -> None:
    """A program whose time is over is ended; what it had written comes back."""
    done = home.execute(f"{COPY}; sleep 432.4", "--timeout", "2s")
    assert done.returncode == 124, done.stderr
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    assert "the time was over" in done.stdout
    assert home.left() == []


def test_exit_codes_are_passed_on(home: RunHome) -> None:
    """What the program ends with is what the command ends with, and its last words are shown."""
    done = home.execute(f"{COPY}; echo last words; exit 42")
    assert done.returncode == 42
    assert "last words" in done.stderr
    assert (home.output / "f1.txt").exists()
    assert home.left() == []


def test_another_program_is_refused(home: RunHome, tmp_path: Path) -> None:
    """A host that changes the program gets no key; the refusal says what differs, and nothing is left."""
    name = killed_at(home, "session", "after")
    changed = tmp_path / "busybox"
    changed.write_bytes(Path("/bin/busybox").read_bytes() + b"x")
    changed.chmod(0o755)
    home.engine.run("cp", str(changed), f"{home.containers()[0]}:/opt/bannock/programs/bin/busybox")
    done = home.resume(name)
    assert done.returncode == DeniedError.exit_code, done.stderr
    assert "was broken off" in done.stderr
    assert not home.output.exists()
    assert home.left() == []


def test_outputs_that_were_changed_are_refused_and_kept(home: RunHome, tmp_path: Path) -> None:
    """Outputs that the host changed are an error; the run stays, and gives them once they are what they were."""
    name = killed_at(home, "ended", "after")
    container = home.containers()[0]
    place = f"{container}:/var/lib/bannock/run/output"
    home.engine.run("cp", f"{place}/.", str(tmp_path / "kept"))
    content = next(path for path in (tmp_path / "kept").rglob("*") if path.is_file() and path.name != "volume.fspf")
    changed = tmp_path / "changed"
    data = bytearray(content.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    relative = content.relative_to(tmp_path / "kept")
    home.engine.run("cp", str(changed), f"{place}/{relative}")
    done = home.resume(name)
    assert done.returncode == IntegrityError.exit_code, done.stderr
    assert f"bannock runs resume {name}" in done.stderr
    assert not (home.output / "f1.txt").exists()
    home.engine.run("cp", str(content), f"{place}/{relative}")
    done = home.resume(name)
    assert done.returncode == 0, done.stderr
    assert (home.output / "f1.txt").read_text() == "Hello World\n"
    assert home.left() == []


def killed_at(home: RunHome, state: str, when: str) -> str:
    """Have a client killed when its run comes to a state, and return the name of the run."""
    process = home.start_dying(state, when, *home.arguments(COPY))
    _, told = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, told
    (run,) = home.runs()
    assert not run["busy"]
    return str(run["run"])
