"""Small values that every room shares: secrets, digests, keys and tags that cannot be taken for one another.

Pure; nothing here reads a clock, a file or the environment.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Self, final

from bannock.errors import InputError

__all__ = ["FSPF_KEY_BYTES", "FSPF_TAG_BYTES", "FspfKey", "FspfTag", "KeyHash", "Measurement", "Secret", "base58"]

FSPF_KEY_BYTES: Final = 32
FSPF_TAG_BYTES: Final = 16
MEASUREMENT_BYTES: Final = 32

_KEY_HASH_VERSION: Final = 1
_CHECK_BYTES: Final = 4
#: A key hash with version and check sum has 51; what is far longer is not decoded at all.
_BASE58_CHARACTERS_MAX: Final = 64
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@final
class Secret:
    """Bytes that never show themselves: ``repr``, ``str`` and format give a placeholder.

    Comparison takes constant time. There is no way to the bytes but :meth:`reveal`.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes; call it where they are used, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not to be pickled")


@final
class FspfKey:
    """The key of a file-system protection file: 32 secret bytes."""

    __slots__ = ("_secret",)

    def __init__(self, value: bytes) -> None:
        if len(value) != FSPF_KEY_BYTES:
            raise InputError(f"an FSPF key has {FSPF_KEY_BYTES} bytes, found {len(value)}")
        self._secret = Secret(value)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Parse 64 hexadecimal digits.

        Raises:
            InputError: it is anything else; the text is not repeated.
        """
        try:
            return cls(_from_hex(text))
        except ValueError:
            raise InputError(f"an FSPF key is {2 * FSPF_KEY_BYTES} hexadecimal digits") from None

    def reveal(self) -> bytes:
        """Return the 32 bytes."""
        return self._secret.reveal()

    def reveal_hex(self) -> str:
        """Return the 64 hexadecimal digits that session documents carry."""
        return self._secret.reveal().hex()

    def __repr__(self) -> str:
        return "FspfKey(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FspfKey) and self._secret == other._secret

    def __hash__(self) -> int:
        return hash((FspfKey, self._secret))


def _from_hex(text: str) -> bytes:
    """Parse hexadecimal digits and nothing else (``bytes.fromhex`` takes white space too)."""
    if not text.isalnum():
        raise ValueError(text)
    return bytes.fromhex(text)


class _Digest:
    """Fixed-size public bytes, written as lower-case hexadecimal."""

    __slots__ = ("value",)
    _size: int
    _what: str

    def __init__(self, value: bytes) -> None:
        if len(value) != self._size:
            raise InputError(f"{self._what} has {self._size} bytes, found {len(value)}")
        self.value = bytes(value)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Parse hexadecimal digits of the right count.

        Raises:
            InputError: it is anything else.
        """
        try:
            return cls(_from_hex(text))
        except ValueError:
            raise InputError(f"{cls._what} is {2 * cls._size} hexadecimal digits, found {text[:80]!r}") from None

    def __str__(self) -> str:
        return self.value.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value.hex()})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _Digest) and self.value == other.value

    def __hash__(self) -> int:
        return hash((type(self), self.value))


@final
class FspfTag(_Digest):
    """The state that a protected file system is in: 16 bytes over the root of its hash tree."""

    __slots__ = ()
    _size = FSPF_TAG_BYTES
    _what = "an FSPF tag"


@final
class Measurement(_Digest):
    """MRENCLAVE or MRSIGNER: 32 bytes."""

    __slots__ = ()
    _size = MEASUREMENT_BYTES
    _what = "a measurement"


@final
class KeyHash(_Digest):
    """SHA-256 over the DER SubjectPublicKeyInfo of a public key: who a client, a CAS or a LAS is."""

    __slots__ = ()
    _size = 32
    _what = "a key hash"

    @classmethod
    def from_base58(cls, text: str) -> Self:
        """Parse what ``str`` gives, which is the form that SCONE tools print too.

        It is Base58Check: version byte 1, the hash, and the first four bytes of a double SHA-256 over both (so are the
        key hashes in the public session language reference).

        Raises:
            InputError: it is anything else, or mistyped.
        """
        data = _from_base58(text)
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if len(body) != 1 + cls._size or body[0] != _KEY_HASH_VERSION or _check(body) != check:
            raise InputError(f"a key hash is 50 characters of base58 with a check sum, found {text[:80]!r}")
        return cls(body[1:])

    def __str__(self) -> str:
        body = bytes([_KEY_HASH_VERSION]) + self.value
        return base58(body + _check(body))


def _check(body: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(body).digest()).digest()[:_CHECK_BYTES]


def _from_base58(text: str) -> bytes:
    if len(text) > _BASE58_CHARACTERS_MAX or any(character not in _BASE58 for character in text):
        raise InputError(f"base58 was expected, found {text[:80]!r}")
    number = 0
    for character in text:
        number = number * 58 + _BASE58.index(character)
    return b"\0" * (len(text) - len(text.lstrip("1"))) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base58(data: bytes) -> str:
    """Encode bytes in the base58 alphabet of Bitcoin, which users of key hashes know."""
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, rest = divmod(number, 58)
        digits = _BASE58[rest] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits
