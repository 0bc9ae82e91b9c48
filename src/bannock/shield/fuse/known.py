"""The inodes that the kernel knows of, and the places in directories that it may go on from.

Small on purpose: the kernel may know a million inodes at once. Not thread-safe.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Known", "Places"]

#: Inodes to a page: numbers are given one after the other, so pages are full as a rule, and 22 bytes an inode.
_SHIFT: Final = 5
_MASK: Final = (1 << _SHIFT) - 1
_EMPTY: Final = bytes(16 << _SHIFT)

#: Listings that are remembered whole, and ends of listings that are remembered by their last name.
_LISTINGS: Final = 32
_ENDS: Final = 4096
#: A position is the count of entries before it, and above it a token that tells listings apart. It is a loff_t.
_COUNT_BITS: Final = 39
_COUNT: Final = (1 << _COUNT_BITS) - 1
_TOKEN: Final = (1 << 63 - _COUNT_BITS) - 1


class Known:
    """How often the kernel was told of each inode, and in which directory it was at last."""

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def add(self, ino: int, parent: int) -> None:
        """Count that the kernel is told of an inode."""
        page = self._pages.get(ino >> _SHIFT)
        if page is None:
            page = self._pages[ino >> _SHIFT] = array("Q", _EMPTY)
        at = (ino & _MASK) << 1
        page[at] += 1
        page[at + 1] = parent

    def drop(self, ino: int, count: int) -> bool:
        """Count that the kernel forgot so many times; return whether it does not know the inode any more."""
        page = self._pages.get(ino >> _SHIFT)
        if page is None:
            return False
        at = (ino & _MASK) << 1
        left = page[at] - count
        if left > 0:
            page[at] = left
            return False
        page[at] = page[at + 1] = 0
        if not any(page):
            del self._pages[ino >> _SHIFT]
        return True

    def moved(self, ino: int, parent: int) -> None:
        """Note that an inode is in another directory now."""
        page = self._pages.get(ino >> _SHIFT)
        if page is not None and page[(ino & _MASK) << 1]:
            page[((ino & _MASK) << 1) + 1] = parent

    def parent(self, ino: int) -> int:
        """Return the directory of an inode; 0 if it is not known."""
        page = self._pages.get(ino >> _SHIFT)
        return 0 if page is None else page[((ino & _MASK) << 1) + 1]

    def clear(self) -> Iterator[int]:
        """Forget everything, and yield what was known."""
        while self._pages:
            number, page = self._pages.popitem()
            for place in range(_MASK + 1):
                if page[place << 1]:
                    yield number << _SHIFT | place

    def __contains__(self, ino: int) -> bool:
        page = self._pages.get(ino >> _SHIFT)
        return page is not None and page[(ino & _MASK) << 1] > 0


class Places:
    """Which name stands before a position of a directory.

    The kernel keeps no listing open here, so a position has to be good for ever, whatever is made and removed in
    between. It is exact while the listing that gave it out is remembered, and for where listings ended, where the
    kernel goes on as a rule, much longer. An older one counts entries from the start.
    """

    def __init__(self) -> None:
        self._listings: OrderedDict[int, tuple[int, list[bytes]]] = OrderedDict()
        self._ends: OrderedDict[int, bytes] = OrderedDict()
        self._token = 0

    def begin(self, before: int, names: list[bytes]) -> int:
        """Return the position that a listing starts from, with so many entries before it; each entry adds 1.

        Whoever makes the listing appends to ``names`` what it consists of.
        """
        self._token = (self._token + 1) & _TOKEN
        self._listings[self._token] = before, names
        if len(self._listings) > _LISTINGS:
            self._listings.popitem(last=False)
        return before | self._token << _COUNT_BITS

    def end(self, position: int, name: bytes) -> None:
        """Remember that a listing ended at a position, with a name before it."""
        self._ends[position] = name
        if len(self._ends) > _ENDS:
            self._ends.popitem(last=False)

    @staticmethod
    def before(position: int) -> int:
        """Return how many entries are before a position."""
        return position & _COUNT

    def find(self, position: int) -> bytes | None:
        """Return the name before a position, if it is remembered."""
        if (name := self._ends.get(position)) is not None:
            return name
        first, names = self._listings.get(position >> _COUNT_BITS, (0, []))
        place = (position & _COUNT) - first - 1
        return names[place] if 0 <= place < len(names) else None
