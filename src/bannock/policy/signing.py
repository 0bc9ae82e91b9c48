"""Sessions that carry signatures (JWS, RFC 7515).

Pure. A signed session is the general JSON serialisation of a JWS, so it may have several signatures. The payload is an
object: ``session`` is the text of the document, its variables replaced, and ``creator`` the public key of whoever
signed first. Every signature has its algorithm and key in the protected header: ``Ed25519`` (RFC 8037, RFC 9864) or
``ES384`` (RFC 7518), and nothing else. Which signers are trusted is for access policies to say, not for this module.

What is encrypted is in :mod:`bannock.policy.encryption`; its names are here too, as one signs first and encrypts then.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from bannock.errors import DeniedError, InputError
from bannock.policy._jose import exact, json_object, point_of
from bannock.policy.base64url import base64url, unbase64url
from bannock.policy.canonical import canonical_json
from bannock.policy.encryption import MEMBERS, decrypt, encrypt, load_encryption_key
from bannock.values import KeyHash

__all__ = [
    "Form",
    "SignedSession",
    "SignerKey",
    "SigningKey",
    "add_signature",
    "decrypt",
    "encrypt",
    "form_of",
    "load_encryption_key",
    "load_signer",
    "sign",
    "signer_bytes",
    "signer_hash",
    "signing_message",
    "verify",
]

SignerKey: TypeAlias = Ed25519PublicKey | ec.EllipticCurvePublicKey
SigningKey: TypeAlias = Ed25519PrivateKey | ec.EllipticCurvePrivateKey

#: Explicit typing (RFC 8725 section 3.11): a signature over anything else is never taken for one over a session.
_SIGNED_TYPE: Final = "bannock-session+jws"
_SIGNED_MEMBERS: Final = frozenset({"payload", "signatures"})

#: Boards that sign sessions are of people; the bound keeps a hostile document from costing a CAS more than a moment.
SIGNATURES_MAX: Final = 64
_ED25519_BYTES: Final = 32
_P384_BYTES: Final = 48


class Form(StrEnum):
    """What a document that is posted as a session can be."""

    PLAIN = "plain"
    SIGNED = "signed"
    ENCRYPTED = "encrypted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedSession:
    """A session whose signatures all hold.

    Attributes:
        text: of the session document.
        creator: the key of whoever signed first, DER SubjectPublicKeyInfo; one of the signers.
        signers: the keys of all who signed.
    """

    text: str = field(repr=False)
    creator: bytes
    signers: frozenset[bytes]


def form_of(document: str) -> Form:
    """Tell a session document in YAML (of which JSON is a part) from a signed and from an encrypted one."""
    try:
        members = json_object(document, "document")
    except InputError:
        return Form.PLAIN
    if members.keys() >= _SIGNED_MEMBERS:
        return Form.SIGNED
    return Form.ENCRYPTED if members.keys() >= MEMBERS else Form.PLAIN


def sign(document: str, key: SigningKey) -> str:
    """Add a signature to a session, signed already or not.

    Args:
        document: a signed session, or the text of one with its variables replaced.
        key: Ed25519 or P-384.

    Raises:
        InputError: the document is not usable, or this key has signed it already.
        DeniedError: a signature that is there does not hold.
    """
    signer = key.public_key()
    message = signing_message(document, signer)
    if isinstance(key, Ed25519PrivateKey):
        return add_signature(document, signer, key.sign(message))
    return add_signature(document, signer, key.sign(message, ec.ECDSA(hashes.SHA384())))


def signing_message(document: str, signer: SignerKey) -> bytes:
    """Give the bytes that a signer has to sign: the JWS signing input.

    A session that has no signature yet gets this signer as its creator.

    Raises:
        InputError: the document is not usable, or the key is of another kind.
    """
    payload = _payload_of(document, signer)
    return _signing_input(_header(signer), payload)


def add_signature(document: str, signer: SignerKey, signature: bytes) -> str:
    """Add a signature that was made elsewhere over :func:`signing_message`.

    A P-384 signature may have the DER form, as OpenSSL writes it, or that of RFC 7518.

    Raises:
        InputError: the document is not usable, or this key has signed it already.
        DeniedError: the signature does not hold, or one that is there does not.
    """
    signatures: list[Any] = []
    if form_of(document) is Form.SIGNED:
        if signer_bytes(signer) in verify(document).signers:
            raise InputError(f"the session has a signature of {signer_hash(signer)} already")
        signatures = list(json_object(document, "signed session")["signatures"])
    payload = _payload_of(document, signer)
    header = _header(signer)
    raw = _jws_signature(signer, signature)
    if not _holds(signer, raw, _signing_input(header, payload)):
        raise DeniedError(
            f"the signature is not one by {signer_hash(signer)} over this session",
            hint="sign the bytes that generate-message-to-be-signed gives for this very file, variables and key",
        )
    signatures.append({"protected": header, "signature": base64url(raw)})
    if len(signatures) > SIGNATURES_MAX:
        raise InputError(f"a session has at most {SIGNATURES_MAX} signatures")
    return json.dumps({"payload": payload, "signatures": signatures}, indent=2) + "\n"


def verify(document: str) -> SignedSession:
    """Verify every signature of a signed session; one that does not hold is never passed over.

    Raises:
        InputError: the document is malformed.
        DeniedError: a signature does not hold.
    """
    members = exact(json_object(document, "signed session"), _SIGNED_MEMBERS, "signed session")
    payload, signatures = members["payload"], members["signatures"]
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= SIGNATURES_MAX:
        raise InputError(f"a signed session has from 1 to {SIGNATURES_MAX} signatures")
    text, creator = _unpacked(payload)
    signers: set[bytes] = set()
    for number, item in enumerate(signatures, start=1):
        place = f"signature {number} of {len(signatures)}"
        entry = exact(item, {"protected", "signature"}, place)
        signer = _signer_of(entry["protected"], place)
        if not _holds(signer, unbase64url(entry["signature"], place), _signing_input(entry["protected"], payload)):
            raise DeniedError(f"{place}, of {signer_hash(signer)}, does not hold for this session")
        signers.add(signer_bytes(signer))
    if creator not in signers:
        raise DeniedError(f"the creator of the session, {_hash(creator)}, is not among those who signed it")
    return SignedSession(text=text, creator=creator, signers=frozenset(signers))


def load_signer(pem: bytes) -> SignerKey:
    """Load the public key of a signer from PEM SubjectPublicKeyInfo.

    Raises:
        InputError: it is anything else, or a key of another kind.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("a signer is a public key in PEM ('-----BEGIN PUBLIC KEY-----')") from None
    return _require_signer(key)


def signer_bytes(signer: SignerKey) -> bytes:
    """Give the DER SubjectPublicKeyInfo of a key."""
    return signer.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def signer_hash(signer: SignerKey) -> KeyHash:
    """Give the hash that names a key to people."""
    return _hash(signer_bytes(signer))


def _payload_of(document: str, signer: SignerKey) -> str:
    _require_signer(signer)
    match form_of(document):
        case Form.SIGNED:
            payload = str(json_object(document, "signed session")["payload"])
            _unpacked(payload)
            return payload
        case Form.ENCRYPTED:
            raise InputError("the session is encrypted already: it is signed first, and encrypted then")
        case Form.PLAIN:
            return base64url(canonical_json({"creator": _standard(signer_bytes(signer)), "session": document}))


def _unpacked(payload: object) -> tuple[str, bytes]:
    what = "payload of the signed session"
    members = exact(json_object(unbase64url(payload, what), what), {"creator", "session"}, what)
    text, creator = members["session"], members["creator"]
    if not isinstance(text, str) or not isinstance(creator, str):
        raise InputError(f"the {what} has texts as creator and session")
    try:
        text.encode("utf-8")
        key = load_der_public_key(base64.b64decode(creator, validate=True))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(f"the {what} is Unicode text, and its creator a public key in base64") from None
    der = signer_bytes(_require_signer(key))
    if _standard(der) != creator:
        raise InputError(f"the creator in the {what} is not in its one form")
    return text, der


def _header(signer: SignerKey) -> str:
    jwk: dict[str, Any]
    if isinstance(signer, Ed25519PublicKey):
        algorithm = "Ed25519"
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(signer.public_bytes_raw())}
    else:
        algorithm = "ES384"
        numbers = signer.public_numbers()
        x, y = (base64url(number.to_bytes(_P384_BYTES, "big")) for number in (numbers.x, numbers.y))
        jwk = {"kty": "EC", "crv": "P-384", "x": x, "y": y}
    return base64url(canonical_json({"alg": algorithm, "jwk": jwk, "typ": _SIGNED_TYPE}))


def _signer_of(protected: object, place: str) -> SignerKey:
    header = exact(
        json_object(unbase64url(protected, place), f"header of {place}"), {"alg", "jwk", "typ"}, f"header of {place}"
    )
    if header["typ"] != _SIGNED_TYPE:
        raise InputError(f"the header of {place} has typ {_SIGNED_TYPE}")
    match header["alg"]:
        case "Ed25519":
            jwk = exact(header["jwk"], {"kty", "crv", "x"}, f"jwk of {place}")
            x = unbase64url(jwk["x"], place)
            if (jwk["kty"], jwk["crv"], len(x)) != ("OKP", "Ed25519", _ED25519_BYTES):
                raise InputError(f"the jwk of {place} is not an Ed25519 key")
            return Ed25519PublicKey.from_public_bytes(x)
        case "ES384":
            return point_of(header["jwk"], ec.SECP384R1(), "P-384", place)
        case _:
            raise InputError(f"the algorithm of {place} is Ed25519 or ES384")


def _require_signer(key: object) -> SignerKey:
    if isinstance(key, Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1):
        return key
    raise InputError("sessions are signed with Ed25519 or P-384 keys, this key is of another kind")


def _jws_signature(signer: SignerKey, signature: bytes) -> bytes:
    """Give a signature the form of RFC 7518 section 3.4: both numbers of an ECDSA signature at their full length."""
    if isinstance(signer, Ed25519PublicKey) or len(signature) == 2 * _P384_BYTES:
        return signature
    try:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(_P384_BYTES, "big") + s.to_bytes(_P384_BYTES, "big")
    except (ValueError, OverflowError):
        raise DeniedError("the signature is not one of a P-384 key, neither in DER nor as two numbers") from None


def _holds(signer: SignerKey, signature: bytes, message: bytes) -> bool:
    try:
        if isinstance(signer, Ed25519PublicKey):
            signer.verify(signature, message)
            return True
        if len(signature) != 2 * _P384_BYTES:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:_P384_BYTES], signature[_P384_BYTES:]))
        signer.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True


def _signing_input(header: str, payload: str) -> bytes:
    return f"{header}.{payload}".encode("ascii")


def _standard(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hash(der: bytes) -> KeyHash:
    return KeyHash(hashlib.sha256(der).digest())
