"""The programs of an image in whose place the launcher is: put back for an application, or read as if they were.

What is below :data:`~bannock.identity.layout.PROGRAMS` is the host's to change, like all of an image; what is measured
are the bytes that the application gets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.errors import EnvironmentFault
from bannock.identity.layout import PROGRAMS, original_path
from bannock.identity.reader import RootedReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.runtime.root import PrivateRoot

__all__ = ["OriginalsReader", "originals", "put_back"]


def originals() -> Iterator[tuple[Path, Path]]:
    """Yield where each program is, and where it belongs."""
    for directory, _, names in os.walk(PROGRAMS):
        for name in sorted(names):
            original = Path(directory) / name
            yield original, Path("/") / original.relative_to(PROGRAMS)


def put_back(root: PrivateRoot) -> None:
    """Show the programs at their own paths in a private root.

    Raises:
        EnvironmentFault: the kernel refuses.
    """
    for original, path in originals():
        try:
            root.show(original, path)
        except OSError as error:
            raise EnvironmentFault(f"cannot show {path}, which is at {original}: {error.strerror}") from error


class OriginalsReader(RootedReader):
    """Reads an image as the application sees it, without a right to mount anything."""

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Read a part of a regular file (:meth:`RootedReader.read`)."""
        return super().read(self._stored(path), offset, size)

    def digest(self, path: str) -> tuple[bytes, int]:
        """Return SHA-256 and size of a regular file (:meth:`RootedReader.digest`)."""
        return super().digest(self._stored(path))

    def _stored(self, path: str) -> str:
        stored = original_path(self.resolve(path))
        return stored if self.exists(stored) else path
