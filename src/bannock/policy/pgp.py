"""OpenPGP keys: an Ed25519 key that signs and certifies, with a Curve25519 subkey that is encrypted to.

Pure; time and randomness come in. Version 4 keys as RFC 4880 and RFC 6637 have them, with the curves in the form that
GnuPG and others have used since before RFC 9580 (which calls it legacy): every program in use reads it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

from bannock.errors import IntegrityError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator

__all__ = ["armored_private", "armored_public", "make_pgp_key", "public_part"]

#: Packet tags (RFC 4880, section 4.3).
_SIGNATURE: Final = 2
_SECRET_KEY: Final = 5
_PUBLIC_KEY: Final = 6
_SECRET_SUBKEY: Final = 7
_USER_ID: Final = 13
_PUBLIC_SUBKEY: Final = 14

#: Public-key algorithms: ECDH (RFC 6637) and EdDSA (RFC 9580, section 9.1, "EdDSALegacy").
_ECDH: Final = 18
_EDDSA: Final = 22
_ED25519_OID: Final = bytes.fromhex("2b06010401da470f01")
_CURVE25519_OID: Final = bytes.fromhex("2b060104019755010501")
#: Key derivation of ECDH: SHA-256 and AES-128 to wrap with (RFC 9580, section 11.5.1, for Curve25519).
_KDF: Final = bytes([3, 1, 8, 7])
#: What precedes a point in its native form.
_NATIVE: Final = b"\x40"

#: Signature types (RFC 4880, section 5.2.1).
_POSITIVE_CERTIFICATION: Final = 0x13
_SUBKEY_BINDING: Final = 0x18

_SHA256: Final = 8
_AES256: Final = 9
_ZLIB: Final = 2
#: Subpackets (RFC 4880, section 5.2.3.1; 33 is of RFC 9580).
_CREATED: Final = 2
_PREFERRED_CIPHERS: Final = 11
_ISSUER: Final = 16
_PREFERRED_HASHES: Final = 21
_PREFERRED_COMPRESSION: Final = 22
_KEY_FLAGS: Final = 27
_FEATURES: Final = 30
_ISSUER_FINGERPRINT: Final = 33
_CERTIFIES_AND_SIGNS: Final = 0x03
_ENCRYPTS: Final = 0x0C
#: Messages to it carry a modification detection code.
_DETECTS_MODIFICATION: Final = 0x01

_SEED_BYTES: Final = 32
_USER_ID_BYTES: Final = 16
_LINE: Final = 64
#: Lengths of packets and subpackets below 192 are one octet (RFC 4880, section 4.2.2.1).
_ONE_OCTET: Final = 192
_TWO_OCTETS: Final = 8384


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """One key of the two: the part of its packet that is public, and the secret number."""

    public: bytes
    secret: bytes

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha1(_hashed_key(self.public), usedforsecurity=False).digest()

    @property
    def packet(self) -> bytes:
        number = _number(self.secret)
        # Not encrypted (0), so a check sum follows (RFC 4880, section 5.5.3).
        return self.public + b"\0" + number + (sum(number) & 0xFFFF).to_bytes(2, "big")


def make_pgp_key(random: Callable[[int], bytes], now: dt.datetime) -> bytes:
    """Make a key and give it as a transferable secret key, not encrypted.

    Args:
        random: gives as many unpredictable bytes as it is asked for.
        now: when it was created.
    """
    created = int(now.timestamp()).to_bytes(4, "big")
    signer = ed25519.Ed25519PrivateKey.from_private_bytes(random(_SEED_BYTES))
    primary = _Key(
        public=b"\x04"
        + created
        + bytes([_EDDSA, len(_ED25519_OID)])
        + _ED25519_OID
        + _number(_NATIVE + signer.public_key().public_bytes_raw()),
        secret=signer.private_bytes_raw(),
    )
    # A clamped number, as programs expect it of a key in a file (RFC 7748, section 5).
    clamped = bytearray(random(_SEED_BYTES))
    clamped[0] &= 0xF8
    clamped[-1] = clamped[-1] & 0x7F | 0x40
    point = x25519.X25519PrivateKey.from_private_bytes(bytes(clamped)).public_key().public_bytes_raw()
    subkey = _Key(
        public=b"\x04"
        + created
        + bytes([_ECDH, len(_CURVE25519_OID)])
        + _CURVE25519_OID
        + _number(_NATIVE + point)
        + _KDF,
        secret=bytes(reversed(clamped)),
    )
    # Random, and no address of mail, so that nothing about the session is in a key that is handed out.
    user_id = random(_USER_ID_BYTES).hex().encode("ascii")
    preferences = (
        _subpacket(_PREFERRED_CIPHERS, bytes([_AES256]))
        + _subpacket(_PREFERRED_HASHES, bytes([_SHA256]))
        + _subpacket(_PREFERRED_COMPRESSION, bytes([_ZLIB]))
        + _subpacket(_FEATURES, bytes([_DETECTS_MODIFICATION]))
    )
    certified = _hashed_key(primary.public) + b"\xb4" + len(user_id).to_bytes(4, "big") + user_id
    bound = _hashed_key(primary.public) + _hashed_key(subkey.public)
    certification = _sign(
        signer, primary, _POSITIVE_CERTIFICATION, certified, created, _flags(_CERTIFIES_AND_SIGNS) + preferences
    )
    binding = _sign(signer, primary, _SUBKEY_BINDING, bound, created, _flags(_ENCRYPTS))
    return b"".join(
        (
            _packet(_SECRET_KEY, primary.packet),
            _packet(_USER_ID, user_id),
            _packet(_SIGNATURE, certification),
            _packet(_SECRET_SUBKEY, subkey.packet),
            _packet(_SIGNATURE, binding),
        )
    )


def public_part(key: bytes) -> bytes:
    """Give the transferable public key of what :func:`make_pgp_key` made.

    Raises:
        IntegrityError: it is something else.
    """
    public = {_SECRET_KEY: _PUBLIC_KEY, _SECRET_SUBKEY: _PUBLIC_SUBKEY}
    found = b""
    try:
        for tag, body in _packets(key):
            found += _packet(public[tag], _without_secret(body)) if tag in public else _packet(tag, body)
    except IndexError:
        raise IntegrityError("a stored OpenPGP key is malformed") from None
    return found


def armored_private(key: bytes) -> bytes:
    """Write a secret key in ASCII armor."""
    return _armored("PGP PRIVATE KEY BLOCK", key)


def armored_public(key: bytes) -> bytes:
    """Write the public part of a secret key in ASCII armor."""
    return _armored("PGP PUBLIC KEY BLOCK", public_part(key))


def _sign(
    signer: ed25519.Ed25519PrivateKey, primary: _Key, kind: int, what: bytes, created: bytes, subpackets: bytes
) -> bytes:
    """Make the body of a version 4 signature (RFC 4880, sections 5.2.3 and 5.2.4)."""
    hashed = (
        _subpacket(_CREATED, created) + _subpacket(_ISSUER_FINGERPRINT, b"\x04" + primary.fingerprint) + subpackets
    )
    start = bytes([4, kind, _EDDSA, _SHA256]) + len(hashed).to_bytes(2, "big") + hashed
    digest = hashlib.sha256(what + start + b"\x04\xff" + len(start).to_bytes(4, "big")).digest()
    signature = signer.sign(digest)
    unhashed = _subpacket(_ISSUER, primary.fingerprint[-8:])
    return (
        start
        + len(unhashed).to_bytes(2, "big")
        + unhashed
        + digest[:2]
        + _number(signature[:32])
        + _number(signature[32:])
    )


def _hashed_key(public: bytes) -> bytes:
    return b"\x99" + len(public).to_bytes(2, "big") + public


def _flags(flags: int) -> bytes:
    return _subpacket(_KEY_FLAGS, bytes([flags]))


def _subpacket(kind: int, content: bytes) -> bytes:
    return bytes([1 + len(content), kind]) + content


def _number(value: bytes) -> bytes:
    """Write a multiprecision integer: its length in bits, and no leading zeros (RFC 4880, section 3.2)."""
    stripped = value.lstrip(b"\0")
    return int.from_bytes(stripped, "big").bit_length().to_bytes(2, "big") + stripped


def _packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag]) + _length(len(body)) + body


def _length(length: int) -> bytes:
    if length < _ONE_OCTET:
        return bytes([length])
    rest = length - _ONE_OCTET
    return bytes([(rest >> 8) + _ONE_OCTET, rest & 0xFF])


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split what :func:`_packet` put together."""
    position = 0
    while position < len(data):
        tag = data[position] & 0x3F
        first, second = (*data[position + 1 : position + 3], 0, 0)[:2]
        if first < _ONE_OCTET:
            length, start = first, position + 2
        else:
            length, start = ((first - _ONE_OCTET) << 8) + second + _ONE_OCTET, position + 3
        position = start + length
        if position > len(data) or length >= _TWO_OCTETS:
            raise IntegrityError("a stored OpenPGP key is malformed")
        yield tag, data[start:position]


def _without_secret(body: bytes) -> bytes:
    """Cut a secret key packet after its public part."""
    algorithm, oid = body[5], body[6]
    start = 7 + oid
    bits = int.from_bytes(body[start : start + 2], "big")
    end = start + 2 + (bits + 7) // 8
    return body[: end + (len(_KDF) if algorithm == _ECDH else 0)]


def _armored(title: str, data: bytes) -> bytes:
    text = base64.b64encode(data).decode("ascii")
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    check = base64.b64encode(_crc24(data).to_bytes(3, "big")).decode("ascii")
    return "\n".join((f"-----BEGIN {title}-----", "", *lines, f"={check}", f"-----END {title}-----", "")).encode(
        "ascii"
    )


def _crc24(data: bytes) -> int:
    """The check sum of ASCII armor (RFC 4880, section 6.1)."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc & 0xFFFFFF
