"""The last of what a process writes. Light to import: hosts use it.

Kept in memory, for what an application prints may be for its owner alone.
"""

from __future__ import annotations

import os
import threading
from typing import IO, Final

__all__ = ["LogTail"]

_BYTES: Final = 64 << 10
_PIPE_BYTES: Final = 16 << 10
_SECONDS: Final = 15.0


class LogTail:
    """Reads a pipe to its end, on a thread of its own.

    Args:
        pipe: what the process writes to.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._tail = b""
        self._thread = threading.Thread(target=self._read, name="bannock-log", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return the end of it, once the process has ended."""
        self._thread.join(_SECONDS)
        return self._tail.decode("utf-8", "replace")

    def _read(self) -> None:
        with self._pipe:
            while piece := os.read(self._pipe.fileno(), _PIPE_BYTES):
                self._tail = (self._tail + piece)[-_BYTES:]
