"""Private keys: made, read in every form that users have them in, and written as PKCS #8.

Pure; randomness comes in as a function, but for RSA, whose primes the library finds itself. A message never repeats
a key.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bannock.errors import Bug, InputError
from bannock.policy.secret_specs import KeyType
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "PrivateKey",
    "key_type_of",
    "make_private_key",
    "private_key_der",
    "private_key_pem",
    "read_private_key",
    "signature_hash",
]

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_CURVES: Final[dict[KeyType, ec.EllipticCurve]] = {KeyType.P256: ec.SECP256R1(), KeyType.P384: ec.SECP384R1()}
#: The orders of the groups (SP 800-186, section 3.2.1): private keys are between 1 and the order less one.
_ORDERS: Final = {
    KeyType.P256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    KeyType.P384: int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
}
_RSA_BITS: Final = {KeyType.RSA2048: 2048, KeyType.RSA3072: 3072}
_RSA_BITS_MIN: Final = 2048
_RSA_EXPONENT: Final = 65537
_ED25519_BYTES: Final = 32
#: One draw in 2^32 is beyond the order of P-256.
_DRAWS_MAX: Final = 64
#: A PKCS #8 key of 16384 bits has less.
_KEY_BYTES_MAX: Final = 1 << 16

#: The version of PKCS #8 with the public key beside the private one (RFC 5958), in which SCONE writes Ed25519 keys
#: and which the library does not read. Both fields have one length and one encoding.
_ED25519_WITH_PUBLIC_KEY: Final = re.compile(
    rb"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20(?P<private>.{32})\x81\x21\x00(?P<public>.{32})",
    re.DOTALL,
)
_PEM: Final = re.compile(rb"-----BEGIN PRIVATE KEY-----\s(?P<body>[A-Za-z0-9+/=\s]*)-----END PRIVATE KEY-----")


def make_private_key(key_type: KeyType, random: Callable[[int], bytes]) -> PrivateKey:
    """Make a key.

    Args:
        key_type: of which type.
        random: gives as many unpredictable bytes as it is asked for.
    """
    match key_type:
        case KeyType.P256 | KeyType.P384:
            return ec.derive_private_key(_scalar(_ORDERS[key_type], random), _CURVES[key_type])
        case KeyType.ED25519:
            return ed25519.Ed25519PrivateKey.from_private_bytes(random(_ED25519_BYTES))
        case KeyType.RSA2048 | KeyType.RSA3072:
            return rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS[key_type])
        case _:
            assert_never(key_type)


def read_private_key(text: bytes, *, known: bool = False) -> PrivateKey:
    """Read an unencrypted private key in PEM or DER, PKCS #8 or the older forms.

    Args:
        text: the key.
        known: it was made or read here before. That the parts of an RSA key fit together takes half a second to see,
            and need not be seen again.

    Raises:
        InputError: it is none, or one of a kind that is not supported.
    """
    if len(text) > _KEY_BYTES_MAX:
        raise InputError(f"a private key has at most {_KEY_BYTES_MAX} bytes, found {len(text)}")
    try:
        key = _load(text, known=known)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("expected a private key in PEM (PKCS #8), not encrypted") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _RSA_BITS_MIN:
        raise InputError(f"an RSA key has at least {_RSA_BITS_MIN} bits, found {key.key_size}")
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        raise InputError("expected a private key that is EC, Ed25519 or RSA")
    return key


def private_key_pem(key: PrivateKey) -> Secret:
    """Write a key as PKCS #8 in PEM."""
    return Secret(_written(key, serialization.Encoding.PEM))


def private_key_der(key: PrivateKey) -> Secret:
    """Write a key as PKCS #8 in DER."""
    return Secret(_written(key, serialization.Encoding.DER))


def key_type_of(key: PrivateKey) -> KeyType | None:
    """Say of which type a key is; None for one that CAS would not make."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return next((kind for kind, curve in _CURVES.items() if curve.name == key.curve.name), None)
        case ed25519.Ed25519PrivateKey():
            return KeyType.ED25519
        case rsa.RSAPrivateKey():
            return next((kind for kind, bits in _RSA_BITS.items() if bits == key.key_size), None)
        case _:
            assert_never(key)


def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """Give the hash that the key signs certificates with: as strong as the key, and none where it has its own."""
    match key:
        case ed25519.Ed25519PrivateKey():
            return None
        case ec.EllipticCurvePrivateKey() if key.key_size > 384:  # noqa: PLR2004 - P-521
            return hashes.SHA512()
        case ec.EllipticCurvePrivateKey() if key.key_size > 256:  # noqa: PLR2004 - P-384
            return hashes.SHA384()
        case _:
            return hashes.SHA256()


def _scalar(order: int, random: Callable[[int], bytes]) -> int:
    """Draw until a number fits, so that every one is equally likely (FIPS 186-5, A.2.2)."""
    for _ in range(_DRAWS_MAX):
        number = int.from_bytes(random((order.bit_length() + 7) // 8), "big")
        if 0 < number < order:
            return number
    raise Bug("the source of randomness gives no usable bytes")


def _load(text: bytes, *, known: bool) -> object:
    if b"-----BEGIN" not in text:
        return _load_der(text, known=known)
    pem = _PEM.search(text)
    if pem is not None:
        # Through DER, because of the one form that the library does not read.
        return _load_der(_unarmored(pem["body"]), known=known)
    return serialization.load_pem_private_key(text, password=None, unsafe_skip_rsa_key_validation=known)


def _load_der(data: bytes, *, known: bool) -> object:
    older = _ED25519_WITH_PUBLIC_KEY.fullmatch(data)
    if older is None:
        return serialization.load_der_private_key(data, password=None, unsafe_skip_rsa_key_validation=known)
    key = ed25519.Ed25519PrivateKey.from_private_bytes(older["private"])
    if key.public_key().public_bytes_raw() != older["public"]:
        raise ValueError("the public key is another one's")
    return key


def _unarmored(body: bytes) -> bytes:
    return base64.b64decode(b"".join(body.split()), validate=True)


def _written(key: PrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
