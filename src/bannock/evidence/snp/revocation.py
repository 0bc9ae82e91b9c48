"""AMD's lists of revoked certificates (RFC 5280, chapter 5), and what they say of a chain. Pure.

They are read by our own reader, as AMD's certificates are: at some of what a host might send the library warns, or
raises what is no ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import EvidenceError
from bannock.evidence.der import Der, signed_parts
from bannock.evidence.snp.certificates import is_signed_by, time_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from bannock.evidence.snp.certificates import VendorCertificate
    from bannock.evidence.snp.chain import Chain

__all__ = ["Revocation", "RevocationList", "find_revocation"]

_WHAT: Final = "a list of revoked certificates of AMD"
#: Intermediates are few, and so are those that were revoked.
_LIST_BYTES_MAX: Final = 1 << 20
_TIMES: Final = (0x17, 0x18)
_EXTENSIONS: Final = 0xA0
_VERSION_2: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What lists of revoked certificates say of a chain: that it is not revoked.

    Attributes:
        until: when the next list is due; None where there is no list at hand, and nothing is known.
    """

    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """One list; its signature was not verified.

    Attributes:
        issuer: name, DER.
        issued: since when it is in force.
        due: when the next one is to be expected; None where it does not say.
        revoked: serial number → since when.
        signed, signature: what its issuer signed, and how.
    """

    issuer: bytes = field(repr=False)
    issued: datetime
    due: datetime | None
    revoked: Mapping[int, datetime]
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @classmethod
    def from_der(cls, data: bytes) -> Self:
        """Parse one.

        Raises:
            EvidenceError: it is malformed, or not of the kind that AMD issues.
        """
        if len(data) > _LIST_BYTES_MAX:
            raise EvidenceError(f"{_WHAT} has at most {_LIST_BYTES_MAX} bytes, found {len(data)}")
        content, signed, algorithm, signature = signed_parts(data, _WHAT)
        body = Der(content, _WHAT)
        if body.next_is(Der.INTEGER) and body.integer() != _VERSION_2:
            raise EvidenceError(f"{_WHAT} is of version 1 or 2")
        if body.element(Der.SEQUENCE)[2] != algorithm:
            raise EvidenceError(f"{_WHAT} names one way of signing, and is signed in another")
        _, _, issuer = body.element(Der.SEQUENCE)
        issued = time_of(body)
        due = time_of(body) if body.next_is(*_TIMES) else None
        revoked = _entries(body.inside(Der.SEQUENCE)) if body.next_is(Der.SEQUENCE) else {}
        _require_known(body)
        body.end()
        return cls(issuer=issuer, issued=issued, due=due, revoked=revoked, signed=signed, signature=signature)


def find_revocation(chain: Chain, lists: Iterable[bytes], at: datetime) -> Revocation:
    """Look a chain up in the lists of revoked certificates of its root.

    Args:
        chain: whose signatures hold.
        lists: DER, of whomever; those that are not of the chain's root are passed over.
        at: the time of the verdict.

    Raises:
        EvidenceError: its intermediate is revoked, or the newest list is past its date.
    """
    due = [_judged(each, chain, at) for each in _authentic(chain.root, lists) if each.issued <= at]
    if not due:
        return Revocation(until=None)
    newest = max(due)
    if newest < at:
        raise EvidenceError(
            f"the list of revoked certificates of {chain.root.name} is past its date: "
            f"its next update was due on {newest:%Y-%m-%d}, and it is {at:%Y-%m-%d}",
            hint="AMD's service (kdsintf.amd.com) gives the next one; or give it with the collateral",
        )
    return Revocation(until=newest)


def _judged(found: RevocationList, chain: Chain, at: datetime) -> datetime:
    """Refuse what a list revokes, even an old one: nothing that was revoked becomes good again."""
    since = found.revoked.get(chain.intermediate.serial)
    if since is not None and since <= at:
        raise EvidenceError(
            f"certificate {chain.intermediate.name} of the SEV-SNP chain was revoked by {chain.root.name} "
            f"on {since:%Y-%m-%d}"
        )
    if found.due is None:
        raise EvidenceError(f"the list of revoked certificates of {chain.root.name} does not say when the next is due")
    return found.due


def _authentic(root: VendorCertificate, encoded: Iterable[bytes]) -> list[RevocationList]:
    """Give the lists that a root signed; what else there is belongs to others."""
    found = []
    for each in encoded:
        try:
            parsed = RevocationList.from_der(each)
        except EvidenceError:
            continue
        if parsed.issuer == root.subject and is_signed_by(parsed.signed, parsed.signature, root.key):
            found.append(parsed)
    return found


def _entries(listed: Der) -> dict[int, datetime]:
    found: dict[int, datetime] = {}
    for entry in listed.each(Der.SEQUENCE):
        serial, since = entry.integer(), time_of(entry)
        found[serial] = min(since, found.get(serial, since))
        entry.optional(Der.SEQUENCE)
        entry.end()
    return found


def _require_known(body: Der) -> None:
    """Refuse lists of a part only (of some certificates, or of changes), which say so by critical extensions."""
    if not body:
        return
    for extension in body.inside(_EXTENSIONS).inside(Der.SEQUENCE).each(Der.SEQUENCE):
        oid = extension.oid()
        if extension.next_is(Der.BOOLEAN) and extension.boolean():
            raise EvidenceError(f"{_WHAT} has the critical extension {oid}, which is not known")
        extension.read(Der.OCTET_STRING)
        extension.end()
