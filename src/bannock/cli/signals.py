"""Exit codes of what signals end: what a shell says of a program that one has ended."""

from __future__ import annotations

import signal
from typing import Final

__all__ = ["BROKEN_PIPE", "INTERRUPTED", "OF_SIGNALS", "TERMINATED"]

#: It has this, and the number of the signal.
OF_SIGNALS: Final = 128
INTERRUPTED: Final = OF_SIGNALS + signal.SIGINT
BROKEN_PIPE: Final = OF_SIGNALS + signal.SIGPIPE
TERMINATED: Final = OF_SIGNALS + signal.SIGTERM
