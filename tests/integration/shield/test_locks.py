"""Locks keep processes apart on a volume as they do elsewhere."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root]

#: Takes a lock (or is refused), says so, and keeps it until there is no more to read.
_HOLDER = """
import fcntl, sys
kind, path, flags = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(path, "r+b") as file:
    try:
        if kind == "flock":
            fcntl.flock(file, flags)
        else:
            fcntl.lockf(file, flags, int(sys.argv[4]), int(sys.argv[5]))
    except OSError as error:
        print(type(error).__name__, flush=True)
    else:
        print("locked", flush=True)
        sys.stdin.read()
"""

_COUNTER = """
import fcntl, sys
for _ in range(200):
    with open(sys.argv[1], "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX) if sys.argv[2] == "flock" else fcntl.lockf(file, fcntl.LOCK_EX)
        number = int(file.read())
        file.seek(0)
        file.write(b"%d" % (number + 1))
"""


class Others:
    """Other processes, that try to lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.running: list[subprocess.Popen[str]] = []

    def lock(self, kind: str, flags: int, *area: int) -> str:
        """Say how a try of another process ends; what it gets it keeps."""
        command = [sys.executable, "-c", _HOLDER, kind, str(self.path), str(flags), *map(str, area)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def end(self) -> None:
        """Kill them all."""
        for process in self.running:
            process.kill()
            process.communicate()
        self.running.clear()


@pytest.fixture
def others(host: Host) -> Iterator[Others]:
    """Give other processes, and a file to lock."""
    path = host.path / "file"
    path.write_bytes(bytes(1000))
    others = Others(path)
    yield others
    others.end()


def test_flock_between_processes(others: Others) -> None:
    """Many share a lock or one has it alone; whoever dies lets go of it."""
    assert others.lock("flock", fcntl.LOCK_SH) == "locked"
    assert others.lock("flock", fcntl.LOCK_SH | fcntl.LOCK_NB) == "locked"
    assert others.lock("flock", fcntl.LOCK_EX | fcntl.LOCK_NB) == "BlockingIOError"
    others.end()
    with others.path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert others.lock("flock", fcntl.LOCK_SH | fcntl.LOCK_NB) == "BlockingIOError"
    assert others.lock("flock", fcntl.LOCK_EX | fcntl.LOCK_NB) == "locked"


def test_record_locks_between_processes(others: Others) -> None:
    """Locks of parts of a file stand in each other's way where they overlap, and nowhere else."""
    assert others.lock("fcntl", fcntl.LOCK_EX, 100, 0) == "locked"
    assert others.lock("fcntl", fcntl.LOCK_EX | fcntl.LOCK_NB, 100, 100) == "locked"
    assert others.lock("fcntl", fcntl.LOCK_SH | fcntl.LOCK_NB, 10, 95) == "BlockingIOError"
    with others.path.open("r+b") as file:
        with pytest.raises(BlockingIOError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        others.end()
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_flock_and_record_locks_do_not_know_each_other(others: Others) -> None:
    """As on every local file system."""
    assert others.lock("flock", fcntl.LOCK_EX) == "locked"
    assert others.lock("fcntl", fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 0) == "locked"


@pytest.mark.parametrize("kind", ["flock", "fcntl"])
def test_waiting_for_a_lock(host: Host, kind: str) -> None:
    """Processes that wait for each other count without losing a number."""
    (host.path / "counter").write_bytes(b"0")
    command = [sys.executable, "-c", _COUNTER, str(host.path / "counter"), kind]
    counters = [subprocess.Popen(command) for _ in range(3)]
    assert [counter.wait() for counter in counters] == [0, 0, 0]
    assert (host.path / "counter").read_bytes() == b"600"


def test_one_of_many_makes_a_name(host: Host) -> None:
    """O_EXCL lets exactly one of several processes win, for each name."""
    program = """
import os, sys
for number in range(300):
    try:
        os.close(os.open(f"{sys.argv[1]}/{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        pass
    else:
        print(number)
"""
    command = [sys.executable, "-c", program, str(host.path)]
    makers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    won = [line for maker in makers for line in maker.communicate()[0].split()]
    assert sorted(map(int, won)) == list(range(300))
    assert len(list(host.path.iterdir())) == 300


def test_a_file_that_is_replaced_is_always_whole(host: Host) -> None:
    """Who reads by name while another replaces the file finds the old content or the new one."""
    (host.path / "file").write_bytes(b"0" * 200_000)
    program = """
import os, sys
for number in range(200):
    with open(sys.argv[1] + ".new", "wb") as file:
        file.write(b"%d" % (number % 10) * 200_000)
    os.replace(sys.argv[1] + ".new", sys.argv[1])
"""
    writer = subprocess.Popen([sys.executable, "-c", program, str(host.path / "file")])
    seen = set()
    while writer.poll() is None:
        content = (host.path / "file").read_bytes()
        assert len(content) == 200_000
        assert content == content[:1] * 200_000
        seen.add(content[:1])
    assert writer.returncode == 0
    assert len(seen) > 1
