"""Proof that who speaks on a connection has a private key beside the one of the connection. Pure.

The signature is over the exporter value of the connection (RFC 8446, section 7.5), so it is good for no other one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from bannock.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.evidence.key_set import JwkKey

__all__ = ["prove_key", "require_key"]

_CONTEXT: Final = b"bannock token key 1\0"
_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}


def prove_key(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey, exporter: bytes) -> bytes:
    """Sign for a connection with a key on P-256, P-384 or Ed25519."""
    message = _message(key.public_key(), exporter)
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, ec.ECDSA(_HASHES[key.curve.name]))


def require_key(public: bytes, proof: bytes, exporter: bytes) -> JwkKey:
    """Give a key whose private half is on the other side of a connection.

    Args:
        public: DER SubjectPublicKeyInfo.
        proof: what :func:`prove_key` gives.
        exporter: of the connection.

    Raises:
        EvidenceError: it is no such key, or the proof does not hold.
    """
    try:
        key = load_der_public_key(public)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EvidenceError("the key for the token is no DER SubjectPublicKeyInfo") from error
    if not isinstance(key, Ed25519PublicKey) and not (
        isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _HASHES
    ):
        raise EvidenceError(f"the key for a token is on P-256, P-384 or Ed25519, found {type(key).__name__}")
    message = _message(key, exporter)
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(proof, message)
        else:
            key.verify(proof, message, ec.ECDSA(_HASHES[key.curve.name]))
    except InvalidSignature:
        raise EvidenceError("the service does not prove to have the key that the token is to name") from None
    return key


def _message(key: JwkKey, exporter: bytes) -> bytes:
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _CONTEXT + exporter + hashlib.sha256(encoded).digest()
