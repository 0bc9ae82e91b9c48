"""Attesters: whoever turns a report into evidence. On ``sim``, a key that vouches for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.evidence.envelope import Envelope, SimQuote

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from bannock.evidence.report import Report

__all__ = ["SIGNATURE_CONTEXT", "SimAttester"]

#: What is signed starts with this, so that the signature is good for nothing else.
SIGNATURE_CONTEXT: Final = b"bannock report 1\0"


class SimAttester:
    """Signs reports on a host without hardware protection."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def attest(self, report: Report) -> Envelope:
        """Return evidence for a report."""
        signed = report.to_json()
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        signature = self._key.sign(SIGNATURE_CONTEXT + signed)
        return Envelope(report=signed, quote=SimQuote(key=public), signature=signature)
