"""Work around a commit that need not be done at once: sealing before it, removing files after it.

Each call does a part of it, so that whoever answers requests can let others go ahead in between. Not thread-safe.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from bannock.shield.format.records import garbage_key, range_of

if TYPE_CHECKING:
    from bannock.shield.format.storage import Storage

__all__ = ["Chores"]


class Chores:
    """The chores of one region."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._unneeded: list[bytes] = []

    def settle(self, most: int) -> bool:
        """Seal what at most so many files keep in memory, and return whether there is more.

        A commit does it too, and lets nobody else do anything meanwhile.

        Raises:
            IntegrityError, OSError: a file could not be read or written; the next commit tells it.
        """
        return self._storage.settle(most)

    def confirmed(self) -> None:
        """Learn that the state in memory is the one in force."""
        start, end = range_of(garbage_key(self._storage.root))
        self._unneeded = [key for key, _ in self._storage.tree.walk(start, end)]

    def sweep(self, most: int = sys.maxsize) -> bool:
        """Remove at most so many of the files that the state in force does not need; return whether there are more.

        The list itself shrinks in the next state; until then a file may be removed twice, which does no harm.
        """
        part, self._unneeded = self._unneeded[:most], self._unneeded[most:]
        for key in part:
            if (path := self._storage.tree.get(key)) is not None:
                with suppress(OSError):
                    self._storage.backing.unlink(path)
                self._storage.tree.delete(key)
        return bool(self._unneeded)
