"""Manifests that were found good before: the second time, the language of sessions is not loaded for them.

The notes are in a directory that is its user's alone, and may be removed at any time. They hold for one version of the
code that looks at manifests.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Final

from bannock import __version__, policy
from bannock.mesh import manifests

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CheckedManifests"]

_KEPT_SECONDS: Final = 14 * 24 * 3600


class CheckedManifests:
    """The directory.

    Args:
        directory: where.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __contains__(self, text: str) -> bool:
        """Whether nothing was found in a manifest."""
        try:
            os.utime(self._note(text))
        except OSError:
            return False
        return True

    def add(self, text: str) -> None:
        """Remember that nothing was found; where that cannot be, it is found out again."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in self._directory.iterdir():
                if path.stat().st_mtime < time.time() - _KEPT_SECONDS:
                    path.unlink()
            self._note(text).touch(mode=0o600)
        except OSError:
            return

    def _note(self, text: str) -> Path:
        sha = hashlib.sha256(f"{__version__}\n{_code()}\n{text}".encode("utf-8", "surrogateescape"))
        return self._directory / sha.hexdigest()


def _code() -> str:
    """Tell one version of the code from another, also while it is being written."""
    places = [place for package in (policy, manifests) for place in package.__path__]
    files = [(entry.path, entry.stat()) for place in places for entry in os.scandir(place) if entry.is_file()]
    return "\n".join(sorted(f"{path} {status.st_size} {status.st_mtime_ns}" for path, status in files))
