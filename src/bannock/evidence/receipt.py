"""Receipts: what a CAS signs of each answer about a session, so that a client can tell when it is told less later.

A receipt is a JWS in compact serialisation (RFC 7515), ES256 (RFC 7518) under the key of the CAS, which its header
carries (``jwk``). Its payload is JSON with the keys ``cas``, ``session``, ``generation`` and ``hash``. Pure.

Each change of a session raises its generation by one. A client that keeps the newest receipt of a session refuses an
older generation, and another hash of the same generation: the CAS was rolled back, or there are two of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import Bug, EvidenceError, InputError, RollbackError
from bannock.evidence.compact_jws import ALGORITHM, CompactJws, sign_compact
from bannock.policy.base64url import base64url, unbase64url
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.net.tls import Identity
    from bannock.policy.canonical import JsonValue

__all__ = ["RECEIPT_CHARACTERS_MAX", "Receipt", "sign_receipt", "verify_receipt"]

RECEIPT_CHARACTERS_MAX: Final = 8192
_TYPE: Final = "bannock-receipt"
_NUMBER_BYTES: Final = 32
_HEADER_KEYS: Final = frozenset({"alg", "typ", "jwk"})
_JWK_KEYS: Final = frozenset({"kty", "crv", "x", "y"})
_PAYLOAD_KEYS: Final = frozenset({"cas", "session", "generation", "hash"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a CAS has said.

    Attributes:
        cas: who said it.
        session: the name of the session.
        generation: the number of the version, from 1.
        digest: its hash.
    """

    cas: KeyHash
    session: str
    generation: int
    digest: str

    def require_after(self, before: Self) -> None:
        """Accept this as a later answer of the same CAS on the same session, about its newest version.

        Raises:
            RollbackError: the CAS has said more before, or something else.
        """
        if (self.cas, self.session) != (before.cas, before.session):
            return
        if self.generation < before.generation:
            raise RollbackError(
                f"the CAS answers with version {self.generation} of session {self.session}, "
                f"and has answered with version {before.generation} before",
                hint="the CAS was rolled back, or is a stale copy: ask its operator before you rely on it",
            )
        if self.generation == before.generation and self.digest != before.digest:
            raise RollbackError(
                f"version {self.generation} of session {self.session} is {self.digest} now, and was {before.digest}",
                hint="there are two CASes with one key, or it was rolled back: ask its operator before you rely on it",
            )


def sign_receipt(identity: Identity, *, session: str, generation: int, digest: str) -> str:
    """Make the receipt of an answer."""
    private = identity.private_key
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise Bug("the key of a CAS is an elliptic curve key")
    numbers = private.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": _number(numbers.x), "y": _number(numbers.y)}
    payload: JsonValue = {
        "cas": str(identity.key_hash),
        "session": session,
        "generation": generation,
        "hash": digest,
    }
    return sign_compact({"typ": _TYPE, "jwk": {**jwk}}, payload, private)


def verify_receipt(text: str, cas: KeyHash) -> Receipt:
    """Verify a receipt and give what it says.

    Args:
        text: the receipt.
        cas: whose it has to be.

    Raises:
        EvidenceError: it is malformed, of another CAS, or its signature does not hold.
    """
    jws = CompactJws.parse(text, "receipt", limit=RECEIPT_CHARACTERS_MAX)
    if jws.header.keys() != _HEADER_KEYS or jws.header["typ"] != _TYPE:
        raise EvidenceError(f"the receipt is not a {_TYPE} with {ALGORITHM}")
    key = _key(jws.header["jwk"])
    found = KeyHash(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest())
    if found != cas:
        raise EvidenceError(f"the receipt is of the CAS {found}, expected {cas}")
    return _receipt(jws.verify(key), cas)


def _receipt(payload: Mapping[str, Any], cas: KeyHash) -> Receipt:
    session, generation, digest = (payload.get(name) for name in ("session", "generation", "hash"))
    if (
        payload.keys() != _PAYLOAD_KEYS
        or payload["cas"] != str(cas)
        or not isinstance(session, str)
        or type(generation) is not int
        or not isinstance(digest, str)
    ):
        raise EvidenceError("the receipt does not say what receipts say")
    return Receipt(cas=cas, session=session, generation=generation, digest=digest)


def _key(jwk: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(jwk, dict) or jwk.keys() != _JWK_KEYS or (jwk["kty"], jwk["crv"]) != ("EC", "P-256"):
        raise EvidenceError("the key of the receipt is no P-256 key")
    x, y = (_decode(jwk[name]) if isinstance(jwk[name], str) else b"" for name in ("x", "y"))
    try:
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
        return numbers.public_key()
    except ValueError:
        raise EvidenceError("the key of the receipt is no P-256 key") from None


def _number(value: int) -> str:
    return base64url(value.to_bytes(_NUMBER_BYTES, "big"))


def _decode(text: str) -> bytes:
    try:
        return unbase64url(text, "receipt")
    except InputError:
        raise EvidenceError("a part of the receipt is not base64url") from None
