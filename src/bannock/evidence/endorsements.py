"""Endorsements: what vendors vouch for, as whoever verifies has it at hand. Pure.

Everything but :attr:`Endorsements.roots` is signed by a vendor and carries its own dates, so it may come from
anywhere: a directory, a cache, the vendor's service, or along with the evidence. What is trusted for its own sake is
set by who runs the verifier, and never travels.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self, TypeVar

from bannock.errors import EvidenceError
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ENDORSEMENTS_BYTES_MAX", "NO_ENDORSEMENTS", "Endorsements"]

FORMAT: Final = "bannock-endorsements-1"
ENDORSEMENTS_BYTES_MAX: Final = 8 << 20
_KEYS: Final = frozenset({"format", "dcap", "certificates", "crls"})
_ENTRIES_MAX: Final = 4096
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsements:
    """What vendors vouch for.

    Attributes:
        dcap: Intel's collateral for one family of processors each, in the JSON form of ``QuoteCollateralV3`` of
            dcap-qvl; of several for one family the newest counts.
        certificates: DER: of AMD chips (VCEK, VLEK, ASK, ASVK, ARK), of TPM manufacturers (intermediates, EK).
        crls: DER: of AMD and of TPM manufacturers. (Intel's are in its collateral.)
        roots: DER: certificates of authorities of TPM manufacturers that are trusted beside the built-in roots of
            Intel and AMD, and those of attestation keys' authorities (the CAS's own). They never travel.
    """

    dcap: tuple[str, ...] = ()
    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    roots: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.dcap or self.certificates or self.crls or self.roots)

    def merged(self, other: Endorsements) -> Endorsements:
        """Give these with what others add, once each; ours first. The roots stay ours: nobody adds to them."""
        return replace(
            self,
            dcap=_once((*self.dcap, *other.dcap)),
            certificates=_once((*self.certificates, *other.certificates)),
            crls=_once((*self.crls, *other.crls)),
        )

    def to_json(self) -> bytes:
        """Return the canonical form (RFC 8785) of what travels: all but the roots."""
        return canonical_json(
            {
                "format": FORMAT,
                "dcap": list(self.dcap),
                "certificates": [base64.b64encode(each).decode("ascii") for each in self.certificates],
                "crls": [base64.b64encode(each).decode("ascii") for each in self.crls],
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse what :meth:`to_json` gives.

        Raises:
            EvidenceError: it is anything else.
        """
        if len(data) > ENDORSEMENTS_BYTES_MAX:
            raise EvidenceError(f"endorsements have at most {ENDORSEMENTS_BYTES_MAX} bytes, found {len(data)}")
        try:
            fields = json.loads(data)
            if fields.keys() != _KEYS or fields["format"] != FORMAT:
                raise EvidenceError(f"endorsements have the keys {', '.join(sorted(_KEYS))}, their format {FORMAT}")
            found = cls(
                dcap=tuple(_text(each) for each in fields["dcap"]),
                certificates=tuple(base64.b64decode(each, validate=True) for each in fields["certificates"]),
                crls=tuple(base64.b64decode(each, validate=True) for each in fields["crls"]),
            )
            same = found.to_json() == data
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise EvidenceError("the endorsements are malformed") from error
        if not same:
            raise EvidenceError("the endorsements are not in their canonical form")
        if max(len(found.dcap), len(found.certificates), len(found.crls)) > _ENTRIES_MAX:
            raise EvidenceError(f"endorsements have at most {_ENTRIES_MAX} entries of a kind")
        return found


NO_ENDORSEMENTS: Final = Endorsements()


def _once(values: Iterable[_Value]) -> tuple[_Value, ...]:
    return tuple(dict.fromkeys(values))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
