"""Commands: parse, call, print, exit code. One module per verb; nothing is decided here."""

from __future__ import annotations

import sys

__all__: list[str] = []


def _told(kind: type[BaseException], error: BaseException, trace: object) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("Interrupted\n")
    else:
        sys.__excepthook__(kind, error, trace)  # type: ignore[arg-type] # it is what Python hands over


# Whoever interrupts a command before it can say how it wants to end (bannock.cli.command) sees no traceback either.
sys.excepthook = _told
