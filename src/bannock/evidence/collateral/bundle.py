"""A bundle: all collateral that a CAS needs, in one file that it has signed, for machines without a network. Pure.

A bundle is a JWS in compact serialisation (RFC 7515), ES256, whose header carries the key of the CAS (``jwk``). Its
payload is JSON with the keys ``cas``, ``at`` (seconds since 1970), ``endorsements`` (a text, as
:mod:`bannock.evidence.endorsements` writes it) and ``missing`` (what could not be had, texts for people). All that is
in it is signed by vendors, too: the signature of the CAS says who put it together, and that nothing was taken out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import Bug, EvidenceError
from bannock.evidence.compact_jws import CompactJws, sign_compact
from bannock.evidence.endorsements import ENDORSEMENTS_BYTES_MAX, Endorsements
from bannock.evidence.key_set import jwk_of, key_of
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.net.tls import Identity
    from bannock.policy.canonical import JsonValue

__all__ = ["BUNDLE_BYTES_MAX", "Bundle", "open_bundle", "sign_bundle"]

#: Base64 of the most that endorsements may be, twice, and some more.
BUNDLE_BYTES_MAX: Final = 2 * ENDORSEMENTS_BYTES_MAX
_TYPE: Final = "bannock-collateral"
_HEADER_KEYS: Final = frozenset({"alg", "typ", "jwk"})
_PAYLOAD_KEYS: Final = frozenset({"cas", "at", "endorsements", "missing"})
_WHAT: Final = "bundle of collateral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a bundle says.

    Attributes:
        cas: who put it together.
        at: when.
        endorsements: what is in it.
        missing: what could not be had, for people.
    """

    cas: KeyHash
    at: datetime
    endorsements: Endorsements
    missing: tuple[str, ...] = ()


def sign_bundle(identity: Identity, endorsements: Endorsements, at: datetime, *, missing: Sequence[str] = ()) -> str:
    """Make a bundle."""
    key = identity.private_key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Bug("the key of a CAS is an elliptic curve key")
    payload: JsonValue = {
        "cas": str(identity.key_hash),
        "at": int(at.timestamp()),
        "endorsements": endorsements.to_json().decode("utf-8"),
        "missing": list(missing),
    }
    return sign_compact({"typ": _TYPE, "jwk": {**jwk_of(key.public_key())}}, payload, key)


def open_bundle(text: str, *, cas: KeyHash | None = None) -> Bundle:
    """Verify a bundle, and give what is in it.

    Args:
        text: the bundle.
        cas: who has to have signed it; None for anybody, who is named in what is given.

    Raises:
        EvidenceError: it is none, its signature does not hold, or somebody else signed it.
    """
    jws = CompactJws.parse(text.strip(), _WHAT, limit=BUNDLE_BYTES_MAX)
    if jws.header.keys() != _HEADER_KEYS or jws.header["typ"] != _TYPE:
        raise EvidenceError(f"a {_WHAT} has the type {_TYPE}")
    key = key_of(jws.header["jwk"])
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EvidenceError(f"the key of the {_WHAT} is no P-256 key")
    signer = KeyHash(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest())
    if cas is not None and signer != cas:
        raise EvidenceError(f"the {_WHAT} is of the CAS {signer}, expected {cas}")
    payload = jws.verify(key)
    at, endorsements, missing = (payload.get(name) for name in ("at", "endorsements", "missing"))
    known = payload.keys() == _PAYLOAD_KEYS and payload["cas"] == str(signer)
    told = isinstance(missing, list) and all(isinstance(each, str) for each in missing)
    if not known or not told or type(at) is not int or not isinstance(endorsements, str):
        raise EvidenceError(f"the {_WHAT} does not say what bundles say")
    try:
        when = datetime.fromtimestamp(at, UTC)
        encoded = endorsements.encode("utf-8")
    except (ValueError, OverflowError, OSError) as error:
        raise EvidenceError(f"the {_WHAT} does not say what bundles say") from error
    return Bundle(cas=signer, at=when, endorsements=Endorsements.from_json(encoded), missing=tuple(missing or ()))
