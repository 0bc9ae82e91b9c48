"""Which tests stay together where several processes run them.

Those of one file do, for what they share; and so do all files with tests that need a Docker engine, so that engine,
registry, base images and layers are made once in a run. A file says that it is one of these by the marker's name.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from xdist.scheduler import LoadScopeScheduling

__all__ = ["Together", "group_of"]

_ROOT: Final = Path(__file__).parents[1]
_MARKER: Final = "mark.docker"


@functools.cache
def group_of(file: str) -> str:
    """Name the group of tests that a file belongs to, by its path from the repository's root."""
    path = _ROOT / file
    return _MARKER if path.is_file() and _MARKER in path.read_text(encoding="utf-8") else file


class Together(LoadScopeScheduling):  # type: ignore[misc] # it is untyped
    """Gives each group to one process, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])
