"""Processes that are forked from one that has loaded everything, so that a start costs two milliseconds."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Final

from bannock import linux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Process", "Say", "spin"]

#: Longer than anything here takes; a process that says nothing for so long hangs.
_PATIENCE_SECONDS: Final = 60.0


class Say:
    """The end of a pipe by which a process tells what it did; every line arrives whole, or not at all."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, *words: object) -> None:
        """Say one line."""
        os.write(self._descriptor, (" ".join(map(str, words)) + "\n").encode())


class Process:
    """A forked process that does one thing and says what; a context manager that kills it at the end."""

    def __init__(self, work: Callable[[Say], None]) -> None:
        self._said = b""
        self._pipe, other = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._become(work, other)
        os.close(other)
        self._ended = False

    def _become(self, work: Callable[[Say], None], pipe: int) -> None:
        """Do the work; whatever happens, the process ends here."""
        os.close(self._pipe)
        try:
            linux.die_with_parent(signal.SIGKILL)
            work(Say(pipe))
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 # the outermost door of a process
            traceback.print_exc()
            sys.stderr.flush()
            Say(pipe)("error", " ".join(f"{type(error).__name__}: {error}".split()))
            os._exit(1)

    def lines(self, seconds: float = _PATIENCE_SECONDS) -> Iterator[list[str]]:
        """Yield what it says, in words, until it is silent for so long, or dead and everything was read."""
        while True:
            while b"\n" in self._said:
                line, _, self._said = self._said.partition(b"\n")
                yield line.decode().split(" ")
            ready, _, _ = select.select([self._pipe], [], [], seconds)
            if not ready or not (data := os.read(self._pipe, 1 << 16)):
                return
            self._said += data

    def kill(self) -> None:
        """End it as a power failure does."""
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Wait for its end and return its status as subprocess does."""
        if self._ended:
            return 0
        self._ended = True
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Kill it and forget what it said."""
        self.kill()
        os.close(self._pipe)


def spin(seconds: float) -> None:
    """Wait for microseconds, which sleep(2) is too coarse for."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
