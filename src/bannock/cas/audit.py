"""The audit log: signed entries, each with the hash of the one before it.

Pure. A chain shows that an entry was changed, removed, put in or moved. That entries are missing at its end, it shows
to whoever knows a later head: the store keeps one beside it, and an operator can keep one elsewhere. Entries say who
did what; values of secrets, keys and documents are never in them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography.exceptions import InvalidSignature

from bannock.errors import IntegrityError
from bannock.policy.canonical import JsonValue, canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["EMPTY", "AuditEntry", "ChainHead", "SignedEntry", "sign_entry", "verify_chain"]

FORMAT: Final = "bannock-audit-1"
SIGNATURE_BYTES: Final = 64
HASH_BYTES: Final = 32
_DOMAIN: Final = b"bannock audit entry 1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """The end of a chain: how many entries it has, and the hash of the last."""

    sequence: int
    digest: bytes

    def to_bytes(self) -> bytes:
        """Serialise."""
        return self.sequence.to_bytes(8, "big") + self.digest

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse what :meth:`to_bytes` gives.

        Raises:
            IntegrityError: it is anything else.
        """
        if len(data) != 8 + HASH_BYTES:
            raise IntegrityError("the head of the audit log is malformed")
        return cls(sequence=int.from_bytes(data[:8], "big"), digest=data[8:])


#: The head of a chain without entries.
EMPTY: Final = ChainHead(sequence=0, digest=bytes(HASH_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What happened: when, what kind of event, and facts about it."""

    sequence: int
    at: dt.datetime
    event: str
    facts: Mapping[str, str | list[str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedEntry:
    """The exact bytes of an entry, and the signature over them."""

    body: bytes
    signature: bytes

    @property
    def digest(self) -> bytes:
        """What the next entry holds of this one."""
        return hashlib.sha256(_DOMAIN + self.signature + self.body).digest()

    def to_bytes(self) -> bytes:
        """Serialise."""
        return self.signature + self.body

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse what :meth:`to_bytes` gives; any bytes are an entry, until it is verified."""
        return cls(signature=data[:SIGNATURE_BYTES], body=data[SIGNATURE_BYTES:])


def sign_entry(
    key: Ed25519PrivateKey,
    head: ChainHead,
    *,
    at: dt.datetime,
    event: str,
    facts: Mapping[str, str | list[str] | None],
) -> tuple[SignedEntry, ChainHead]:
    """Make the entry that follows a head, and the head that follows it."""
    told: dict[str, JsonValue] = {
        name: list[JsonValue](fact) if isinstance(fact, list) else fact for name, fact in facts.items()
    }
    body = canonical_json(
        {
            "format": FORMAT,
            "sequence": head.sequence + 1,
            "previous": head.digest.hex(),
            "at": at.astimezone(dt.UTC).isoformat(),
            "event": event,
            "facts": told,
        }
    )
    entry = SignedEntry(body=body, signature=key.sign(_DOMAIN + body))
    return entry, ChainHead(sequence=head.sequence + 1, digest=entry.digest)


def verify_chain(
    entries: Iterable[SignedEntry], key: Ed25519PublicKey, *, heads: Sequence[ChainHead] = ()
) -> list[AuditEntry]:
    """Check a whole log from its first entry, and give what it says.

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
        found.append(_verify_entry(entry, key, current))
        current = ChainHead(sequence=current.sequence + 1, digest=entry.digest)
        missing.discard(current)
    if missing:
        known = max(missing, key=lambda head: head.sequence)
        raise IntegrityError(
            f"the audit log does not lead to entry {known.sequence}, which is known to have been in it: "
            f"it has {current.sequence} entries"
        )
    return found


def _verify_entry(entry: SignedEntry, key: Ed25519PublicKey, before: ChainHead) -> AuditEntry:
    place = f"audit entry {before.sequence + 1}"
    try:
        key.verify(entry.signature, _DOMAIN + entry.body)
    except InvalidSignature:
        raise IntegrityError(f"{place} does not have the signature of this CAS: it was changed or put in") from None
    # The signature holds, so the form is the one we write.
    document = json.loads(entry.body)
    if document["sequence"] != before.sequence + 1:
        raise IntegrityError(
            f"{place} is missing or moved: in its place is entry {document['sequence']}",
        )
    if document["previous"] != before.digest.hex():
        raise IntegrityError(f"{place} does not follow the entry before it")
    return AuditEntry(
        sequence=document["sequence"],
        at=dt.datetime.fromisoformat(document["at"]),
        event=document["event"],
        facts=document["facts"],
    )
