"""Base64url without padding (RFC 7515, section 2), as JOSE has it, with one text for one value.

Pure, and light to import.
"""

from __future__ import annotations

import base64

from bannock.errors import InputError

__all__ = ["base64url", "unbase64url"]


def base64url(data: bytes) -> str:
    """Encode bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unbase64url(text: object, what: str) -> bytes:
    """Decode text in the one form that its bytes have.

    Raises:
        InputError: it is no text, or in another form; the message names ``what`` and repeats nothing of it.
    """
    try:
        if isinstance(text, str):
            data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            # The library passes over what is not in its alphabet, and over bits that do not count.
            if base64url(data) == text:
                return data
    except ValueError:
        pass
    raise InputError(f"base64url without padding was expected in the {what}")
