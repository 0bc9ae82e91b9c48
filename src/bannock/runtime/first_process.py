"""The first process of a container: what an engine starts in the container later gets into its namespaces.

So the runtime must not be that process: the namespaces in which secrets are to be seen are those of a child. It is
hidden when it is made: whoever had looked into it before could keep what he has opened.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bannock import linux

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["leave_first_process"]

_FIRST: Final = 1
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: A terminal sends these to all processes itself; passed on, they would come twice.
_FROM_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)


def leave_first_process(number: int | None = None) -> int | None:
    """Go on in a child, if this is the first process of its container; with one thread.

    Args:
        number: of this process; None: what the kernel says.

    Returns:
        None to who goes on; in the first process the exit code of the child, 128 + n for signal n, once it has ended.
    """
    if (os.getpid() if number is None else number) != _FIRST:
        return None
    # Held back until it is known whom to pass them on to.
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, (*_PASSED_ON, *_FROM_TERMINAL))
    # Who looked into this process before has another memory than the child's in his hands.
    linux.hide_memory()
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)
        return None

    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    terminal = sys.stdin is not None and os.isatty(sys.stdin.fileno())
    for each in (*_PASSED_ON, *(() if terminal else _FROM_TERMINAL)):
        signal.signal(each, pass_on)
    if terminal:
        for each in _FROM_TERMINAL:
            signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, kept)
    return _wait_for(child)


def _wait_for(child: int) -> int:
    """Wait until a child has ended; processes that have lost their parent are this one's, and end with it."""
    while True:
        ended, status = os.wait()
        if ended == child:
            return linux.exit_code(os.waitstatus_to_exitcode(status))
