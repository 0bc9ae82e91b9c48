"""A verification in steps: every step is taken that can be, and each one leaves a finding. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from bannock.errors import EvidenceError
from bannock.evidence.appraisal import Bound, Finding

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["Checks"]

_Value = TypeVar("_Value")


class Checks:
    """What was looked at so far."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.bounds: list[Bound] = []
        self._problems: list[str] = []
        self._hints: list[str] = []

    def attempt(self, what: str, step: Callable[[], _Value]) -> _Value | None:
        """Take a step, and give what it gives; None where it fails, which is remembered."""
        try:
            value = step()
        except EvidenceError as error:
            told = "; ".join((error.message, *error.reasons))
            self._problems.append(told)
            self._hints += [error.hint] if error.hint else []
            self.findings.append(Finding(what, holds=False, detail=told))
            return None
        self.findings.append(Finding(what))
        return value

    def tell(self, what: str, detail: str = "") -> None:
        """Note something that is not judged here."""
        self.findings.append(Finding(what, None, detail))

    def bound(self, until: datetime, what: str, remedy: str) -> None:
        """Note until when the verdict holds."""
        self.bounds.append(Bound(until, what, remedy))

    def require(self, what: str, *, note: str | None = None) -> None:
        """Require that all steps so far were good.

        Raises:
            EvidenceError: one was not; its reasons name all that were not, and then the note.
        """
        if self._problems:
            notes = () if note is None else (note,)
            hints = "; ".join(dict.fromkeys(self._hints))
            raise EvidenceError(what, reasons=(*dict.fromkeys(self._problems), *notes), hint=hints or None)
