"""A LAS on a machine whose hardware is made up by the test."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bannock.evidence.platforms import MachineAttester
from bannock.evidence.quotes import TdxQuote

if TYPE_CHECKING:
    from bannock.evidence.quotes import Quote

__all__ = ["CountingSource", "make_believe_attester"]


class CountingSource:
    """Gives something that stands where a quote does; counts how often it was asked.

    Attributes:
        asked: how often.
        failure: what to raise instead.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.failure: Exception | None = None

    def quote(self, public: bytes) -> tuple[Quote, bytes]:
        """Give a quote that nobody would verify."""
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return TdxQuote(key=public, quote=hashlib.sha512(public).digest()), b""


def make_believe_attester(source: CountingSource | None = None, *, rehearses: str | None = None) -> MachineAttester:
    """Make the attester of a machine."""
    platform = "tdx" if rehearses is None else "sim"
    return MachineAttester(source or CountingSource(), platform=platform, rehearses=rehearses)
