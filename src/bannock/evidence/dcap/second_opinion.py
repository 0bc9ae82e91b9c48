"""dcap-qvl's verdict on a quote: a verifier that others wrote, in another language, asked beside our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dcap_qvl

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Opinion", "ask"]

#: What dcap-qvl says last, after all else held, where a debugger may look in: a matter for the session here.
_DEBUG: Final = "Verification failed: Debug mode is enabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What dcap-qvl says.

    Attributes:
        status: in Intel's words; None where it says nothing of it.
        advisories: that apply.
        refused: why it refuses the quote; None where it does not.
        only_debug: whether it refuses because a debugger may look in, and for nothing else.
    """

    status: str | None = None
    advisories: frozenset[str] = frozenset()
    refused: str | None = None
    only_debug: bool = False


def ask(quote: bytes, collateral: str, root: bytes | None, at: datetime) -> Opinion:
    """Ask it for its verdict on a quote.

    Args:
        quote: as received.
        collateral: the JSON form of ``QuoteCollateralV3``.
        root: DER of a make-believe root; None for Intel's.
        at: the time of the verdict.
    """
    seconds = int(at.timestamp())
    try:
        known = dcap_qvl.QuoteCollateralV3.from_json(collateral)
        if root is None:
            report = dcap_qvl.verify(quote, known, seconds)
        else:
            report = dcap_qvl.verify_with_root_ca(quote, known, root, seconds)
    except ValueError as error:
        text = " ".join(str(error).split())
        return Opinion(refused=text, only_debug=text == _DEBUG)
    return Opinion(status=report.status, advisories=frozenset(report.advisory_ids))
