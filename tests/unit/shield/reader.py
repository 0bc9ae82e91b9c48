"""A second reader of the volume format: written from ``docs/formats/fspf.md``, sharing nothing with the product."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PAGE = 4096


class Found(NamedTuple):
    """What is known of one name."""

    mode: int
    links: int
    modified: int
    content: bytes


class Reader:
    """A volume in memory (path of each file → its bytes), in the state of a tag."""

    def __init__(self, files: Mapping[str, bytes], key: bytes, tag: bytes) -> None:
        self._files = files
        self._fspf = files["volume.fspf"]
        expand = HKDFExpand(algorithm=SHA256(), length=32, info=b"bannock fspf 1 pages")
        self._key = AESGCM(expand.derive(key))
        root = self._superblock(tag)
        self.entries = dict(self._walk(root)) if root[0] else {}
        self._authenticated, self._key_size = self._region()

    def _superblock(self, tag: bytes) -> tuple[int, bytes, bytes]:
        for slot in (0, 1):
            block = self._fspf[slot * _PAGE :][:_PAGE]
            if len(block) < _PAGE or block[52:68] != tag:
                continue
            magic, version, flags, size, generation, identity = struct.unpack("<8sHHIQ16s", block[:40])
            assert (magic, version, flags, size, generation % 2) == (b"BNKFSPF1", 1, 0, _PAGE, slot)
            payload = self._key.decrypt(block[40:52], block[68:156] + tag, block[:40])
            self.generation, self._identity = generation, identity
            root: tuple[int, bytes, bytes] = struct.unpack("<Q12s16s", payload[:36])
            return root
        raise LookupError("no superblock has this tag")

    def _walk(self, ref: tuple[int, bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
        number, nonce, tag = ref
        sealed = self._fspf[number * _PAGE :][:_PAGE]
        page = self._key.decrypt(nonce, sealed + tag, self._identity + struct.pack("<Q", number))
        kind, count = struct.unpack_from("<BH", page)
        at = 3
        if kind == 2:
            for _ in range(count + 1):
                yield from self._walk(struct.unpack_from("<Q12s16s", page, at))
                at += 36
            return
        assert kind == 1
        for _ in range(count):
            key_size, value_size = struct.unpack_from("<HH", page, at)
            at += 4 + key_size + value_size
            yield page[at - key_size - value_size : at - value_size], page[at - value_size : at]

    def _region(self) -> tuple[bool, int]:
        """Read the one region of a volume: whether it is authenticated only, and how long its keys are."""
        table = list(self._of(0, 8))
        if not table:
            return False, 32
        [(path, value)] = table
        root, protection, place, chunk, key, length = struct.unpack("<QBBIBH", value)
        assert (path, root, place, length) == (b"/", 1, 1, 0)
        assert 1024 <= chunk <= 1 << 24
        assert protection in (2, 3)
        return protection == 2, key

    def _of(self, ino: int, kind: int) -> Iterator[tuple[bytes, bytes]]:
        start = struct.pack(">QB", ino, kind)
        for key in sorted(self.entries):
            if key.startswith(start):
                yield key[9:], self.entries[key]

    def tree(self, ino: int = 1, above: str = "") -> Iterator[tuple[str, Found]]:
        """Yield every path below a directory, and what it is."""
        for name, value in self._of(ino, 2):
            below, kind = struct.unpack("<QI", value)
            path, record = above + name.decode(), self.entries[struct.pack(">QB", below, 1)]
            mode, links, _, _, size, modified, _, _, chunk, _, _, key, length = struct.unpack(
                "<IIIIQqqqIQI32sH", record[:98]
            )
            assert kind == mode & 0o170000
            assert len(record) == 98 + length
            content = b""
            if kind == 0o100000:
                content = self._content(below, size, chunk, key, record[98:].decode())
            elif kind == 0o120000:
                content = b"".join(part for _, part in self._of(below, 5))
                assert len(content) == size
            yield path, Found(mode, links, modified, content)
            if kind == 0o040000:
                yield from self.tree(below, path + "/")

    def _content(self, ino: int, size: int, step: int, key: bytes, path: str) -> bytes:
        content = bytearray(size)
        for group, records in self._of(ino, 3):
            for position in range(len(records) // 40):
                index = int.from_bytes(group, "big") * 32 + position
                length, slot, nonce, tag = struct.unpack_from("<IQ12s16s", records, position * 40)
                if length:
                    sealed = self._files[path][slot * step :][:length]
                    cipher, place = AESGCM(key[: self._key_size]), struct.pack("<QQ", ino, index)
                    if self._authenticated:
                        plain = sealed
                        assert cipher.decrypt(nonce, tag, place + sealed) == b""
                    else:
                        plain = cipher.decrypt(nonce, sealed + tag, place)
                    content[index * step : index * step + length] = plain
        return bytes(content)
