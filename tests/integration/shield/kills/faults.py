"""A process that is killed exactly at one of its system calls: before it, after it, or in the middle of a write."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Final

from bannock import files
from bannock.shield.format import backing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AFTER", "BEFORE", "MIDDLE", "die_at"]

BEFORE: Final = "before"
MIDDLE: Final = "in"
AFTER: Final = "after"
_CALLS: Final = ("pwrite", "fdatasync", "fsync", "mkdir", "unlink", "rmdir", "replace", "rename")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(number: int, when: str) -> None:
    """Have this process killed at a system call that changes the storage or makes it durable.

    Args:
        number: how many there are before it.
        when: at which side of it, or in the midst of it if it is a write.
    """
    left = number

    def wrap(real: Callable[..., Any], *, create: bool = False, write: bool = False) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            if create and not arguments[1] & os.O_CREAT:
                return real(*arguments, **more)
            left -= 1
            if left >= 0:
                return real(*arguments, **more)
            if write and when == MIDDLE:
                handle, data, offset = arguments
                real(handle, bytes(data)[: len(data) // 2], offset)
            elif when == AFTER:
                real(*arguments, **more)
            _die()
            raise AssertionError("not reached")

        return call

    for name in _CALLS:
        setattr(os, name, wrap(getattr(os, name), write=name == "pwrite"))
    os.open = wrap(os.open, create=True)
    vars(backing)["sync_file_system"] = wrap(files.sync_file_system)
