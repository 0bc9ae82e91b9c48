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
            return cls(bytes.fromhex(text))
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
            return cls(bytes.fromhex(text))
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
        """Parse a key hash: what ``str`` gives, or the checked form that SCONE tools print.

        The checked form is Base58Check: version byte 1, the hash, and four bytes of a double SHA-256 over both
        (so are all four key hashes in the public session language reference).

        Raises:
            InputError: it is neither, or its check sum is wrong.
        """
        data = _from_base58(text)
        if len(data) == cls._size + 5 and data[0] == _KEY_HASH_VERSION:
            body, check = data[:-4], data[-4:]
            if hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4] != check:
                raise InputError(f"the check sum of key hash {text[:80]!r} is wrong")
            return cls(body[1:])
        if len(data) != cls._size:
            raise InputError(f"{cls._what} is {cls._size} bytes in base58, found {text[:80]!r}")
        return cls(data)

    def __str__(self) -> str:
        return base58(self.value)


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
