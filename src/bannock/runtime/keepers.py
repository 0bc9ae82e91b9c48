"""Who remembers the states of what a run opens. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.shield.volume import TagKeeper

__all__ = ["Keepers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepers:
    """Who remembers the states: for each volume by its name, and for the main protection file; None: nobody does."""

    volume: Callable[[str], TagKeeper]
    fspf: TagKeeper | None
