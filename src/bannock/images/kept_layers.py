"""Layers of native images, kept on this machine for who builds one image again and again.

They are in a directory that is its user's alone, and may be removed at any time. A layer that was changed there is not
taken, and what was not used for two weeks goes. Not for several threads.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import EnvironmentFault
from bannock.files import write_atomically
from bannock.images.blobs import FileBlob
from bannock.images.digests import hex_of
from bannock.images.media import LAYER_TAR
from bannock.images.model import Layer

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.images.blobs import Scratch

__all__ = ["KeptLayers", "facts_of"]

_KEPT_SECONDS: Final = 14 * 24 * 3600
_NOTES_BYTES_MAX: Final = 4096


class KeptLayers:
    """The directory.

    Args:
        directory: where.

    Raises:
        EnvironmentFault: it cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        #: Those that were opened already: what is in a layer is listed once.
        self._open: dict[str, Layer] = {}
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._tidy()
        except OSError as error:
            raise EnvironmentFault(
                f"cannot use the directory {directory} for layers: {error.strerror}",
                hint="set XDG_CACHE_HOME to a directory that can be written",
            ) from error

    def find(self, diff_id: str, scratch: Scratch) -> Layer | None:
        """Return a layer, if it is here and as it was when it was verified."""
        if (found := self._open.get(diff_id)) is not None:
            return found
        path, notes = self._paths(diff_id)
        try:
            if json.loads(notes.read_bytes()[:_NOTES_BYTES_MAX]) != facts_of(path):
                return None
            os.utime(notes)
        except (OSError, ValueError, RecursionError):
            return None
        blob = FileBlob(path, digest=diff_id, size=path.stat().st_size, trusted=True)
        layer = Layer(blob, media_type=LAYER_TAR, diff_id=diff_id, scratch=scratch)
        return self._open.setdefault(diff_id, layer)

    def keep(self, layer: Layer) -> Layer:
        """Keep a plain layer whose verified blob lies in a file of its own, and return it."""
        blob = layer.blob
        if not isinstance(blob, FileBlob) or blob.offset or layer.digest != layer.diff_id:
            return layer
        path, notes = self._paths(layer.diff_id)
        try:
            path.unlink(missing_ok=True)
            path.hardlink_to(blob.path)
        except OSError:
            # Another file system: a copy would cost more than it saves.
            return layer
        write_atomically(notes, json.dumps(facts_of(path)).encode())
        return self._open.setdefault(layer.diff_id, layer)

    def _paths(self, diff_id: str) -> tuple[Path, Path]:
        name = hex_of(diff_id)
        return self._directory / f"{name}.tar", self._directory / f"{name}.json"

    def _tidy(self) -> None:
        oldest = time.time() - _KEPT_SECONDS
        for notes in self._directory.glob("*.json"):
            if notes.stat().st_mtime < oldest:
                notes.unlink(missing_ok=True)
                notes.with_suffix(".tar").unlink(missing_ok=True)


def facts_of(path: Path) -> dict[str, Any]:
    """Return what changes with a file that is written to, or replaced."""
    status = path.stat()
    return {"inode": status.st_ino, "size": status.st_size, "modified": status.st_mtime_ns}
