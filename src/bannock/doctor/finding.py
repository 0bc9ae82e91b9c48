"""One thing that was looked at, and how it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Finding", "State"]


class State(enum.StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: the thing, in a word or two.
        state: how it is; a problem keeps something from working that was asked for, or everything.
        found: in words.
        hint: what to do; empty if there is nothing to do.
    """

    what: str
    state: State
    found: str
    hint: str = ""

    @classmethod
    def judged(cls, what: str, found: str, *, good: bool, hint: str, otherwise: State = State.WARNING) -> Finding:
        """Say how a thing is: fine, with nothing to do, or not.

        Args:
            what: the thing.
            found: in words.
            good: whether it is as it should be.
            hint: what to do if it is not.
            otherwise: how it is then.
        """
        return cls(what=what, state=State.OK if good else otherwise, found=found, hint="" if good else hint)
