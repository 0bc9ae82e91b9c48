"""The audit log: what a chain shows of every kind of damage."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.cas.audit.chain import verify_chain
from bannock.cas.audit.entry import EMPTY, ChainHead, Event, Transaction, sign_entry
from bannock.errors import IntegrityError
from bannock.policy.canonical import canonical_json
from bannock.values import KeyHash

_KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
_AT = dt.datetime(2026, 5, 4, 3, 2, 1, tzinfo=dt.UTC)
_CAS = KeyHash(b"c" * 32)


def _entry(head: ChainHead, name: str, key: Ed25519PrivateKey = _KEY, *, signed: bool = True) -> Transaction:
    events = [Event(event="event", facts={"number": name, "list": ["a", "b"], "nothing": None})]
    return sign_entry(key, head, at=_AT, cas=_CAS, events=events, signed=signed)


def _chain(count: int, key: Ed25519PrivateKey = _KEY) -> tuple[list[Transaction], list[ChainHead]]:
    entries: list[Transaction] = []
    heads = [EMPTY]
    for number in range(count):
        entries.append(_entry(heads[-1], str(number), key))
        heads.append(entries[-1].head)
    return entries, heads


def _old(sequence: int, previous: bytes) -> tuple[bytes, bytes]:
    """Make an entry as versions before this one stored it, and what the next one holds of it."""
    domain = b"bannock audit entry 1\0"
    body = canonical_json(
        {
            "format": "bannock-audit-1",
            "sequence": sequence,
            "previous": previous.hex(),
            "at": _AT.isoformat(),
            "event": "session-created",
            "facts": {"session": "demo"},
        }
    )
    signature = _KEY.sign(domain + body)
    return signature + body, hashlib.sha256(domain + signature + body).digest()


def test_a_whole_log_is_told() -> None:
    """Verification gives the entries in their order, from the first."""
    entries, heads = _chain(3)
    told = verify_chain(entries, _KEY.public_key(), heads=heads)
    assert [(entry.sequence, entry.facts["number"], entry.at) for entry in told] == [
        (1, "0", _AT),
        (2, "1", _AT),
        (3, "2", _AT),
    ]


def test_an_entry_is_a_transaction() -> None:
    """All that one transaction did has one number and one signature."""
    events = [Event(event=name, facts={"session": name}) for name in ("one", "two")]
    entry = sign_entry(_KEY, EMPTY, at=_AT, cas=_CAS, events=events)
    assert [(told.sequence, told.event) for told in verify_chain([entry], _KEY.public_key())] == [
        (1, "one"),
        (1, "two"),
    ]


def test_an_empty_log_is_whole() -> None:
    """A log without entries is whole, unless it is known to have had some."""
    assert verify_chain([], _KEY.public_key(), heads=[EMPTY]) == []
    with pytest.raises(IntegrityError, match="it has 0 entries"):
        verify_chain([], _KEY.public_key(), heads=[_chain(1)[1][-1]])


def test_the_line_of_an_entry() -> None:
    """This is what is in a file: one line, in canonical JSON, with the key, the predecessor and the signature."""
    entries, heads = _chain(2)
    line = entries[1].to_line()
    assert b"\n" not in line
    assert json.loads(line) == {
        "at": "2026-05-04T03:02:01+00:00",
        "cas": str(_CAS),
        "events": [{"event": "event", "number": "1", "list": ["a", "b"], "nothing": None}],
        "format": "bannock-audit-2",
        "key": _KEY.public_key().public_bytes_raw().hex(),
        "predecessor": heads[1].link.hex(),
        "sequence": 2,
        "signature": heads[2].link.hex(),
    }
    assert canonical_json(json.loads(line)) == line
    assert Transaction.from_line(line) == entries[1]
    assert json.loads(entries[0].to_line())["predecessor"] is None
    assert ChainHead.from_bytes(heads[1].to_bytes()) == heads[1]


def test_entries_of_versions_before_are_read() -> None:
    """A log that an older version began is one chain with what follows."""
    first, link = _old(1, bytes(32))
    second, link = _old(2, link)
    entries = [Transaction.from_stored(stored) for stored in (first, second)]
    head = ChainHead.from_bytes((2).to_bytes(8, "big") + link)
    assert entries[-1].head == head
    entries.append(_entry(head, "new"))
    assert [entry.event for entry in verify_chain(entries, _KEY.public_key(), heads=[head])] == [
        "session-created",
        "session-created",
        "event",
    ]
    assert [Transaction.from_line(entry.to_line()) for entry in entries] == entries
    with pytest.raises(IntegrityError, match="audit entry 1 is missing"):
        verify_chain(entries[1:], _KEY.public_key())


def test_every_changed_bit_is_found() -> None:
    """No bit of an entry can change."""
    entries, _ = _chain(2)
    data = entries[0].to_line()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError, match=r"audit entry \d+ (does not|is not signed)|an entry of an audit log"):
            Transaction.from_line(bytes(changed)).verify()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"\xff",
        b'{"format":"bannock-audit-3"}',
        b'{"format":' * 100_000,
        b'{"checkpoint":"00"}',
    ],
)
def test_what_is_no_entry_is_refused(line: bytes) -> None:
    """Whatever a file has, it is an entry or an error of ours."""
    with pytest.raises(IntegrityError, match="not an entry of an audit log"):
        Transaction.from_line(line)


@pytest.mark.parametrize("line", [b" %s", b"%s\r", b"%s "])
def test_an_entry_has_one_form(line: bytes) -> None:
    """An entry cannot be written anew in another layout."""
    with pytest.raises(IntegrityError, match="this one was written anew"):
        Transaction.from_line(line % _chain(1)[0][0].to_line())


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
    other = _entry(EMPTY, "other")
    grafted = _entry(other.head, "other")
    with pytest.raises(IntegrityError, match="audit entry 2 does not follow the entry before it"):
        verify_chain([entries[0], grafted], _KEY.public_key())
    assert other != entries[0]


def test_entries_of_another_key_are_found() -> None:
    """Nobody but this CAS writes its log."""
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    with pytest.raises(IntegrityError, match="does not have the signature of this CAS"):
        verify_chain(_chain(1, other)[0], _KEY.public_key())


def test_unsigned_entries_are_chained_too() -> None:
    """A log without signatures has links, and cannot be verified by its lines alone."""
    first = _entry(EMPTY, "0", signed=False)
    second = _entry(first.head, "1", signed=False)
    assert len(verify_chain([first, second], _KEY.public_key())) == 2
    assert Transaction.from_line(second.to_line()) == second
    with pytest.raises(IntegrityError, match="audit entry 2 is not signed"):
        second.verify()
