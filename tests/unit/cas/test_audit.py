"""The audit log: what a chain shows of every kind of damage."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.cas.audit import EMPTY, ChainHead, SignedEntry, sign_entry, verify_chain
from bannock.errors import IntegrityError

_KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
_AT = dt.datetime(2026, 5, 4, 3, 2, 1, tzinfo=dt.UTC)


def _chain(count: int, key: Ed25519PrivateKey = _KEY) -> tuple[list[SignedEntry], list[ChainHead]]:
    entries, heads = [], [EMPTY]
    for number in range(count):
        entry, head = sign_entry(key, heads[-1], at=_AT, event="event", facts={"number": str(number)})
        entries.append(entry)
        heads.append(head)
    return entries, heads


def test_a_whole_log_is_told() -> None:
    """Verification gives the entries in their order, from the first."""
    entries, heads = _chain(3)
    told = verify_chain(entries, _KEY.public_key(), heads=heads)
    assert [(entry.sequence, entry.facts["number"], entry.at) for entry in told] == [
        (1, "0", _AT),
        (2, "1", _AT),
        (3, "2", _AT),
    ]


def test_an_empty_log_is_whole() -> None:
    """A log without entries is whole, unless it is known to have had some."""
    assert verify_chain([], _KEY.public_key(), heads=[EMPTY]) == []
    with pytest.raises(IntegrityError, match="it has 0 entries"):
        verify_chain([], _KEY.public_key(), heads=[_chain(1)[1][-1]])


def test_the_stored_form_round_trips() -> None:
    """Entries and heads come back from their bytes."""
    entries, heads = _chain(1)
    assert SignedEntry.from_bytes(entries[0].to_bytes()) == entries[0]
    assert ChainHead.from_bytes(heads[1].to_bytes()) == heads[1]


def test_every_changed_bit_is_found() -> None:
    """No bit of an entry can change."""
    entries, _ = _chain(2)
    data = entries[0].to_bytes()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError, match="audit entry 1 does not have the signature"):
            verify_chain([SignedEntry.from_bytes(bytes(changed)), entries[1]], _KEY.public_key())


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([1, 2, 3], "audit entry 1 is missing or moved: in its place is entry 2"),
        ([0, 2, 3], "audit entry 2 is missing or moved: in its place is entry 3"),
        ([0, 2, 1, 3], "audit entry 2 is missing or moved: in its place is entry 3"),
        ([0, 1, 1, 2], "audit entry 3 is missing or moved: in its place is entry 2"),
        ([0, 1, 2], "does not lead to entry 4, which is known to have been in it: it has 3 entries"),
    ],
    ids=["first removed", "removed", "reordered", "repeated", "truncated"],
)
def test_missing_and_moved_entries_are_found(order: list[int], message: str) -> None:
    """Removal, exchange and repetition break the chain; truncation shows to whoever knows the head."""
    entries, heads = _chain(4)
    with pytest.raises(IntegrityError, match=message):
        verify_chain([entries[number] for number in order], _KEY.public_key(), heads=[heads[-1]])


def test_truncation_shows_to_nobody_who_knows_no_head() -> None:
    """This is as far as a chain can go, and why a head is kept elsewhere."""
    entries, _ = _chain(4)
    assert len(verify_chain(entries[:2], _KEY.public_key())) == 2


def test_an_entry_of_another_history_is_found() -> None:
    """An entry that the same CAS signed in another chain does not fit into this one."""
    entries, _ = _chain(2)
    other, head = sign_entry(_KEY, EMPTY, at=_AT, event="other", facts={})
    grafted, _ = sign_entry(_KEY, head, at=_AT, event="other", facts={})
    with pytest.raises(IntegrityError, match="audit entry 2 does not follow the entry before it"):
        verify_chain([entries[0], grafted], _KEY.public_key())
    assert other != entries[0]


def test_entries_of_another_key_are_found() -> None:
    """Nobody but this CAS writes its log."""
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    with pytest.raises(IntegrityError, match="does not have the signature of this CAS"):
        verify_chain(_chain(1, other)[0], _KEY.public_key())
