"""Sessions that one CAS alone can read: the flattened JSON serialisation of a JWE (RFC 7516).

Pure but for the randomness of encryption. The algorithms are ECDH-ES on P-256, and AES-256-GCM; the header names the
key of the CAS that a session is meant for.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from bannock.errors import DeniedError, InputError
from bannock.policy._jose import exact, json_object, point_of
from bannock.policy.base64url import unbase64url
from bannock.values import KeyHash

__all__ = ["MEMBERS", "decrypt", "encrypt", "load_encryption_key"]

#: Explicit typing (RFC 8725 section 3.11): it is taken for nothing else.
_TYPE: Final = "bannock-session+jwe"
MEMBERS: Final = frozenset({"protected", "iv", "ciphertext", "tag"})
_ALGORITHMS: Final = ["ECDH-ES", "A256GCM"]


def load_encryption_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Load the key that sessions for a CAS are encrypted with from PEM SubjectPublicKeyInfo.

    Raises:
        InputError: it is anything else, or a key of another kind.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError("a session-encryption key is a P-256 public key in PEM ('-----BEGIN PUBLIC KEY-----')")
    return key


def encrypt(document: str, key: ec.EllipticCurvePublicKey) -> str:
    """Encrypt a document for the CAS whose session-encryption key this is.

    Sign it first: a CAS takes no encrypted session without a signature, because whoever copies it could post it as
    their own, and read it then.

    Raises:
        InputError: the document is no Unicode text.
    """
    from joserfc import jwe  # noqa: PLC0415 # slow to import, and seldom needed

    try:
        plain = document.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("a session is Unicode text") from None
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": _TYPE, "kid": str(_key_hash(key))}
    compact = jwe.encrypt_compact(header, plain, _jwk(key), algorithms=_ALGORITHMS)
    # In the compact serialisation an ECDH-ES JWE has an empty encrypted key, which RFC 7516 leaves out of JSON.
    protected, _, iv, ciphertext, tag = compact.split(".")
    return json.dumps({"protected": protected, "iv": iv, "ciphertext": ciphertext, "tag": tag}, indent=2) + "\n"


def decrypt(document: str, key: ec.EllipticCurvePrivateKey) -> str:
    """Decrypt what :func:`encrypt` gives.

    Raises:
        InputError: the document is malformed.
        DeniedError: it was encrypted for another key, or was changed.
    """
    from joserfc import jwe  # noqa: PLC0415 # slow to import, and seldom needed
    from joserfc.errors import JoseError  # noqa: PLC0415

    what = "encrypted session"
    members = exact(json_object(document, what), MEMBERS, what)
    for name in ("iv", "ciphertext", "tag"):
        unbase64url(members[name], f"{name} of the {what}")
    header = exact(
        json_object(unbase64url(members["protected"], what), "header"), {"alg", "enc", "typ", "kid", "epk"}, what
    )
    if (header["alg"], header["enc"], header["typ"]) != ("ECDH-ES", "A256GCM", _TYPE):
        raise InputError(f"an {what} has alg ECDH-ES, enc A256GCM and typ {_TYPE}")
    point_of(header["epk"], ec.SECP256R1(), "P-256", what)
    ours = _key_hash(key.public_key())
    if header["kid"] != str(ours):
        raise DeniedError(
            f"the session was encrypted for another CAS: for key {str(header['kid'])[:64]!r}, this one has {ours}",
            hint="scone cas show-identification --session-encryption-key gives the key of a CAS",
        )
    compact = ".".join([members["protected"], "", members["iv"], members["ciphertext"], members["tag"]])
    try:
        plain = jwe.decrypt_compact(compact, _jwk(key), algorithms=_ALGORITHMS).plaintext
        return (plain or b"").decode("utf-8")
    except (JoseError, ValueError):
        raise DeniedError("the encrypted session was changed, or is not for this CAS") from None


def _key_hash(key: ec.EllipticCurvePublicKey) -> KeyHash:
    return KeyHash(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest())


def _jwk(key: ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) -> Any:
    from joserfc.jwk import ECKey  # noqa: PLC0415 # slow to import, and seldom needed

    return ECKey(key, key)
