"""The file of a backup: a head that says how its key is had, and sealed frames that cannot be changed, moved or cut.

Pure but for the file that it is given. A frame is sealed with its number and with whether it is the last one, so that
what is read is a beginning of what was written, and :meth:`Reader.frames` ends well only after all of it (the STREAM
construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bannock.cas.sealing import KEY_BYTES
from bannock.errors import InputError, IntegrityError
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from bannock.values import Secret

__all__ = ["Head", "read_frames", "read_head", "write_frames", "write_head"]

_MAGIC: Final = b"bannock-cas-backup-1\n"
_LENGTH: Final = struct.Struct(">I")
_HEAD_BYTES_MAX: Final = 1 << 20
#: A page of rows; the largest row is a session document of a megabyte.
_FRAME_BYTES_MAX: Final = 2 << 30
_PERSON: Final = b"bannock-cas-bkup"
_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What stands before the frames.

    Attributes:
        salt: makes the key of this file.
        keyring: how the keys of the CAS are sealed that the file belongs to.
        facts: what may be known of the backup without any key.
    """

    salt: bytes
    keyring: dict[str, Any] = field(repr=False)
    facts: dict[str, str]

    def to_json(self) -> bytes:
        """Serialise."""
        return canonical_json({"salt": self.salt.hex(), "keyring": self.keyring, "facts": dict(self.facts)})


def write_head(file: BinaryIO, head: Head) -> None:
    """Write the beginning of the file."""
    data = head.to_json()
    file.write(_MAGIC + _LENGTH.pack(len(data)) + data)


def read_head(file: BinaryIO, name: str) -> Head:
    """Read the beginning of a file; nothing in it is authentic before the frames have been read with it.

    Raises:
        InputError: the file is no backup of a CAS.
    """
    try:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError
        data = _read(file, _HEAD_BYTES_MAX)
        document = json.loads(data)
        head = Head(
            salt=bytes.fromhex(document["salt"]),
            keyring=dict(document["keyring"]),
            facts={str(name): str(fact) for name, fact in document["facts"].items()},
        )
        if len(head.salt) != _SALT_BYTES or head.to_json() != data:
            raise ValueError
    except (AttributeError, InputError, KeyError, TypeError, ValueError, RecursionError):
        raise InputError(f"{name} is not a backup of a CAS") from None
    return head


def write_frames(file: BinaryIO, head: Head, key: Secret, frames: Iterator[bytes]) -> None:
    """Write what is to be kept, frame by frame."""
    cipher, bound = _cipher(head, key), _bound(head)
    number = 0
    waiting: bytes | None = None
    for frame in frames:
        if waiting is not None:
            _write(file, cipher.encrypt(_nonce(number, last=False), waiting, bound))
            number += 1
        waiting = frame
    _write(file, cipher.encrypt(_nonce(number, last=True), waiting or b"", bound))


def read_frames(file: BufferedReader, head: Head, key: Secret, name: str) -> Iterator[bytes]:
    """Give the frames of a file; what was given counts only once all of them have been.

    Raises:
        IntegrityError: the file was changed or cut, or is of another CAS.
    """
    cipher, bound = _cipher(head, key), _bound(head)
    number, last = 0, False
    while not last:
        try:
            sealed = _read(file, _FRAME_BYTES_MAX)
        except ValueError:
            raise IntegrityError(f"the backup {name} was cut: it has {number} parts, and not its last one") from None
        # The last frame is known by nothing behind it.
        last = not file.peek(1)
        try:
            yield cipher.decrypt(_nonce(number, last=last), sealed, bound)
        except InvalidTag:
            raise IntegrityError(
                f"part {number + 1} of the backup {name} is not what was written: it was changed, moved or cut"
            ) from None
        number += 1


def _cipher(head: Head, key: Secret) -> AESGCM:
    return AESGCM(hashlib.blake2b(head.salt, key=key.reveal(), digest_size=KEY_BYTES, person=_PERSON).digest())


def _bound(head: Head) -> bytes:
    return hashlib.sha256(_MAGIC + head.to_json()).digest()


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(_LENGTH.pack(len(data)) + data)


def _read(file: BinaryIO, limit: int) -> bytes:
    length = file.read(_LENGTH.size)
    if len(length) != _LENGTH.size or _LENGTH.unpack(length)[0] > limit:
        raise ValueError(length)
    data = file.read(_LENGTH.unpack(length)[0])
    if len(data) != _LENGTH.unpack(length)[0]:
        raise ValueError(len(data))
    return data
