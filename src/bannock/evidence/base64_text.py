"""Bytes as they stand in evidence: base64 (RFC 4648, section 4) in JSON texts. Pure."""

from __future__ import annotations

import base64

from bannock.errors import EvidenceError

__all__ = ["to_bytes", "to_text"]


def to_text(data: bytes) -> str:
    """Write bytes."""
    return base64.b64encode(data).decode("ascii")


def to_bytes(text: object, name: str) -> bytes:
    """Read bytes.

    Args:
        text: anything that JSON has.
        name: of the part, for the error.

    Raises:
        EvidenceError: it is not a text, or not base64.
    """
    if not isinstance(text, str):
        raise EvidenceError(f"{name} of the evidence is a text in base64")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise EvidenceError(f"{name} of the evidence is not base64") from error
