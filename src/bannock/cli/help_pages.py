"""The help of every verb of ``scone``, as it prints it."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
from typing import TYPE_CHECKING, Final
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["help_pages"]

_COLUMNS: Final = "100"


def help_pages() -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the words of each verb and its help."""
    # Late, because the table of verbs leads here.
    from bannock.cli.scone import VERBS  # noqa: PLC0415

    for words, (module, _) in VERBS.items():
        buffer = io.StringIO()
        with (
            contextlib.redirect_stdout(buffer),
            contextlib.suppress(SystemExit),
            mock.patch.dict(os.environ, {"COLUMNS": _COLUMNS}),
        ):
            importlib.import_module(module).main(["--help"])
        yield words, buffer.getvalue()
