"""The private root and the application's process, each in a process of its own because they change it for good."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

PREAMBLE = """
import os, sys
from pathlib import Path
from bannock.errors import BannockError, render
from bannock.runtime.launcher import Launcher, end_descendants
from bannock.runtime.root import PrivateRoot
root = PrivateRoot.enter()
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0",
    reason="neither root nor user namespaces",
)


def inside(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program after it has entered a private root."""
    source = PREAMBLE + textwrap.dedent(program)
    return subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True, text=True, check=False)


def output(program: str, *arguments: str) -> str:
    """Run a program in a private root that has to succeed, and return what it prints."""
    done = inside(program, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_host_is_visible_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    """Mount points and injected files appear in the private root alone, at any depth."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "there").write_text("from the host")
    text = output(
        """
        host = Path(sys.argv[1])
        root.memory(Path("/encryptedThings"))
        root.memory(host / "deep/below/volume")
        (host / "deep/below/volume/secret").write_text("plain")
        root.place(host / "injected.key", b"secret", 0o400)
        print((host / "there").read_text(), (host / "injected.key").read_text(), Path("/encryptedThings").is_dir())
        """,
        str(host),
    )
    assert text == "from the host secret True\n"
    assert sorted(path.name for path in host.iterdir()) == ["there"]
    assert not Path("/encryptedThings").exists()


def test_a_bound_directory_cannot_be_changed_from_inside(tmp_path: Path) -> None:
    """An application cannot change the bundle that it was started from."""
    (tmp_path / "program").write_text("#!")
    text = output(
        """
        root.bind(Path(sys.argv[1]), Path("/app"))
        print(sorted(os.listdir("/app")))
        try:
            Path("/app/program").write_text("changed")
        except OSError as error:
            print(error.strerror)
        """,
        str(tmp_path),
    )
    assert text == "['program']\nRead-only file system\n"


def test_frozen_files_stay_as_they_were_measured(tmp_path: Path) -> None:
    """What the host writes to a measured file afterwards, the application never sees."""
    program = tmp_path / "program"
    program.write_bytes(b"measured")
    text = output(
        """
        path = Path(sys.argv[1])
        handle = os.open(path, os.O_WRONLY)  # as the host has it
        root.freeze([str(path)])
        os.pwrite(handle, b"exchange", 0)
        print(path.read_text())
        """,
        str(program),
    )
    assert text == "measured\n"
    assert program.read_bytes() == b"exchange"


def test_something_in_the_way_of_a_mount_point_is_an_error(tmp_path: Path) -> None:
    """A file where a volume belongs is not mounted over."""
    (tmp_path / "file").write_text("")
    done = inside(
        """
        try:
            root.memory(Path(sys.argv[1]))
        except BannockError as error:
            print("\\n".join(render(error)))
        """,
        str(tmp_path / "file"),
    )
    assert "is to be a directory, and something else stands there" in done.stdout


def test_the_application_gets_its_orders_and_nothing_else() -> None:
    """Arguments, environment and directory are those of the orders; the host's are not to be seen."""
    os.environ["HOST_VARIABLE"] = "from the host"
    try:
        text = output(
            """
            launcher = Launcher.fork()
            launcher.start("/usr/bin/env", ["env"], {"GREETING": "hello"}, "/usr")
            sys.exit(launcher.wait())
            """
        )
    finally:
        del os.environ["HOST_VARIABLE"]
    assert text == "GREETING=hello\n"


def test_exit_codes_and_signals_are_passed_on() -> None:
    """The exit code is the application's; a signal n that ended it is 128 + n."""
    program = """
    launcher = Launcher.fork()
    launcher.start("/bin/sh", ["sh", "-c", sys.argv[1]], {}, "/")
    sys.exit(launcher.wait())
    """
    assert inside(program, "exit 7").returncode == 7
    assert inside(program, "kill -KILL $$").returncode == 137


def test_sigterm_reaches_the_application() -> None:
    """The application decides what SIGTERM means; the runtime only passes it on."""
    source = PREAMBLE + textwrap.dedent(
        """
        launcher = Launcher.fork()
        script = "trap 'echo asked to end; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
        launcher.start("/bin/sh", ["sh", "-c", script], {}, "/")
        sys.exit(launcher.wait())
        """
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.read() == "asked to end\n"
        assert process.wait() == 5


def test_what_the_application_leaves_behind_is_ended() -> None:
    """A daemon that outlives its parent does not outlive the run, even if it ignores the request to end."""
    marker = f"{os.getpid()}.{time.monotonic_ns()}"
    output(
        """
        launcher = Launcher.fork()
        script = "trap '' TERM; (setsid sh -c \\"trap '' TERM; sleep 1000; echo " + sys.argv[1] + "\\" &) ; exit 0"
        launcher.start("/bin/sh", ["sh", "-c", script], {}, "/")
        launcher.wait()
        end_descendants()
        """,
        marker,
    )
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _holds(path, marker)]
    assert left == []


def _holds(path: Path, marker: str) -> bool:
    try:
        return marker.encode() in path.read_bytes()
    except OSError:
        return False


def test_the_application_dies_with_a_runtime_that_is_killed() -> None:
    """Nothing runs on without its runtime."""
    source = PREAMBLE + textwrap.dedent(
        """
        launcher = Launcher.fork()
        launcher.start("/bin/sh", ["sh", "-c", "echo $$; exec sleep 1000"], {}, "/")
        launcher.wait()
        """
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        application = int(process.stdout.readline())
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{application}/cmdline").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{application}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{application}").exists()


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The user reads what could not be started, not a traceback."""
    text = output(
        """
        launcher = Launcher.fork()
        try:
            launcher.start("/no/such/program", ["program"], {}, "/")
        except BannockError as error:
            print("\\n".join(render(error)))
        launcher = Launcher.fork()
        try:
            launcher.start("/bin/sh", ["sh"], {}, sys.argv[1])
        except BannockError as error:
            print("\\n".join(render(error)))
        """,
        str(tmp_path / "nowhere"),
    )
    assert text.splitlines() == [
        "Error: cannot start the application: /no/such/program: No such file or directory",
        f"Error: cannot start the application: working directory {tmp_path / 'nowhere'}: No such file or directory",
    ]
