"""What a client remembers of the answers of a CAS, so that a CAS which was rolled back is found out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bannock.errors import PeerError
from bannock.evidence.receipt import verify_receipt

if TYPE_CHECKING:
    from bannock.evidence.receipt import Receipt
    from bannock.values import KeyHash

__all__ = ["Receipts", "accept"]


class Receipts(Protocol):
    """Keeps the newest receipt of each session of each CAS."""

    def newest(self, cas: KeyHash, session: str) -> Receipt | None:
        """Give what a CAS said of a session last."""

    def keep(self, receipt: Receipt) -> None:
        """Keep a receipt, which is not older than the one that is kept."""


def accept(receipts: Receipts, text: object, cas: KeyHash, *, session: str | None, digest: str) -> None:
    """Verify the receipt of an answer about the newest version of a session, compare it, and keep it.

    Args:
        receipts: where.
        text: of the receipt.
        cas: who has answered.
        session: what it was asked about; None where only the CAS knows the name.
        digest: the hash that it answered.

    Raises:
        EvidenceError: the receipt does not hold.
        PeerError: it is not for this answer, or there is none.
        RollbackError: the CAS has said more before, or something else.
    """
    if not isinstance(text, str):
        raise PeerError("the CAS answers without a receipt")
    receipt = verify_receipt(text, cas)
    if receipt.digest != digest or session not in (None, receipt.session):
        raise PeerError(
            f"the receipt is for version {receipt.digest} of session {receipt.session}, "
            f"the answer for version {digest} of {session}"
        )
    before = receipts.newest(cas, receipt.session)
    if before is not None:
        receipt.require_after(before)
    if receipt != before:
        receipts.keep(receipt)
