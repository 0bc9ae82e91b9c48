"""The first process of a container stays out of the namespaces of the runtime, and stands for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Final

import pytest

#: Pretends to be process 1; what goes on makes a mount namespace of its own, as the runtime does.
_PROGRAM: Final = """
import os, signal, sys
from bannock.runtime.first_process import leave_first_process
ended = leave_first_process(1)
if ended is not None:
    sys.exit(ended)
if sys.argv[1] == "exit":
    sys.exit(int(sys.argv[2]))
if sys.argv[1] == "signal":
    os.kill(os.getpid(), int(sys.argv[2]))
if sys.argv[1] == "orphan":
    if os.fork() == 0:
        os._exit(7)
    sys.exit(3)
def told(number, _):
    print("told", number, flush=True)
    sys.exit(5)
signal.signal(int(sys.argv[2]), told)
print(os.getpid(), os.getppid(), flush=True)
signal.pause()
"""


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", _PROGRAM, *map(str, arguments)]


@pytest.mark.parametrize(
    ("how", "number", "code"), [("exit", 0, 0), ("exit", 42, 42), ("signal", 9, 137), ("orphan", 0, 3)]
)
def test_it_ends_as_its_child_does(how: str, number: int, code: int) -> None:
    """The exit code of the container is the one of the application; orphans do not end it."""
    assert subprocess.run(_command(how, number), check=False, timeout=30).returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(number: signal.Signals) -> None:
    """What an engine sends to the first process comes to the application, once."""
    with subprocess.Popen(
        _command("wait", int(number)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child, parent = map(int, process.stdout.readline().split())
        assert parent == process.pid != child
        process.send_signal(number)
        assert process.stdout.read() == f"told {int(number)}\n"
    assert process.returncode == 5


def test_other_processes_go_on() -> None:
    """Who is not the first process has nothing to leave."""
    script = "from bannock.runtime.first_process import leave_first_process; print(leave_first_process())"
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout == b"None\n"
