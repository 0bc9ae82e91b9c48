"""What the CAS remembers of evidence: the last of each service on each machine, to be judged again later.

A quote, with what came along with it, is kept once for all the services that rest on it. Platform sim is left out:
nothing vouches for it that could end. What is kept proves nothing any more: it was bound to a connection.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self

from bannock.cas import schema
from bannock.errors import EvidenceError, IntegrityError
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import quote_from_json, quote_to_json
from bannock.policy.canonical import canonical_json
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.cas.transaction import Change, View
    from bannock.evidence.appraisal import Appraisal

__all__ = ["Remembered", "Remembering", "forget_old", "recall", "recall_quote"]

#: A machine that no evidence came from for so long has gone, for all that is known.
KEPT: Final = dt.timedelta(days=90)
#: How often it is written anew that evidence came, where nothing else has changed.
_ANEW: Final = dt.timedelta(hours=6)
_NOTED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The last evidence of a service on a machine.

    Attributes:
        session, service: whose.
        machine: which, or the attester where the platform does not tell.
        platform: that the evidence is of, ``sim (rehearses …)`` for a make-believe one.
        at: when it came, seconds since 1970.
        quote: which quote it rests on: 64 hexadecimal digits.
        report, signature: the rest of the envelope, in base64.
    """

    session: str
    service: str
    machine: str
    platform: str
    at: int
    quote: str
    report: str
    signature: str

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse what :meth:`to_json` gives.

        Raises:
            IntegrityError: it is anything else.
        """
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise IntegrityError("remembered evidence is malformed") from error

    def to_json(self) -> bytes:
        """Serialise."""
        return canonical_json(asdict(self))

    def envelope(self, quote: Envelope) -> Envelope:
        """Put the evidence together again with its quote."""
        return Envelope(
            report=base64.b64decode(self.report),
            quote=quote.quote,
            signature=base64.b64decode(self.signature),
            endorsements=quote.endorsements,
        )


class Remembering:
    """Writes evidence down, as seldom as will do. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: OrderedDict[tuple[str, str, str], tuple[dt.datetime, dt.datetime | None]] = OrderedDict()

    def note(
        self, change: Change, names: tuple[str, str], evidence: bytes, appraisal: Appraisal, at: dt.datetime
    ) -> None:
        """Remember evidence by which a service was let in.

        Args:
            change: the transaction that lets it in.
            names: of session and service.
            evidence: the envelope.
            appraisal: what it came to.
            at: when.
        """
        machine = _machine(appraisal)
        if machine is None or self._is_noted((*names, machine), appraisal, at):
            return
        claims = appraisal.claims
        envelope = Envelope.from_json(evidence)
        rests = _to_json(envelope)
        quote = hashlib.sha256(rests).hexdigest()
        if change.kept(schema.quotes, quote) is None:
            change.keep(schema.quotes, rests, quote)
        found = Remembered(
            session=names[0],
            service=names[1],
            machine=machine,
            platform=claims.platform_name,
            at=int(at.timestamp()),
            quote=quote,
            report=base64.b64encode(envelope.report).decode("ascii"),
            signature=base64.b64encode(envelope.signature).decode("ascii"),
        )
        change.keep(schema.attestations, found.to_json(), *names, machine)

    def noted(self, names: tuple[str, str], appraisal: Appraisal, at: dt.datetime) -> None:
        """Say that the transaction of :meth:`note` was committed."""
        machine = _machine(appraisal)
        if machine is None:
            return
        key = (*names, machine)
        with self._lock:
            before = self._noted.get(key)
            if before is None or not self._same(before, appraisal, at):
                self._noted[key] = at, appraisal.until
                self._noted.move_to_end(key)
            if len(self._noted) > _NOTED_MAX:
                self._noted.popitem(last=False)

    def _is_noted(self, key: tuple[str, str, str], appraisal: Appraisal, at: dt.datetime) -> bool:
        with self._lock:
            before = self._noted.get(key)
        return before is not None and self._same(before, appraisal, at)

    @staticmethod
    def _same(before: tuple[dt.datetime, dt.datetime | None], appraisal: Appraisal, at: dt.datetime) -> bool:
        return before[1] == appraisal.until and dt.timedelta(0) <= at - before[0] < _ANEW


def _machine(appraisal: Appraisal) -> str | None:
    """Name the machine, or who vouches for it; None where nothing does that could end."""
    claims = appraisal.claims
    if claims.platform == SIMULATED and claims.rehearses is None:
        return None
    return claims.machine_id or f"attester {appraisal.attester}"


def recall(view: View) -> Iterator[Remembered]:
    """Give the last evidence of every service on every machine."""
    return (Remembered.from_json(each) for each in view.every(schema.attestations))


def recall_quote(view: View, quote: str) -> Envelope | None:
    """Give a quote and what came along with it, as an envelope without a report; None if it is not there."""
    found = view.kept(schema.quotes, quote)
    return None if found is None else _from_json(found)


def forget_old(change: Change, at: dt.datetime) -> int:
    """Forget machines that no evidence came from for long, and quotes that nothing rests on; give how many rows."""
    found = list(recall(change))
    oldest = (at - KEPT).timestamp()
    old = [each for each in found if each.at < oldest]
    for each in old:
        change.forget(schema.attestations, each.session, each.service, each.machine)
    used = {each.quote for each in found if each.at >= oldest}
    known = [hashlib.sha256(each).hexdigest() for each in change.every(schema.quotes)]
    unused = [each for each in known if each not in used]
    for quote in unused:
        change.forget(schema.quotes, quote)
    return len(old) + len(unused)


def _to_json(envelope: Envelope) -> bytes:
    return canonical_json(
        {
            "quote": quote_to_json(envelope.quote),
            "endorsements": base64.b64encode(envelope.endorsements).decode("ascii"),
        }
    )


def _from_json(data: bytes) -> Envelope:
    try:
        document = json.loads(data)
        return Envelope(
            report=b"",
            quote=quote_from_json(document["quote"]),
            signature=b"",
            endorsements=base64.b64decode(document["endorsements"], validate=True),
        )
    except (ValueError, TypeError, KeyError, EvidenceError) as error:
        raise IntegrityError("a remembered quote is malformed") from error
