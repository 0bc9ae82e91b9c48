"""The runtime's own lines on standard error, in the form that users of SCONE know: ``[SCONE|LEVEL] text``."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final

from bannock.errors import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.errors import BannockError

__all__ = ["ATTESTATION_FAILED", "log_to_stderr", "refusal"]

ATTESTATION_FAILED: Final = "Could not initialize enclave state: Attestation failed"

_NAMES: Final = {logging.CRITICAL: "FATAL"}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"[SCONE|{_NAMES.get(record.levelno, record.levelname)}] {record.getMessage()}"


def log_to_stderr(level: int) -> None:
    """Send all lines of Bannock from a level on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger = logging.getLogger("bannock")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def refusal(error: BannockError, note: str, compared: Iterable[str] = ()) -> str:
    """Say why an application was not run: from the failure down to its root, and with whom it was spoken.

    The form follows the refusals of the SCONE runtime, which scripts and people look for.
    """
    _, *rest = render(error)
    what = error.message
    if what != ATTESTATION_FAILED:
        what = f"could not run the application: {what}"
    lines = [f"[SCONE|FATAL] {what}", *rest, *(f"    {line}" for line in compared)]
    return "\n".join([*lines, note] if note else lines)
