"""The application's process: made before anything secret is known, told what to run when everything is in place.

The process is forked while the runtime has one thread and holds no secret, waits for its orders on a pipe (so that
neither arguments nor environment are seen before they are in force), and becomes the application.

Nobody looks into it: what it is forked from may be looked into, what it becomes may not, and its programs' either
(:func:`bannock.linux.unreadable_mount`). Its arguments and its environment it gets when that is so
(:mod:`bannock.runtime.handover`).
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

from bannock import linux
from bannock.errors import EnvironmentFault, InputError
from bannock.runtime.handover import hand_over, trace_me

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Entry", "Launcher", "end_descendants"]

_log = logging.getLogger("bannock.runtime")

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: A terminal sends these to the application itself; passed on, they would come twice.
_FROM_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)
#: Python ignores these, and an ignored signal stays ignored in a new program.
_RESTORED: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_GRACE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
_NOT_STARTED: Final = 127
#: What the process answers, each with a number of an error; nothing, when it has become the application.
_FAILED: Final = "failed"
_SHOWN: Final = "shown"
_AT_ONCE: Final = "at-once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file in which the kernel starts programs: a loader, or a program without one.

    Attributes:
        copy: where its content is, in memory.
        names: by which the application has it.
    """

    copy: Path
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Lines:
    """What connects the runtime with the process: orders, answers, and a stream for what comes later.

    Attributes:
        later: the runtime's end of the stream.
        inherited: the number of the other end in the process, which stays open when it becomes the application.
    """

    orders: int
    answers: int
    later: socket.socket
    inherited: int


class Launcher:
    """A process that waits to become the application; :meth:`fork` it while there is one thread."""

    def __init__(self, process: int, lines: _Lines) -> None:
        self._process = process
        self._lines = lines
        self._handlers: dict[int, Any] = {}

    @classmethod
    def fork(cls) -> Launcher:
        """Make the process."""
        linux.adopt_orphans()
        orders_read, orders_write = os.pipe2(os.O_CLOEXEC)
        answer_read, answer_write = os.pipe2(os.O_CLOEXEC)
        ours, theirs = socket.socketpair()
        owners = _foreign_owners()
        process = os.fork()
        if process == 0:
            ours.close()
            os.close(orders_write)
            os.close(answer_read)
            theirs.set_inheritable(True)
            _become(orders_read, answer_write, owners)
        os.close(orders_read)
        os.close(answer_write)
        if owners is not None:
            os.close(owners)
        with theirs:
            lines = _Lines(orders_write, answer_read, ours, theirs.fileno())
        return cls(process, lines)

    def start(
        self,
        program: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: str,
        *,
        root: Path | None = None,
        entries: Sequence[Entry] = (),
    ) -> None:
        """Become the application.

        Args:
            program: its path.
            argv: its arguments; the first is its name for itself.
            environment: its environment.
            directory: where it starts.
            root: the mount that it has for ``/``; None: that of this process.
            entries: what nobody is to look into that starts in one of these; first the one of the program itself.

        Raises:
            InputError: there is no such program or directory.
            EnvironmentFault: the kernel refuses to run it.
        """
        orders = {
            "program": program,
            "name": argv[0],
            "directory": directory,
            "root": None if root is None else str(root),
            "entries": [(str(entry.copy), entry.names) for entry in entries],
        }
        words = {"argv": list(argv), "environment": dict(environment)}
        # From here on the application may run, so a signal that comes before wait() is the application's too.
        self._pass_signals_on()
        with os.fdopen(self._lines.orders, "w") as pipe, os.fdopen(self._lines.answers) as answers, self._lines.later:
            _tell(pipe, orders)
            later = True
            for answer in answers:
                what, why = answer.rstrip("\n").split(" ", 1)
                if what == _FAILED:
                    self._refuse(why)
                elif what == _SHOWN:
                    _log.warning(
                        "root here may look into programs that the application starts: %s", os.strerror(int(why))
                    )
                elif what == _AT_ONCE:
                    later = False
                    if entries:
                        _log.warning("arguments and environment are to be seen in /proc: %s", os.strerror(int(why)))
                    _tell(pipe, words)
            if later:
                hand_over(self._process, self._lines.later, self._lines.inherited, entries[0].copy, argv, environment)

    def _refuse(self, answer: str) -> NoReturn:
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
        return linux.exit_code(os.waitstatus_to_exitcode(status))

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


def _tell(pipe: IO[str], what: object) -> None:
    """Give the process an order, which is a line."""
    with suppress(BrokenPipeError):
        pipe.write(json.dumps(what) + "\n")
        pipe.flush()


def _foreign_owners() -> int | None:
    """Return a namespace for entries that nobody can read, if there can be one."""
    with suppress(OSError):
        return linux.foreign_owners()
    return None


def _become(orders: int, answer: int, owners: int | None) -> NoReturn:
    """Wait for orders and follow them; runs in the child and never returns."""
    what = "the application"
    try:
        linux.die_with_parent(signal.SIGKILL)
        linux.hide_memory()
        for number in _RESTORED:
            signal.signal(number, signal.SIG_DFL)
        with os.fdopen(orders) as pipe:
            text = pipe.readline()
            if not text:
                os._exit(_NOT_STARTED)
            wanted = json.loads(text)
            what = "its root"
            _close_entries(wanted["root"], wanted["entries"], answer, owners)
            what = f"working directory {wanted['directory']}"
            os.chdir(wanted["directory"])
            what = wanted["program"]
            argv, environment = _words(wanted, pipe, answer)
        os.execve(what, argv, environment)  # noqa: S606 # no shell is wanted
    except OSError as error:
        os.write(answer, f"{_FAILED} {what} {error.errno}\n".encode())
    finally:
        sys.stderr.flush()
        os._exit(_NOT_STARTED)


def _close_entries(
    root: str | None, entries: Sequence[tuple[str, Sequence[str]]], answer: int, owners: int | None
) -> None:
    """Go to the application's root, and see to it that what starts in the entries there is closed."""
    mounts: list[tuple[str, int]] = []
    try:
        for copy, names in entries:
            if owners is None:
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
            mounts += [(name, linux.unreadable_mount(copy, owners)) for name in names]
    except OSError as error:
        os.write(answer, f"{_SHOWN} {error.errno}\n".encode())
    if root is not None:
        linux.change_root(root)
    elif mounts:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    for name, mount in mounts:
        # By a name that is a link to another one, it is closed already.
        if os.access(name, os.R_OK):
            linux.attach_mount(mount, name)
        os.close(mount)
    if entries:
        linux.keep_hidden()


def _words(wanted: Mapping[str, Any], orders: IO[str], answer: int) -> tuple[list[str], dict[str, str]]:
    """Return what the application is started with: its name, if it gets all else later."""
    if wanted["entries"]:
        try:
            trace_me()
        except OSError as error:
            os.write(answer, f"{_AT_ONCE} {error.errno}\n".encode())
        else:
            return [wanted["name"]], {}
    else:
        os.write(answer, f"{_AT_ONCE} 0\n".encode())
    words = json.loads(orders.readline())
    return words["argv"], words["environment"]
