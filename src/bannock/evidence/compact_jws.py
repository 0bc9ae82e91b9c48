"""Compact JWS with ES256 (RFC 7515, RFC 7518): what a CAS signs for others, and what others verify. Pure.

Only the form and the signature: what is signed, and whose key it has to be, is for those who use it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from bannock.errors import Bug, EvidenceError, InputError
from bannock.policy.base64url import base64url, unbase64url
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.canonical import JsonValue

__all__ = ["ALGORITHM", "CompactJws", "sign_compact"]

ALGORITHM: Final = "ES256"
_PARTS: Final = 3
_NUMBER_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 2 * _NUMBER_BYTES


def sign_compact(header: Mapping[str, JsonValue], payload: JsonValue, key: ec.EllipticCurvePrivateKey) -> str:
    """Sign a JSON value.

    Args:
        header: without its algorithm.
        payload: what is signed, in its canonical form.
        key: on P-256.
    """
    if not isinstance(key.curve, ec.SECP256R1):
        raise Bug(f"{ALGORITHM} signs with a P-256 key, found {key.curve.name}")
    signed = ".".join(base64url(canonical_json(part)) for part in ({"alg": ALGORITHM, **header}, payload))
    r, s = decode_dss_signature(key.sign(signed.encode("ascii"), ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(_NUMBER_BYTES, "big") + s.to_bytes(_NUMBER_BYTES, "big")
    return f"{signed}.{base64url(signature)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactJws:
    """A compact JWS that was taken apart; nothing of it is believed before :meth:`verify`.

    Attributes:
        what: it is, for messages.
        header: with its algorithm, which is ES256.
        signed: the bytes that are signed.
        signature: the two numbers of ECDSA, 32 bytes each.
    """

    what: str
    header: Mapping[str, Any]
    signed: bytes
    signature: bytes
    _payload: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str, what: str, *, limit: int) -> Self:
        """Take one apart.

        Args:
            text: the JWS.
            what: it is, for messages.
            limit: how many characters it may have.

        Raises:
            EvidenceError: it is none, or has another algorithm, or critical extensions.
        """
        parts = text.split(".") if len(text) <= limit else []
        if len(parts) != _PARTS:
            raise EvidenceError(f"the {what} is no compact JWS of at most {limit} characters")
        header, payload = (_object(_decode(part, what), what) for part in parts[:2])
        # What a header declares critical changes what the signature means (RFC 7515, section 4.1.11).
        if header.get("alg") != ALGORITHM or "crit" in header:
            raise EvidenceError(f"the {what} is not signed with {ALGORITHM}")
        signature = _decode(parts[2], what)
        if len(signature) != _SIGNATURE_BYTES:
            raise EvidenceError(f"the signature of the {what} is malformed")
        signed = f"{parts[0]}.{parts[1]}".encode("ascii")
        return cls(what=what, header=header, signed=signed, signature=signature, _payload=payload)

    def verify(self, key: ec.EllipticCurvePublicKey) -> Mapping[str, Any]:
        """Give what is signed.

        Raises:
            EvidenceError: the signature does not hold under the key.
        """
        r, s = (
            int.from_bytes(half, "big") for half in (self.signature[:_NUMBER_BYTES], self.signature[_NUMBER_BYTES:])
        )
        try:
            key.verify(encode_dss_signature(r, s), self.signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise EvidenceError(f"the signature of the {self.what} does not verify under the key of the CAS") from None
        return self._payload


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise EvidenceError(f"a part of the {what} is no JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _decode(text: str, what: str) -> bytes:
    try:
        return unbase64url(text, what)
    except InputError:
        raise EvidenceError(f"a part of the {what} is not base64url") from None
