"""Attesters: whoever turns a report into evidence, with a key that a platform's quote vouches for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import SimQuote

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from bannock.evidence.quotes import Quote
    from bannock.evidence.report import Report

__all__ = ["SIGNATURE_CONTEXT", "KeyAttester", "SimAttester", "key_binding"]

#: What is signed starts with this, so that the signature is good for nothing else.
SIGNATURE_CONTEXT: Final = b"bannock report 2\0"
_KEY_CONTEXT: Final = b"bannock attester key 1\0"


def key_binding(key: bytes) -> bytes:
    """Return the 64 bytes that a quote is bound to that vouches for a key; a TPM's is bound to the first 32.

    Args:
        key: DER SubjectPublicKeyInfo.
    """
    return hashlib.sha512(_KEY_CONTEXT + key).digest()


class KeyAttester:
    """Signs reports with a key that a quote vouches for.

    Args:
        key: of the attester.
        quote: gives the quote for the key, DER SubjectPublicKeyInfo, with the endorsements that come along; it is
            asked once, here.
    """

    def __init__(self, key: Ed25519PrivateKey, quote: Callable[[bytes], tuple[Quote, bytes]]) -> None:
        self._key = key
        self._public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._quote, self._endorsements = quote(self._public)

    @property
    def quote(self) -> Quote:
        """What vouches for the key."""
        return self._quote

    @property
    def endorsements(self) -> bytes:
        """What came along with the quote, in its canonical form; empty for nothing."""
        return self._endorsements

    def attest(self, report: Report) -> Envelope:
        """Return evidence for a report."""
        signed = report.to_json()
        return Envelope(
            report=signed,
            quote=self._quote,
            signature=self._key.sign(SIGNATURE_CONTEXT + signed),
            endorsements=self._endorsements,
        )


class SimAttester(KeyAttester):
    """Signs reports on a host without hardware protection: its key vouches for itself."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        super().__init__(key, lambda public: (SimQuote(key=public), b""))
