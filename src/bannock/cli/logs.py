"""The log of a service that runs in the foreground: lines on standard error."""

from __future__ import annotations

import logging

__all__ = ["log_to_stderr"]


def log_to_stderr() -> None:
    """Write what services log, from informational news on, to standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
