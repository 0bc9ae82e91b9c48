"""Which file ``scone --config`` names, for the time of a command. Light to import: every command line passes here."""

from __future__ import annotations

import contextvars
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["chosen_config", "config_in_force"]

_config: contextvars.ContextVar[Path | None] = contextvars.ContextVar("scone_config", default=None)


@contextmanager
def chosen_config(path: Path | None) -> Iterator[None]:
    """Let :func:`config_in_force` give a file until the context ends."""
    token = _config.set(path)
    try:
        yield
    finally:
        _config.reset(token)


def config_in_force() -> Path | None:
    """Give the file that the command line names; None if it names none."""
    return _config.get()
