"""Entries of access policies: keywords, key hashes and certificates.

Pure.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from bannock.errors import InputError
from bannock.policy.rules import Keyword
from bannock.values import KeyHash

if TYPE_CHECKING:
    from bannock.policy.rules import AccessRule

__all__ = ["access_entry"]

_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"


def access_entry(text: str) -> AccessRule:
    """Parse one entry.

    A certificate stands for its public key, so that it can be renewed without a new session.

    Raises:
        InputError: it is none of the forms that are allowed.
    """
    if text in set(Keyword):
        return Keyword(text)
    if text.lstrip().startswith(_CERTIFICATE):
        return _certificate_key(text)
    try:
        return KeyHash.from_base58(text)
    except InputError:
        raise InputError("CREATOR, ANY, NONE, a key hash in base58 or a certificate in PEM") from None


def _certificate_key(text: str) -> KeyHash:
    try:
        certificate = x509.load_pem_x509_certificate(text.encode("utf-8"))
        public = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("a certificate in PEM whose key is of a known kind") from None
    return KeyHash(hashlib.sha256(public).digest())
