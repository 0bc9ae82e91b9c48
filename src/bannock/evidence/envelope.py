"""The envelope that evidence travels in: report, quote and signature, in exactly one byte form. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from bannock.errors import EvidenceError
from bannock.policy.canonical import canonical_json
from bannock.policy.claims import SIMULATED

__all__ = ["ENVELOPE_BYTES_MAX", "FORMAT", "Envelope", "SimQuote"]

FORMAT: Final = "bannock-evidence-1"
#: Quotes of hardware platforms with their certificates have up to about 20 KiB.
ENVELOPE_BYTES_MAX: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SimQuote:
    """The quote of platform ``sim``: a key that vouches for itself.

    Attributes:
        key: DER SubjectPublicKeyInfo of the LAS.
    """

    platform: ClassVar[str] = SIMULATED
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Evidence as it is sent.

    Attributes:
        report: the exact bytes that were signed.
        quote: what vouches for the signer, by platform.
        signature: over a prefix and the report.
    """

    report: bytes
    quote: SimQuote
    signature: bytes

    def to_json(self) -> bytes:
        """Return the canonical form (RFC 8785)."""
        return canonical_json(
            {
                "format": FORMAT,
                "report": _encode(self.report),
                "quote": {"platform": self.quote.platform, "key": _encode(self.quote.key)},
                "signature": _encode(self.signature),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse an envelope.

        Raises:
            EvidenceError: it is anything but what :meth:`to_json` gives, or of a platform that is not supported.
        """
        if len(data) > ENVELOPE_BYTES_MAX:
            raise EvidenceError(f"evidence has at most {ENVELOPE_BYTES_MAX} bytes, found {len(data)}")
        try:
            fields = json.loads(data)
            if fields["format"] != FORMAT:
                raise EvidenceError(f"evidence is of format {FORMAT}, found {str(fields['format'])[:40]!r}")
            platform = fields["quote"]["platform"]
            if platform != SIMULATED:
                raise EvidenceError(f"evidence of platform {str(platform)[:40]!r} is not supported")
            envelope = cls(
                report=_decode(fields["report"]),
                quote=SimQuote(key=_decode(fields["quote"]["key"])),
                signature=_decode(fields["signature"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise EvidenceError("the evidence is malformed") from error
        if envelope.to_json() != data:
            raise EvidenceError("the evidence is not in its canonical form")
        return envelope


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError(text)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise EvidenceError("a part of the evidence is not base64") from error
