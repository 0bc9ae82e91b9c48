"""What the store keeps, as typed values, and the bytes that are sealed for them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, Self

from bannock.errors import InputError, IntegrityError
from bannock.policy.canonical import canonical_json
from bannock.policy.one_time_password import OneTimePasswords
from bannock.values import FspfTag, KeyHash

__all__ = ["FspfState", "InstanceState", "StoredSession", "used_from_json", "used_to_json"]

_USUAL_STATE: Final = re.compile(rb'\{"others":\[\],"since":(\d{1,15}),"tag":"([0-9a-f]{32})"\}')


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """One version of a session.

    Attributes:
        name: of the session.
        generation: counts its versions from 1.
        digest: the hash of this version.
        text: the document as it was sent; it may hold secrets.
        creator: who made the first version.
    """

    name: str
    generation: int
    digest: str
    text: str = field(repr=False)
    creator: KeyHash

    def to_json(self) -> bytes:
        """Serialise; the result is secret."""
        return canonical_json(
            {
                "name": self.name,
                "generation": self.generation,
                "digest": self.digest,
                "text": self.text,
                "creator": self.creator.value.hex(),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse what :meth:`to_json` gives.

        Raises:
            IntegrityError: it is anything else.
        """
        document = _parsed(data, "session")
        try:
            return cls(
                name=str(document["name"]),
                generation=int(document["generation"]),
                digest=str(document["digest"]),
                text=str(document["text"]),
                creator=KeyHash.from_hex(document["creator"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError("a stored session is malformed") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FspfState:
    """The state of a protection file: that of a volume, or the main one of a service.

    Attributes:
        tag: of the state that was confirmed last; None as long as there is none.
        since: the generation of the session that gave the protection file its key and first state. One that an update
            of the session replaces is another one, and who was attested for the old one cannot change it.
        others: the newest states of further copies, which instances of one service work on at the same time; the one
            that changed last comes first.
    """

    tag: FspfTag | None
    since: int
    others: tuple[FspfTag, ...] = ()

    def to_json(self) -> bytes:
        """Serialise, as :func:`canonical_json` would: this is done thousands of times a second."""
        others = ",".join(f'"{tag}"' for tag in self.others)
        tag = "null" if self.tag is None else f'"{self.tag}"'
        return f'{{"others":[{others}],"since":{self.since},"tag":{tag}}}'.encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse what :meth:`to_json` gives.

        Raises:
            IntegrityError: it is anything else.
        """
        # What is written most often is read without a parser, because it is read as often.
        usual = _USUAL_STATE.fullmatch(data)
        if usual is not None:
            return cls(tag=FspfTag(bytes.fromhex(usual[2].decode("ascii"))), since=int(usual[1]))
        document = _parsed(data, "protection file's state")
        try:
            tag = document["tag"]
            return cls(
                tag=None if tag is None else FspfTag.from_hex(tag),
                since=int(document["since"]),
                others=tuple(FspfTag.from_hex(other) for other in document.get("others", ())),
            )
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError("a stored state of a protection file is malformed") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceState:
    """What is known of the start of an enclave that has had a configuration.

    Attributes:
        start: what it was given the configuration of.
        current: hash of what it was given to be known by; None where nobody asked for that.
        previous: hash of what it showed for that, which is good as long as the current one was not used.
    """

    start: str
    current: bytes | None = None
    previous: bytes | None = None

    def to_json(self) -> bytes:
        """Serialise."""
        hashes = {"current": self.current, "previous": self.previous}
        return canonical_json(
            {"start": self.start, **{name: None if each is None else each.hex() for name, each in hashes.items()}}
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse what :meth:`to_json` gives.

        Raises:
            IntegrityError: it is anything else.
        """
        document = _parsed(data, "start of an enclave")
        try:
            hashes = (document[name] for name in ("current", "previous"))
            current, previous = (None if each is None else bytes.fromhex(each) for each in hashes)
            return cls(start=str(document["start"]), current=current, previous=previous)
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError("a stored start of an enclave is malformed") from error


def used_to_json(used: OneTimePasswords) -> bytes:
    """Serialise what was used of one-time passwords."""
    return canonical_json({"last": used.last, "failed": used.failed, "failures": used.failures})


def used_from_json(data: bytes | None) -> OneTimePasswords:
    """Parse what :func:`used_to_json` gives; None means that nothing was used.

    Raises:
        IntegrityError: it is anything else.
    """
    if data is None:
        return OneTimePasswords()
    document = _parsed(data, "state of one-time passwords")
    try:
        return OneTimePasswords(
            last=int(document["last"]), failed=int(document["failed"]), failures=int(document["failures"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError("a stored state of one-time passwords is malformed") from error


def _parsed(data: bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"a stored {what} is malformed") from error
