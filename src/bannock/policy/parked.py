"""Values that are kept elsewhere: what a vault gets is sealed, and what stays here opens it and nothing else.

Pure; randomness comes in. Each value has a key of its own, used once. The tag of the ciphertext is in its name in the
vault and is kept here, so what is missing there, was changed, or is older than it should be is found out.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bannock.errors import IntegrityError
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.policy.canonical import JsonValue

__all__ = ["ParkedValue"]

_KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16
#: A key seals one value, so the nonce need not differ.
_NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedValue:
    """What is kept here of a value: where it is, and what opens it.

    Attributes:
        entry: which value of its session it is, ``secret NAME`` for example.
        name: in the vault.
        key: of this value alone.
        tag: of its ciphertext.
    """

    entry: str
    name: str
    key: Secret = field(repr=False)
    tag: bytes

    @classmethod
    def seal(cls, entry: str, digest: str, value: bytes, random: Callable[[int], bytes]) -> tuple[Self, str]:
        """Seal a value of the session version with a hash; give what is kept here, and the text for the vault."""
        key = random(_KEY_BYTES)
        sealed = AESGCM(key).encrypt(_NONCE, value, entry.encode("utf-8"))
        text, tag = sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]
        parked = cls(entry=entry, name=f"cas-{digest}-{tag.hex()}", key=Secret(key), tag=tag)
        return parked, base64.b64encode(text).decode("ascii")

    def open(self, text: bytes) -> bytes:
        """Open what the vault has.

        Raises:
            IntegrityError: it is not what was put there.
        """
        try:
            sealed = base64.b64decode(text, validate=True) + self.tag
            return AESGCM(self.key.reveal()).decrypt(_NONCE, sealed, self.entry.encode("utf-8"))
        except (ValueError, binascii.Error, InvalidTag):
            raise IntegrityError(f"{self.name} in the key vault is not what was put there: it was changed") from None

    def to_json(self) -> JsonValue:
        """Give the form that is stored; it is secret."""
        return {"name": self.name, "key": self.key.reveal().hex(), "tag": self.tag.hex()}

    @classmethod
    def from_json(cls, entry: str, stored: dict[str, str]) -> Self:
        """Take what :meth:`to_json` gives."""
        return cls(
            entry=entry,
            name=stored["name"],
            key=Secret(bytes.fromhex(stored["key"])),
            tag=bytes.fromhex(stored["tag"]),
        )
