"""Public keys as JSON (JWK, RFC 7517, RFC 8037), and the sets of them that signers publish. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bannock.errors import EvidenceError, InputError
from bannock.evidence.compact_jws import ALGORITHM
from bannock.policy.base64url import base64url, unbase64url
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.canonical import JsonValue

__all__ = ["KEY_SET_BYTES_MAX", "JwkKey", "KeySet", "jwk_of", "key_of", "thumbprint"]

#: Keys that a JWK is made of here: what services have keys for TLS on, as far as they need no parameters.
JwkKey: TypeAlias = ec.EllipticCurvePublicKey | Ed25519PublicKey

KEY_SET_BYTES_MAX: Final = 64 << 10
_KEYS_MAX: Final = 64
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_ED25519: Final = "Ed25519"
_ED25519_BYTES: Final = 32
#: What a thumbprint is over (RFC 7638, section 3.2; RFC 8037, section 2).
_REQUIRED: Final = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


def jwk_of(key: JwkKey) -> dict[str, str]:
    """Give the members of a public key that are required.

    Raises:
        InputError: it is on another curve than P-256 and P-384.
    """
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": _ED25519, "x": base64url(key.public_bytes_raw())}
    name = next((name for name, curve in _CURVES.items() if curve.name == key.curve.name), None)
    if name is None:
        raise InputError(f"a key is on P-256, P-384 or Ed25519, found {key.curve.name}")
    size, numbers = (key.key_size + 7) // 8, key.public_numbers()
    x, y = (base64url(number.to_bytes(size, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": name, "x": x, "y": y}


def key_of(jwk: object) -> JwkKey:
    """Give the public key that a JWK is; members that say nothing of it are passed over.

    Raises:
        EvidenceError: it is none, or of another kind.
    """
    if not isinstance(jwk, dict) or "d" in jwk:
        raise EvidenceError("a JWK is an object with a public key")
    members: dict[str, Any] = jwk
    try:
        x = unbase64url(members.get("x"), "JWK")
        if (members.get("kty"), members.get("crv")) == ("OKP", _ED25519) and len(x) == _ED25519_BYTES:
            return Ed25519PublicKey.from_public_bytes(x)
        curve = _CURVES.get(str(members.get("crv")))
        if members.get("kty") != "EC" or curve is None:
            raise EvidenceError("a JWK has an EC key on P-256 or P-384, or an Ed25519 key")
        y, size = unbase64url(members.get("y"), "JWK"), (curve.key_size + 7) // 8
        if (len(x), len(y)) != (size, size):
            raise EvidenceError(f"the numbers of a JWK on {members.get('crv')} have {size} bytes")
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)
    except (InputError, ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceError("a JWK is malformed") from error


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Give the name of a key that follows from it (RFC 7638, SHA-256)."""
    members: dict[str, JsonValue] = {name: jwk[name] for name in _REQUIRED[jwk["kty"]]}
    return base64url(hashlib.sha256(canonical_json(members)).digest())


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys that tokens are signed with, by their names (``kid``)."""

    keys: Mapping[str, ec.EllipticCurvePublicKey]

    @classmethod
    def of(cls, *keys: ec.EllipticCurvePublicKey) -> Self:
        """Make a set of P-256 keys, each named by its thumbprint."""
        return cls({thumbprint(jwk_of(key)): key for key in keys})

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse a key set (RFC 7517, section 5); keys for other uses and of other kinds are passed over.

        Raises:
            EvidenceError: it is none, or has no key that a token could be signed with.
        """
        if len(data) > KEY_SET_BYTES_MAX:
            raise EvidenceError(f"a key set has at most {KEY_SET_BYTES_MAX} bytes, found {len(data)}")
        try:
            document = json.loads(data)
            listed = document["keys"]
            if not isinstance(listed, list) or len(listed) > _KEYS_MAX:
                raise EvidenceError(f"a key set has a list of at most {_KEYS_MAX} keys")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise EvidenceError("the key set is malformed") from error
        found: dict[str, ec.EllipticCurvePublicKey] = {}
        for jwk in listed:
            if not isinstance(jwk, dict) or (jwk.get("kty"), jwk.get("crv")) != ("EC", "P-256"):
                continue
            if jwk.get("use", "sig") == "sig" and jwk.get("alg", ALGORITHM) == ALGORITHM:
                key = cast("ec.EllipticCurvePublicKey", key_of(jwk))
                found[str(jwk.get("kid") or thumbprint(jwk_of(key)))] = key
        if not found:
            raise EvidenceError(f"the key set has no key for {ALGORITHM}")
        return cls(found)

    def to_document(self) -> dict[str, Any]:
        """Give the set as it is published."""
        return {
            "keys": [{**jwk_of(key), "kid": name, "use": "sig", "alg": ALGORITHM} for name, key in self.keys.items()]
        }

    def find(self, name: object) -> ec.EllipticCurvePublicKey:
        """Find a key by its name.

        Raises:
            EvidenceError: it is not in the set.
        """
        key = self.keys.get(name) if isinstance(name, str) else None
        if key is None:
            raise EvidenceError(
                f"the token is signed with the key {str(name)[:80]!r}, which is not in the key set",
                hint="fetch the key set of the CAS anew: /.well-known/jwks.json",
            )
        return key
