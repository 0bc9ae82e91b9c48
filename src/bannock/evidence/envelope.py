"""The envelope that evidence travels in: report, quote and signature, in exactly one byte form. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Self

from bannock.errors import EvidenceError
from bannock.evidence.base64_text import to_bytes, to_text
from bannock.evidence.quotes import Quote, quote_from_json, quote_to_json
from bannock.policy.canonical import canonical_json

__all__ = ["ENVELOPE_BYTES_MAX", "FORMAT", "Envelope"]

FORMAT: Final = "bannock-evidence-2"
#: Quotes of hardware platforms with their certificates have up to about 20 KiB, with all that Intel vouches for about
#: 40 KiB; event logs of firmware up to 64 KiB. All of it in base64, some of it twice.
ENVELOPE_BYTES_MAX: Final = 512 << 10
_KEYS: Final = frozenset({"format", "report", "quote", "signature", "endorsements"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Evidence as it is sent.

    Attributes:
        report: the exact bytes that were signed.
        quote: what vouches for the signer, by platform.
        signature: over a prefix and the report, by the key that the quote vouches for; empty on SGX, where the quote
            carries the report.
        endorsements: what came along from the vendor (:class:`~bannock.evidence.endorsements.Endorsements`), in its
            canonical form; empty for nothing.
    """

    report: bytes
    quote: Quote
    signature: bytes
    endorsements: bytes = b""

    def to_json(self) -> bytes:
        """Return the canonical form (RFC 8785)."""
        return canonical_json(
            {
                "format": FORMAT,
                "report": to_text(self.report),
                "quote": quote_to_json(self.quote),
                "signature": to_text(self.signature),
                "endorsements": to_text(self.endorsements),
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
            if fields.keys() != _KEYS:
                raise EvidenceError(f"evidence has the parts {', '.join(sorted(_KEYS))}")
            envelope = cls(
                report=to_bytes(fields["report"], "report"),
                quote=quote_from_json(fields["quote"]),
                signature=to_bytes(fields["signature"], "signature"),
                endorsements=to_bytes(fields["endorsements"], "endorsements"),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise EvidenceError("the evidence is malformed") from error
        if envelope.to_json() != data:
            raise EvidenceError("the evidence is not in its canonical form")
        return envelope
