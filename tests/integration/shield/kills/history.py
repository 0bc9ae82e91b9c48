"""What the volume has to be: every state by its number, and which numbers may be found after a kill."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import ConflictError, RollbackError
from bannock.shield.volume import Volume
from tests.integration.shield.kills.workload import apply_to, digest, steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.shield.volume import TagKeeper
    from bannock.values import FspfKey, FspfTag
    from tests.integration.shield.kills.workload import Content

__all__ = ["Copies", "History"]

_COPIES: Final = 5
_KEEP_EVERY: Final = 8
_COMMIT_EVERY: Final = 24


class History:
    """Which state was acknowledged last, and which one was announced after it.

    Attributes:
        acknowledged: what can never be lost any more.
        announced: the newest state that may be in force.
        lost_answers: how often a state was in force that was announced and never acknowledged.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._number = 0
        self._content: Content = {}
        self._digests = {0: digest({})}
        self.acknowledged = self.announced = self.lost_answers = 0

    def hear(self, words: list[str]) -> None:
        """Learn what the process that was killed had said.

        Raises:
            AssertionError: it found something else than it had to, or an error.
        """
        match words:
            case ["found", number, *found]:
                self._found(int(number), found)
            case ["announce", number]:
                self.announced = int(number)
            case ["done", number]:
                self.acknowledged = int(number)
            case _:
                raise AssertionError(" ".join(words))

    def _found(self, number: int, found: list[str]) -> None:
        allowed = {self.acknowledged, self.announced}
        assert number in allowed, f"state {number} was found, of {allowed} one had to be"
        assert found in ([], [self._digest(number)]), f"state {number} was found, with another content"
        self.lost_answers += number > self.acknowledged
        self.acknowledged = self.announced = number

    def _digest(self, number: int) -> str:
        while self._number < number:
            self._number += 1
            self._content = apply_to(self._content, steps(self._number, self._content, self._seed))
            self._digests[self._number] = digest(self._content)
        return self._digests[number]


@dataclass
class _Copy:
    directory: Path
    tag: FspfTag


class Copies:
    """Copies of the volume as it was, each of which somebody puts in the place of the volume later.

    Attributes:
        refused: how often one was.
    """

    def __init__(self, directory: Path, key: FspfKey) -> None:
        self._directory = directory
        self._key = key
        self._copies: list[_Copy] = []
        self._made = 0
        self.refused = 0

    def look(self, number: int, volume: Path, tag: FspfTag, keeper: Callable[[], TagKeeper]) -> None:
        """Try all copies after a kill; now and then take another one, or go on with an old one.

        Args:
            number: how many kills there were.
            volume: what to take copies of.
            tag: which state is in force.
            keeper: makes a keeper for who goes on with an old copy.

        Raises:
            AssertionError: one was accepted.
        """
        self._attempt(tag)
        if number % _KEEP_EVERY == 0:
            self._keep(volume, tag)
        elif number % _COMMIT_EVERY == 1:
            self._commit(keeper, tag)

    def oldest(self, tag: FspfTag) -> Path | None:
        """Return the oldest copy, if it is of another state."""
        return self._copies[0].directory if self._copies and self._copies[0].tag != tag else None

    def _keep(self, volume: Path, tag: FspfTag) -> None:
        """Take a copy, and let one go."""
        self._made += 1
        copy = _Copy(self._directory / str(self._made), tag)
        shutil.copytree(volume, copy.directory)
        self._copies.append(copy)
        if len(self._copies) > _COPIES:
            shutil.rmtree(self._copies.pop(self._made % _COPIES).directory)

    def _attempt(self, tag: FspfTag) -> None:
        """Put each of them in place of the volume: while another state is in force, it does not open.

        Raises:
            AssertionError: it did.
        """
        for copy in self._copies:
            if copy.tag == tag:
                continue
            try:
                Volume.open(copy.directory, self._key, tag, writable=False).close()
            except RollbackError:
                self.refused += 1
            else:
                raise AssertionError(f"an older state was accepted in place of {tag}")

    def _commit(self, keeper: Callable[[], TagKeeper], tag: FspfTag) -> None:
        """Go on with the oldest copy as somebody would who has its tag and the key: the keeper does not move.

        Raises:
            AssertionError: it did.
        """
        if not self._copies or self._copies[0].tag == tag:
            return
        copy = self._copies.pop(0)
        with Volume.open(copy.directory, self._key, copy.tag, keeper=keeper()) as volume:
            volume.inodes.change(1)
            try:
                volume.commit()
            except ConflictError:
                self.refused += 1
            else:
                raise AssertionError(f"an older state was continued in place of {tag}")
        shutil.rmtree(copy.directory)
