"""The check of a whole log that the CAS itself has, from its first entry: one line of entries, and nothing missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.cas.audit.entry import EMPTY
from bannock.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from bannock.cas.audit.entry import AuditEntry, ChainHead, Transaction

__all__ = ["verify_chain"]


def verify_chain(
    entries: Iterable[Transaction], key: Ed25519PublicKey, *, heads: Sequence[ChainHead] = ()
) -> list[AuditEntry]:
    """Check a whole log from its first entry, and give the events that it tells of.

    Args:
        entries: in their order.
        key: whose signatures are accepted.
        heads: ends that the log is known to have reached: every entry up to each of them has to be there.

    Raises:
        IntegrityError: an entry was changed, removed, put in or moved, or entries at the end are missing.
    """
    found: list[AuditEntry] = []
    current = EMPTY
    missing = {known for known in heads if known != EMPTY}
    for entry in entries:
        _verify_entry(entry, key, current)
        found += entry.entries()
        current = entry.head
        missing.discard(current)
    if missing:
        known = max(missing, key=lambda head: head.sequence)
        raise IntegrityError(
            f"the audit log does not lead to entry {known.sequence}, which is known to have been in it: "
            f"it has {current.sequence} entries"
        )
    return found


def _verify_entry(entry: Transaction, key: Ed25519PublicKey, before: ChainHead) -> None:
    place = f"audit entry {before.sequence + 1}"
    if entry.signature is not None:  # the owner may have wished for a log without signatures, for a time
        entry.verify(key)
    if entry.sequence != before.sequence + 1:
        raise IntegrityError(f"{place} is missing or moved: in its place is entry {entry.sequence}")
    if entry.predecessor != before.link:
        raise IntegrityError(f"{place} does not follow the entry before it")
