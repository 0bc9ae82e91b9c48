"""The application's process: made before anything secret is known, told what to run when everything is in place.

The process is forked while the runtime has one thread and holds no secret, waits for its orders on a pipe (so that
neither arguments nor environment are seen before they are in force), and becomes the application.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from bannock import linux
from bannock.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Launcher", "end_descendants"]

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: A terminal sends these to the application itself; passed on, they would come twice.
_FROM_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)
#: Python ignores these, and an ignored signal stays ignored in a new program.
_RESTORED: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_SIGNAL_BASE: Final = 128
_GRACE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
_NOT_STARTED: Final = 127


class Launcher:
    """A process that waits to become the application; :meth:`fork` it while there is one thread."""

    def __init__(self, process: int, orders: int, answer: int) -> None:
        self._process = process
        self._orders = orders
        self._answer = answer
        self._handlers: dict[int, Any] = {}

    @classmethod
    def fork(cls) -> Launcher:
        """Make the process."""
        linux.adopt_orphans()
        orders_read, orders_write = os.pipe2(os.O_CLOEXEC)
        answer_read, answer_write = os.pipe2(os.O_CLOEXEC)
        process = os.fork()
        if process == 0:
            os.close(orders_write)
            os.close(answer_read)
            _become(orders_read, answer_write)
        os.close(orders_read)
        os.close(answer_write)
        return cls(process, orders_write, answer_read)

    def start(
        self,
        program: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: str,
        *,
        root: Path | None = None,
    ) -> None:
        """Become the application.

        Args:
            program: its path.
            argv: its arguments; the first is its name for itself.
            environment: its environment.
            directory: where it starts.
            root: the mount that it has for ``/``; None: that of this process.

        Raises:
            InputError: there is no such program or directory.
            EnvironmentFault: the kernel refuses to run it.
        """
        orders = json.dumps(
            {
                "program": program,
                "argv": list(argv),
                "environment": dict(environment),
                "directory": directory,
                "root": None if root is None else str(root),
            }
        )
        # From here on the application may run, so a signal that comes before wait() is the application's too.
        self._pass_signals_on()
        with os.fdopen(self._orders, "w") as pipe:
            pipe.write(orders)
        with os.fdopen(self._answer) as pipe:
            answer = pipe.read()
        if answer:
            self.wait()
            what, number = answer.rsplit(" ", 1)
            error = OSError(int(number), os.strerror(int(number)))
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise InputError(f"cannot start the application: {what}: {error.strerror}")
            raise EnvironmentFault(f"cannot start the application: {what}: {error.strerror}")

    def cancel(self) -> None:
        """End a process that was not started."""
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._process, 0)

    def wait(self) -> int:
        """Wait until the application ends; return its exit code, 128 + n for signal n."""
        try:
            _, status = os.waitpid(self._process, 0)
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else _SIGNAL_BASE - code

    def _pass_signals_on(self) -> None:
        for number in _PASSED_ON:
            self._handlers[number] = signal.signal(number, self._pass_on)
        terminal = os.isatty(sys.stdin.fileno()) if sys.stdin is not None else False
        for number in _FROM_TERMINAL:
            self._handlers[number] = signal.signal(number, _leave_it if terminal else self._pass_on)

    def _pass_on(self, number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process, number)


def _leave_it(_number: int, _frame: object) -> None:
    pass


def end_descendants() -> None:
    """End every process that the application left behind: first asked, then killed."""
    deadline = time.monotonic() + _GRACE_SECONDS
    number = signal.SIGTERM
    while children := _children():
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, number)
        time.sleep(_POLL_SECONDS)
        _reap()
        number = signal.SIGKILL if time.monotonic() > deadline else signal.SIGTERM


def _children() -> list[int]:
    _reap()
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(orders: int, answer: int) -> NoReturn:
    """Wait for orders and follow them; runs in the child and never returns."""
    what = "the application"
    try:
        linux.die_with_parent(signal.SIGKILL)
        for number in _RESTORED:
            signal.signal(number, signal.SIG_DFL)
        with os.fdopen(orders) as pipe:
            text = pipe.read()
        if not text:
            os._exit(_NOT_STARTED)
        wanted = json.loads(text)
        if wanted["root"] is not None:
            what = "its root"
            linux.change_root(wanted["root"])
        what = f"working directory {wanted['directory']}"
        os.chdir(wanted["directory"])
        what = wanted["program"]
        os.execve(what, wanted["argv"], wanted["environment"])  # noqa: S606 # no shell is wanted
    except OSError as error:
        os.write(answer, f"{what} {error.errno}".encode())
    finally:
        sys.stderr.flush()
        os._exit(_NOT_STARTED)
