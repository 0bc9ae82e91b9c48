"""How far a run is, told to whoever shows it to a person. Pure interfaces; who shows it is in ``cli``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

__all__ = ["Progress", "Silent", "Stage"]


class Stage(Protocol):
    """One step that takes time."""

    def advance(self, amount: int, /) -> None:
        """So many bytes more are done."""
        ...

    def expect(self, total: int, /) -> None:
        """So many bytes are to be done in all, as became known now."""
        ...


class Progress(Protocol):
    """The steps of a run."""

    def stage(self, title: str, total: int | None = None) -> AbstractContextManager[Stage]:
        """Begin a step, of ``total`` bytes if that is known; it ends with the context."""
        ...

    def note(self, text: str) -> None:
        """Tell something that is no step."""
        ...


class Silent:
    """Progress of steps that nobody wants to see; notes are passed on to another one."""

    def __init__(self, notes: Progress) -> None:
        self._notes = notes

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Stage]:
        """Show nothing."""
        del title, total
        yield _Unseen()

    def note(self, text: str) -> None:
        """Pass it on."""
        self._notes.note(text)


class _Unseen:
    def advance(self, amount: int, /) -> None:
        pass

    def expect(self, total: int, /) -> None:
        pass
