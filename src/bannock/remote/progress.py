"""How far a run is, told to whoever shows it to a person. Pure interfaces; who shows it is in ``cli``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["Progress", "Stage"]


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
