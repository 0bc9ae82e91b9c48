"""The log of a service that runs in the foreground: lines on standard error."""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import Any

__all__ = ["LOG_FORMATS", "formatter", "log_to_stderr"]

LOG_FORMATS = ("text", "json")


def log_to_stderr(form: str = "text") -> None:
    """Write what services log, from informational news on, to standard error.

    Args:
        form: one of :data:`LOG_FORMATS`; ``json`` is an object a line.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Its news are of steps that an operator neither chooses nor sees.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def formatter(form: str) -> logging.Formatter:
    """Give what writes the lines of a format."""
    if form == "json":
        return _JsonFormatter()
    return logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class _JsonFormatter(logging.Formatter):
    """An object a line: time, level, logger, message, and what a record has as ``fields``."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info and record.exc_info[0] is not None:
            # The text of an exception that is not ours may hold anything.
            told["exception"] = record.exc_info[0].__name__
        told |= getattr(record, "fields", {})
        return json.dumps(told, ensure_ascii=False)
