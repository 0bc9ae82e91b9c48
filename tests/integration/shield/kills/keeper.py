"""A keeper of one volume's tag in a file: what it has answered outlives its process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.errors import ConflictError
from bannock.files import write_atomically
from bannock.values import FspfTag

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileKeeper"]


class FileKeeper:
    """Moves by compare-and-swap, as CAS does; for one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def tag(self) -> FspfTag | None:
        """The tag in force."""
        return FspfTag.from_hex(self._path.read_text()) if self._path.exists() else None

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move, unless somebody else has."""
        found = self.tag
        if found == new:
            return
        if found != expected:
            raise ConflictError(f"the volume is in state {found}, not in {expected}")
        write_atomically(self._path, str(new).encode())
