"""Entries of the audit log: their form, their signatures, and how each holds on to the one before it.

Pure. One entry is one transaction of the CAS, with all events in it, so what a failed transaction leaves in a log file
is never more than one entry. An entry is a line of canonical JSON (RFC 8785); the signature is over everything else in
it. The *link* of an entry is what the next one names as its predecessor: its signature, or a hash where it has none.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bannock.errors import InputError, IntegrityError
from bannock.policy.canonical import JsonValue, canonical_json
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["EMPTY", "LINE_BYTES_MAX", "AuditEntry", "ChainHead", "Event", "Facts", "Transaction", "sign_entry"]

#: What an event says: texts and lists of texts.
Facts: TypeAlias = "Mapping[str, str | list[str] | None]"

FORMAT: Final = "bannock-audit-2"
#: An entry for each event, linked by hashes; written by versions before this one, and read for ever.
_FORMAT_1: Final = "bannock-audit-1"
_DOMAIN: Final = {FORMAT: b"bannock audit entry 2\0", _FORMAT_1: b"bannock audit entry 1\0"}
_SIGNATURE_BYTES: Final = 64
_KEY_BYTES: Final = 32
_SEQUENCE_BYTES: Final = 8
_LINK_BYTES: Final = (0, 32, 64)
_NOTHING: Final = bytes(32)
#: More than the largest transaction has (a thousand events of a kilobyte); a bound on what is parsed at once.
LINE_BYTES_MAX: Final = 16 << 20

_KEYS: Final = {"format", "sequence", "predecessor", "at", "cas", "key", "events", "signature"}
_KEYS_1: Final = {"format", "sequence", "previous", "at", "event", "facts", "signature"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """A place in a chain: how many entries lead there, and the link of the last."""

    sequence: int
    link: bytes

    def to_bytes(self) -> bytes:
        """Serialise."""
        return self.sequence.to_bytes(_SEQUENCE_BYTES, "big") + self.link

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse what :meth:`to_bytes` gives.

        Raises:
            IntegrityError: it is anything else.
        """
        if len(data) - _SEQUENCE_BYTES not in _LINK_BYTES:
            raise IntegrityError("the head of the audit log is malformed")
        return cls(sequence=int.from_bytes(data[:_SEQUENCE_BYTES], "big"), link=data[_SEQUENCE_BYTES:])


#: The head of a chain without entries.
EMPTY: Final = ChainHead(sequence=0, link=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: what kind of event, and facts about it."""

    event: str
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An event with its place in the log."""

    sequence: int
    at: dt.datetime
    event: str
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A parsed entry, whose signature :meth:`verify` checks.

    Attributes:
        sequence: its number, from 1.
        at: when.
        cas: which CAS says it is the author; None in the old format.
        key: what its signature verifies under; None in the old format.
        predecessor: the link of the entry before it, empty for the first.
        events: what happened, at least one thing.
        body: the bytes that are signed.
        signature: over them, None if the log is not signed.
    """

    sequence: int
    at: dt.datetime
    cas: KeyHash | None
    key: bytes | None
    predecessor: bytes
    events: tuple[Event, ...]
    body: bytes
    signature: bytes | None

    @property
    def link(self) -> bytes:
        """What the next entry names as its predecessor."""
        return _link(FORMAT if self.key is not None else _FORMAT_1, self.body, self.signature)

    @property
    def head(self) -> ChainHead:
        """The chain up to here."""
        return ChainHead(sequence=self.sequence, link=self.link)

    def entries(self) -> list[AuditEntry]:
        """Give each event with its place."""
        return [
            AuditEntry(sequence=self.sequence, at=self.at, event=each.event, facts=each.facts) for each in self.events
        ]

    def verify(self, key: Ed25519PublicKey | None = None) -> None:
        """Check the signature: under a key, or under the one that the entry names itself.

        Raises:
            IntegrityError: there is none, it does not verify, or the entry names another key.
        """
        if self.signature is None:
            raise IntegrityError(f"audit entry {self.sequence} is not signed")
        if key is None:
            if self.key is None:
                raise IntegrityError(f"audit entry {self.sequence} does not say by which key it is signed")
            key = Ed25519PublicKey.from_public_bytes(self.key)
        named = self.key is None or self.key == key.public_bytes_raw()
        domain = _DOMAIN[FORMAT if self.key is not None else _FORMAT_1]
        try:
            key.verify(self.signature, domain + self.body)
        except InvalidSignature:
            named = False
        if not named:
            raise IntegrityError(
                f"audit entry {self.sequence} does not have the signature of this CAS: it was changed or put in"
            )

    def to_line(self) -> bytes:
        """Serialise as a line, without its end."""
        signature = b"null" if self.signature is None else b'"%s"' % self.signature.hex().encode("ascii")
        # The last key in canonical order, in the old format too.
        return b'%s,"signature":%s}' % (self.body[:-1], signature)

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Parse a line, without its end; whether it is authentic is for :meth:`verify`.

        Raises:
            IntegrityError: it is not an entry of an audit log, in the one form that entries have.
        """
        try:
            if len(line) > LINE_BYTES_MAX:
                raise IntegrityError(f"an entry of an audit log has at most {LINE_BYTES_MAX} bytes")
            document = json.loads(line)
            found = cls._parse(document)
            if found.to_line() != line:
                raise IntegrityError("an entry of an audit log is canonical JSON, this one was written anew")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError) as error:
            raise IntegrityError("this is not an entry of an audit log") from error
        return found

    @classmethod
    def from_stored(cls, data: bytes) -> Self:
        """Parse what a database has: a line, or an entry of the old format in its old form."""
        if not data.startswith(b'{"') and data[_SIGNATURE_BYTES : _SIGNATURE_BYTES + 2] == b'{"':
            document = json.loads(data[_SIGNATURE_BYTES:])
            return cls._parse({**document, "signature": data[:_SIGNATURE_BYTES].hex()})
        return cls.from_line(data)

    @classmethod
    def _parse(cls, document: dict[str, Any]) -> Self:
        new = document["format"] == FORMAT
        if set(document) != (_KEYS if new else _KEYS_1):
            raise ValueError(document["format"])
        signature = document["signature"]
        key: bytes | None = None
        cas: KeyHash | None = None
        if new:
            key, cas = _hex(document["key"], _KEY_BYTES), KeyHash.from_base58(document["cas"])
            predecessor = bytes.fromhex(document["predecessor"] or "")
            events = tuple(_event(dict(each)) for each in document["events"])
        elif document["format"] == _FORMAT_1:
            previous = _hex(document["previous"], len(_NOTHING))
            predecessor = b"" if previous == _NOTHING else previous
            events = (Event(event=str(document["event"]), facts=dict(document["facts"])),)
        else:
            raise ValueError(document["format"])
        if type(document["sequence"]) is not int or document["sequence"] < 1 or not events:
            raise ValueError(document["sequence"])
        return cls(
            sequence=document["sequence"],
            at=dt.datetime.fromisoformat(document["at"]).astimezone(dt.UTC),
            cas=cas,
            key=key,
            predecessor=predecessor,
            events=events,
            body=canonical_json({name: value for name, value in document.items() if name != "signature"}),
            signature=None if signature is None else _hex(signature, _SIGNATURE_BYTES),
        )


def sign_entry(
    key: Ed25519PrivateKey,
    head: ChainHead,
    *,
    at: dt.datetime,
    cas: KeyHash,
    events: Sequence[Event],
    signed: bool = True,
) -> Transaction:
    """Make the entry that follows a head."""
    public = key.public_key().public_bytes_raw()
    at = at.astimezone(dt.UTC)
    body = canonical_json(
        {
            "format": FORMAT,
            "sequence": head.sequence + 1,
            "predecessor": head.link.hex() or None,
            "at": at.isoformat(),
            "cas": _key_text(cas),
            "key": public.hex(),
            "events": [_told(each) for each in events],
        }
    )
    return Transaction(
        sequence=head.sequence + 1,
        at=at,
        cas=cas,
        key=public,
        predecessor=head.link,
        events=tuple(events),
        body=body,
        signature=key.sign(_DOMAIN[FORMAT] + body) if signed else None,
    )


@functools.lru_cache(maxsize=8)
def _key_text(key: KeyHash) -> str:
    return str(key)


def _told(event: Event) -> JsonValue:
    told: dict[str, JsonValue] = {"event": event.event}
    for name, fact in event.facts.items():
        told[name] = list[JsonValue](fact) if isinstance(fact, list) else fact
    told["event"] = event.event
    return told


def _event(document: dict[str, Any]) -> Event:
    name = document.pop("event")
    if not isinstance(name, str):
        raise TypeError(name)
    for fact in document.values():
        if not (fact is None or isinstance(fact, str) or all(isinstance(each, str) for each in fact)):
            raise ValueError(fact)
    return Event(event=name, facts=document)


def _hex(text: str, size: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != size or text != value.hex():
        raise ValueError(text)
    return value


def _link(form: str, body: bytes, signature: bytes | None) -> bytes:
    if signature is not None and form == FORMAT:
        return signature
    return hashlib.sha256(_DOMAIN[form] + (signature or b"") + body).digest()
