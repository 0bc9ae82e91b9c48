"""Writes protection files of the original format, from its description (docs/formats/original.md), for tests.

Shares no code with the reader: bytes are put together here by hand, and sealed with the library's AES-GCM.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bannock.values import FspfKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHUNK = 4092
NOT_PROTECTED, AUTHENTICATED, ENCRYPTED = 1, 2, 3


def number(field_number: int, value: int) -> bytes:
    """Return a field that is a number."""
    return _varint(field_number << 3) + _varint(value)


def bytes_of(field_number: int, value: bytes) -> bytes:
    """Return a field that is a text, bytes or a message."""
    return _varint(field_number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


@dataclass
class Entry:
    """A file as it is recorded, and what has to be on the disk."""

    record: bytes
    stored: bytes


def entry(
    name: str, plain: bytes, *, encrypted: bool, key_bytes: int = 32, chunk: int = CHUNK, link: bool = False
) -> Entry:
    """Protect the content of a file; of a link, give its target."""
    text = plain + b"\0" if link else plain
    key, records, stored = os.urandom(key_bytes), b"", b""
    for index in range(-(-len(text) // chunk)):
        piece, nonce = text[index * chunk : (index + 1) * chunk], os.urandom(4)
        place = index.to_bytes(8, "little") + nonce
        if encrypted:
            sealed = AESGCM(key).encrypt(place, piece, None)
            stored += sealed[:-16]
        else:
            sealed = AESGCM(key).encrypt(place, b"", piece)
            stored += piece
        records += nonce + sealed[-16:]
    record = (
        bytes_of(1, name.encode())
        + number(2, len(text))
        + number(3, int(encrypted))
        + bytes_of(4, key)
        + number(5, chunk)
        + bytes_of(6, records)
        + number(7, int(link))
    )
    return Entry(record, stored)


def region(
    path: str,
    protection: int,
    kernel: str | None,
    entries: list[Entry] | None = None,
    *,
    key_bytes: int = 32,
    chunk: int = CHUNK,
) -> bytes:
    """Return the field of a region."""
    fields = number(3, protection) + number(4, key_bytes) + number(5, chunk) + bytes_of(6, path.encode())
    fields += b"".join(bytes_of(7, each.record) for each in entries or [])
    fields += bytes_of(2, b"" if kernel is None else bytes_of(1, kernel.encode()))
    return bytes_of(1, fields)


def seal(body: bytes, key: bytes, *, header_length: int = 128, nonce: bytes = bytes(range(12))) -> bytes:
    """Return a protection file; its tag is in bytes 64 to 80."""
    sealed = AESGCM(key).encrypt(nonce, body, None)
    return _header(header_length, nonce, sealed[-16:], len(body)) + sealed[:-16]


def plain(body: bytes) -> bytes:
    """Return a protection file that is not encrypted, as far as that can be guessed."""
    return _header(128, bytes(12), bytes(16), len(body)) + body


def _header(length: int, nonce: bytes, tag: bytes, body: int) -> bytes:
    fixed = b"\x01\x00" + length.to_bytes(2, "little") + bytes(44) + nonce + b"\0\0\0\1" + tag
    return (fixed + body.to_bytes(8, "little")).ljust(128, b"\0")


@dataclass
class Sample:
    """A protection file and the files of its regions on the disk."""

    path: Path
    directories: dict[str, Path]
    key: FspfKey = field(default_factory=lambda: FspfKey(os.urandom(32)))
    regions: list[bytes] = field(default_factory=list)

    def add(
        self,
        path: str,
        protection: int,
        kernel: str | None,
        files: dict[str, bytes] | None = None,
        links: dict[str, str] | None = None,
        make: Callable[..., Entry] = entry,
    ) -> None:
        """Add a region and write its files."""
        entries = []
        for name, content in (files or {}).items():
            made = make(name, content, encrypted=protection == ENCRYPTED)
            place = self.directories[path] / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(made.stored)
            entries.append(made)
        for name, target in (links or {}).items():
            (self.directories[path] / name).symlink_to(target)
            entries.append(make(name, target.encode(), encrypted=protection == ENCRYPTED, link=True))
        self.regions.append(region(path, protection, kernel, entries))

    def write(self) -> None:
        """Write the protection file."""
        self.path.write_bytes(seal(b"".join(self.regions), self.key.reveal()))
