"""Sealing: what the store writes is cipher text, and rows are found without their names.

Pure but for randomness, which is passed in. A sealed value is bound to its table and row, so it can be neither
changed nor moved; that it is the newest one, sealing alone does not say.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bannock.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.values import Secret

__all__ = ["KEY_BYTES", "Sealer", "row_index"]

KEY_BYTES: Final = 32
#: How the key of a value follows from that of the store: by HMAC-SHA256, before, and by keyed BLAKE2b (RFC 7693),
#: which is as strong and takes a fifth of the time.
_HMAC: Final = b"\x01"
_BLAKE: Final = b"\x02"
_PERSON: Final = b"bannock-cas-seal"
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12


class Sealer:
    """Seals and opens values under one key.

    Each value has a key of its own, derived with a random salt: under one key AES-GCM may seal no more than 2^32
    values with random nonces (NIST SP 800-38D, section 8.3), and a busy store writes that many in weeks.
    """

    def __init__(self, key: Secret, random: Callable[[int], bytes]) -> None:
        self._key = key
        self._random = random

    def seal(self, table: str, row: bytes, value: bytes) -> bytes:
        """Seal a value for one row of a table."""
        salt, nonce = self._random(_SALT_BYTES), self._random(_NONCE_BYTES)
        return _BLAKE + salt + nonce + self._cipher(_BLAKE, salt).encrypt(nonce, value, _place(table, row))

    def open(self, table: str, row: bytes, sealed: bytes) -> bytes:
        """Open a value.

        Raises:
            IntegrityError: it was not sealed for this row, under this key, or has changed.
        """
        salt = sealed[1 : 1 + _SALT_BYTES]
        nonce = sealed[1 + _SALT_BYTES : 1 + _SALT_BYTES + _NONCE_BYTES]
        try:
            form = sealed[:1]
            if form not in {_HMAC, _BLAKE} or len(nonce) != _NONCE_BYTES:
                raise InvalidTag
            return self._cipher(form, salt).decrypt(
                nonce, sealed[1 + _SALT_BYTES + _NONCE_BYTES :], _place(table, row)
            )
        except InvalidTag:
            raise IntegrityError(f"a row of table {table} is not what was written, or not for this key") from None

    def _cipher(self, form: bytes, salt: bytes) -> AESGCM:
        if form == _BLAKE:
            key = self._key.reveal()
            return AESGCM(hashlib.blake2b(salt, key=key, digest_size=KEY_BYTES, person=_PERSON).digest())
        return AESGCM(hmac.digest(self._key.reveal(), b"bannock-cas sealed value\0" + salt, hashlib.sha256))


def row_index(key: Secret, kind: str, *names: str) -> bytes:
    """Give what a row is found by: an HMAC-SHA256 of names, so that the database does not tell them."""
    message = b"".join(
        len(part).to_bytes(4, "big") + part for part in (name.encode("utf-8") for name in (kind, *names))
    )
    return hmac.digest(key.reveal(), message, hashlib.sha256)


def _place(table: str, row: bytes) -> bytes:
    return b"bannock-cas\0" + table.encode("ascii") + b"\0" + row
