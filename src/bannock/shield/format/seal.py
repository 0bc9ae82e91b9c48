"""Sealing: AES-256-GCM with random nonces, and the derivation of keys from the key of a volume.

A key seals far fewer than 2^32 messages, the bound for random 96-bit nonces (NIST SP 800-38D, 8.3): pages are
4 KiB, so the bound stands at 16 TiB of metadata written, and every file has a key of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from bannock.errors import IntegrityError

if TYPE_CHECKING:
    from bannock.values import FspfKey

__all__ = [
    "KEY_BYTES",
    "NONCE_BYTES",
    "TAG_BYTES",
    "Authenticator",
    "RandomBytes",
    "Sealer",
    "page_sealer",
    "public_page_sealer",
]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16

#: Where nonces and keys come from; ``os.urandom`` outside of tests.
RandomBytes: TypeAlias = Callable[[int], bytes]


class Sealer:
    """One AES-256-GCM key."""

    __slots__ = ("_cipher", "_random")

    def __init__(self, key: bytes, random: RandomBytes) -> None:
        self._cipher = AESGCM(key)
        self._random = random

    def seal(self, data: bytes | bytearray | memoryview, context: bytes) -> tuple[bytes, bytes, bytes]:
        """Return nonce, tag and ciphertext, which is as long as the data; ``context`` is authenticated with it."""
        nonce = self._random(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, data, context)
        return nonce, sealed[-TAG_BYTES:], sealed[:-TAG_BYTES]

    def seal_into(self, data: bytes | bytearray | memoryview, context: bytes, into: memoryview) -> tuple[bytes, bytes]:
        """Put the ciphertext and the tag into a buffer of just that size; return nonce and tag."""
        nonce = self._random(NONCE_BYTES)
        self._cipher.encrypt_into(nonce, data, context, into)
        return nonce, bytes(into[-TAG_BYTES:])

    def unseal(self, nonce: bytes, tag: bytes, sealed: bytes, context: bytes) -> bytes:
        """Return the data.

        Raises:
            IntegrityError: data, nonce, tag or context are not those that were sealed.
        """
        try:
            return self._cipher.decrypt(nonce, sealed + tag, context)
        except InvalidTag:
            raise IntegrityError("sealed data is not authentic") from None

    def unseal_into(self, nonce: bytes, sealed_and_tag: memoryview, context: bytes, into: memoryview) -> None:
        """Put the data into a buffer of just its size.

        Raises:
            IntegrityError: as :meth:`unseal`; the buffer's content is then meaningless.
        """
        try:
            self._cipher.decrypt_into(nonce, sealed_and_tag, context, into)
        except InvalidTag:
            raise IntegrityError("sealed data is not authentic") from None


class Authenticator(Sealer):
    """One AES key that authenticates and does not encrypt: the data is additional data of AES-GCM, over no text."""

    __slots__ = ()

    def seal_into(self, data: bytes | bytearray | memoryview, context: bytes, into: memoryview) -> tuple[bytes, bytes]:
        """Put the data and the tag into a buffer of just that size; return nonce and tag."""
        nonce = self._random(NONCE_BYTES)
        tag = self._cipher.encrypt(nonce, b"", b"".join((context, data)))
        into[:-TAG_BYTES], into[-TAG_BYTES:] = data, tag
        return nonce, tag

    def unseal_into(self, nonce: bytes, sealed_and_tag: memoryview, context: bytes, into: memoryview) -> None:
        """Check the data and put it into a buffer of just its size.

        Raises:
            IntegrityError: as :meth:`Sealer.unseal`.
        """
        data, tag = sealed_and_tag[:-TAG_BYTES], sealed_and_tag[-TAG_BYTES:]
        into[:] = data
        try:
            self._cipher.decrypt(nonce, tag, b"".join((context, into)))
        except InvalidTag:
            raise IntegrityError("authenticated data is not what was written") from None


def page_sealer(key: FspfKey, random: RandomBytes) -> Sealer:
    """Derive the cipher of a protection file's pages (HKDF-Expand, RFC 5869; the key is uniform already)."""
    return _derive(key.reveal(), b"bannock fspf 1 pages", random)


def public_page_sealer(random: RandomBytes) -> Sealer:
    """Return the cipher of a protection file that is not encrypted yet: with a key that everybody has."""
    return _derive(bytes(KEY_BYTES), b"bannock fspf 1 public pages", random)


def _derive(key: bytes, info: bytes, random: RandomBytes) -> Sealer:
    expand = HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=info)
    return Sealer(expand.derive(key), random)
