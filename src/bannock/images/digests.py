"""Digests of blobs, as manifests write them, and streams that have to have them.

SHA-256 alone: it is what images are made with everywhere, and leaves an attacker nothing to choose.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, BinaryIO, Final

from bannock.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BLOCK", "blocks", "copied", "digest_of", "digest_of_stream", "hex_of", "parse_digest", "require_digest"]

#: Large enough that hashing and copying cost more than the calls do.
BLOCK: Final = 1 << 20
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def parse_digest(text: object) -> str:
    """Return a digest that is well-formed, as it is.

    Raises:
        InputError: it is not one; other algorithms than SHA-256 are not taken.
    """
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise InputError(f"a digest is sha256: and 64 hexadecimal digits in lower case, found {str(text)[:80]!r}")
    return text


def hex_of(digest: str) -> str:
    """Return the hexadecimal digits of a digest: its name in directories."""
    return parse_digest(digest).removeprefix("sha256:")


def digest_of(data: bytes) -> str:
    """Compute the digest of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of_stream(stream: BinaryIO) -> tuple[str, int]:
    """Compute digest and size of what is left in a stream."""
    sha, size = hashlib.sha256(), 0
    for block in blocks(stream):
        sha.update(block)
        size += len(block)
    return f"sha256:{sha.hexdigest()}", size


def blocks(stream: BinaryIO, size: int | None = None) -> Iterator[bytes]:
    """Yield what is left in a stream, or its next ``size`` bytes, in blocks.

    Raises:
        IntegrityError: the stream ends before ``size`` bytes came.
    """
    left = size
    while left is None or left > 0:
        block = stream.read(BLOCK if left is None else min(BLOCK, left))
        if not block:
            if left is not None:
                raise IntegrityError(f"cut short: {left} of {size} bytes are missing")
            return
        if left is not None:
            left -= len(block)
        yield block


def copied(stream: BinaryIO, target: BinaryIO, *, what: str, digest: str, size: int) -> None:
    """Copy a blob, and hold it against its digest and size while it goes by.

    Raises:
        IntegrityError: it is not what it has to be; at most ``size`` bytes were written.
    """
    sha = hashlib.sha256()
    for block in blocks(stream, size):
        sha.update(block)
        target.write(block)
    if stream.read(1):
        raise IntegrityError(f"{what} is longer than the {size} bytes that its descriptor names")
    require_digest(f"sha256:{sha.hexdigest()}", digest, what)


def require_digest(found: str, expected: str, what: str) -> None:
    """Raise IntegrityError where a digest is not the expected one."""
    if found != expected:
        raise IntegrityError(f"{what} is not what it was: expected {expected}, found {found}")
