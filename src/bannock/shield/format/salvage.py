"""Reading the tree of a protection file that may be damaged: what is whole is found, and what is lost is named.

Goes through all pages once and keeps none. Pure reading; not responsible for what entries mean. Not thread-safe.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from bannock.errors import IntegrityError
from bannock.shield.format.pages import NO_PAGE, PageRef, decode_free_list
from bannock.shield.format.tree import MAX_DEPTH, decode_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.shield.format.pages import Pager, Superblock

__all__ = ["Lost", "LostRanges", "PageUse", "Salvaged", "salvage"]

_SHOWN: Final = 8


class Lost(NamedTuple):
    """A page of the tree that cannot be read.

    Attributes:
        page: its number.
        low: entries from this key on are lost with it,
        high: up to this one; None: to the last.
        reason: what is wrong with it.
    """

    page: int
    low: bytes
    high: bytes | None
    reason: str


class LostRanges:
    """What is lost, to be asked for keys."""

    def __init__(self, lost: Sequence[Lost]) -> None:
        self._lost = sorted(lost, key=lambda each: each.low)
        self._lows = [each.low for each in self._lost]

    def of(self, key: bytes) -> Lost | None:
        """Return the page that would hold the entry of a key, if it is lost."""
        found = self._lost[max(bisect_right(self._lows, key) - 1, 0)] if self._lost else None
        return found if found is not None and found.low <= key and _before(key, found.high) else None

    def within(self, start: bytes, end: bytes) -> list[Lost]:
        """Return the pages with which entries from ``start`` to before ``end`` may be lost."""
        first = max(bisect_right(self._lows, start) - 1, 0)
        return [each for each in self._lost[first : bisect_left(self._lows, end)] if _before(start, each.high)]


def _before(key: bytes, high: bytes | None) -> bool:
    return high is None or key < high


#: An entry, or what is lost in its place.
Salvaged: TypeAlias = tuple[bytes, bytes] | Lost


class PageUse:
    """What the pages of a state are used for, as far as that can be read."""

    def __init__(self) -> None:
        self._tree: set[int] = set()
        self._lists: set[int] = set()
        self._free: set[int] = set()
        #: Why lists of free pages cannot be read; they hold nothing but numbers of pages.
        self.lost_lists: dict[int, str] = {}
        self.complete = True

    def used(self, page: int) -> None:
        """Note a page of the tree."""
        self._tree.add(page)

    def read_lists(self, pager: Pager, state: Superblock) -> None:
        """Read the stack of lists of free pages."""
        ref = state.free
        while ref.page:
            if ref.page in self._lists:
                raise IntegrityError("the lists of free pages do not end")
            self._lists.add(ref.page)
            try:
                numbers, below = decode_free_list(pager.read(ref), state.pages)
            except (IntegrityError, OSError) as error:
                self.lost_lists[ref.page] = _told(error)
                self.complete = False
                return
            self._free.update(numbers)
            ref = below

    def defects(self, state: Superblock) -> Iterator[str]:
        """Say what a writer would destroy, or never use again."""
        used = self._tree | self._lists
        if both := used & self._free:
            yield f"pages {_some(both)} are in use, and listed as free"
        if self.complete and (neither := set(range(2, state.pages)) - used - self._free):
            yield f"pages {_some(neither)} are neither in use nor listed as free"


def salvage(pager: Pager, state: Superblock, use: PageUse | None = None) -> Iterator[Salvaged]:
    """Yield every entry of a tree in the order of the keys, and in their places the pages that are lost.

    Raises:
        IntegrityError: the tree has more pages than the file; who made it had the key.
    """
    waiting: list[tuple[PageRef, bytes, bytes | None, int]] = []
    if state.root != NO_PAGE:
        waiting.append((state.root, b"", None, 0))
    seen = 0
    while waiting:
        ref, low, high, depth = waiting.pop()
        seen += 1
        if seen > state.pages or depth > MAX_DEPTH:
            raise IntegrityError("the tree has more pages than its file")
        if use is not None:
            use.used(ref.page)
        try:
            keys, values, children = decode_page(pager.read(ref))
        except (IntegrityError, OSError) as error:
            if use is not None:
                use.complete = False
            yield Lost(ref.page, low, high, _told(error))
            continue
        yield from zip(keys[: len(values)], values, strict=True)
        lows, highs = [low, *keys], [*keys, high]
        waiting.extend(
            (children[index], lows[index], highs[index], depth + 1) for index in reversed(range(len(children)))
        )


def _told(error: IntegrityError | OSError) -> str:
    return f"it cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


def _some(numbers: set[int]) -> str:
    shown = sorted(numbers)[:_SHOWN]
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return ", ".join(map(str, shown)) + more
