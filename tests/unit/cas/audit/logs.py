"""Logs of a make-believe CAS, with every history that one can have."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.cas.audit.certificates import certify_audit_key
from bannock.cas.audit.entry import EMPTY, ChainHead, Event, sign_entry
from bannock.cas.audit.findings import History
from bannock.net.tls import Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.cas.audit.entry import Transaction

__all__ = ["AT", "CAS", "KEY", "history", "line_of", "start"]

AT = dt.datetime(2026, 5, 4, 3, 2, 1, tzinfo=dt.UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
CAS = Identity.generate("CAS")
_CHAIN = certify_audit_key(KEY.public_key(), CAS)


def line_of(count: int, head: ChainHead = EMPTY, *, name: str = "a", signed: bool = True) -> list[Transaction]:
    """Give entries that follow a place, the first of all with the chain of the key."""
    entries: list[Transaction] = []
    for number in range(count):
        place = entries[-1].head if entries else head
        facts = {"number": f"{name}{number}"}
        events = [Event(event="session_created", facts=facts)] if place != EMPTY else [start()]
        entries.append(sign_entry(KEY, place, at=AT, cas=CAS.key_hash, events=events, signed=signed))
    return entries


def start(key: Ed25519PrivateKey = KEY, identity: Identity = CAS) -> Event:
    """Give the event that certifies a key."""
    chain = _CHAIN if key is KEY and identity is CAS else certify_audit_key(key.public_key(), identity)
    return Event(event="cas_started", facts={"certificate_chain": chain})


def history(entries: Sequence[Transaction], *checkpoints: Transaction) -> History:
    """Give what a CAS says whose newest entry is the last of some, and that knows others."""
    return History(head=entries[-1].head, checkpoints=tuple(entry.head for entry in checkpoints))
