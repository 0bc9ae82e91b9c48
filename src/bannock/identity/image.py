"""File-system images that are part of an enclave (SCONE calls them binary file systems): what is in them. Pure.

An image is a ZIP archive whose first member lists every file with its digest. That list is what is measured: nothing
else of an image has to be read for it, and what is unpacked later is compared with it. So the list is read without a
general parser for archives, in the one form that it has (``docs/formats/binary-fs.md``).
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from bannock.errors import InputError
from bannock.policy.canonical import JsonValue, canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CONTENTS_BYTES_MAX", "CONTENTS_NAME", "HEAD_BYTES", "ROOT_NAME", "Contents", "ImageFile", "read_contents"]

FORMAT: Final = "bannock-binary-fs-1"
#: The name of the first member.
CONTENTS_NAME: Final = "binary-fs.json"
#: Below this name are the members that are files and links.
ROOT_NAME: Final = "root"
#: A file has about 130 bytes in it, and a Python with many packages some ten thousand files.
CONTENTS_BYTES_MAX: Final = 8 << 20
#: The local header of a member without an extra field (APPNOTE.TXT of PKWARE, 4.3.7), and the name after it.
_HEADER: Final = struct.Struct("<4sHHHHHIIIHH")
_SIGNATURE: Final = b"PK\3\4"
HEAD_BYTES: Final = _HEADER.size + len(CONTENTS_NAME)
_PATH_MAX: Final = 4096
#: Absolute, without empty parts and dots.
_PLAIN: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[^/\0]+)+")
_SIZE_MAX: Final = (1 << 53) - 1
_MODE_MAX: Final = 0o777
_DIGEST_BYTES: Final = 32
#: Until the year 2106, as the headers of archives have it.
_TIME_MAX: Final = 0xFFFFFFFF


class ImageFile(NamedTuple):
    """SHA-256 and size of a file, its permission bits, and when it was changed (seconds since 1970)."""

    digest: bytes
    size: int
    mode: int
    changed: int


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is in an image; directories are those that files and links need.

    Attributes:
        files: absolute path → file.
        links: absolute path → what the symbolic link says.
        host_paths: what is shown of the host, unprotected; sorted.
    """

    files: Mapping[str, ImageFile]
    links: Mapping[str, str]
    host_paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for path in (*self.files, *self.links, *self.host_paths):
            if not _is_plain(path):
                raise InputError(f"an image has absolute paths without dots or empty parts, found {path[:80]!r}")
        if list(self.host_paths) != sorted({*self.host_paths}):
            raise InputError("the host's paths in an image are sorted, each of them once")
        for path, target in self.links.items():
            if not target or "\0" in target or len(target) > _PATH_MAX:
                raise InputError(f"the link {path[:80]!r} of an image leads to {target[:80]!r}")
        for path, file in self.files.items():
            if not _fits(file):
                raise InputError(f"the entry of {path[:80]!r} in an image is malformed")
        self._require_places()

    def _require_places(self) -> None:
        """Refuse entries below other entries, so that nothing is ever unpacked through a link."""
        taken = self.files.keys() | self.links.keys()
        if len(taken) != len(self.files) + len(self.links):
            raise InputError("an image has one path as a file and as a link")
        directories: set[str] = set()
        for path in (*taken, *self.host_paths):
            above = path.rpartition("/")[0]
            while above and above not in directories:
                directories.add(above)
                above = above.rpartition("/")[0]
        if both := directories & taken:
            raise InputError(f"an image has {min(both)[:80]!r}, which is no directory, and something below it")

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-256 over the list, which is what is measured."""
        return hashlib.sha256(self.to_json()).digest()

    def to_document(self) -> JsonValue:
        """Return the list as it stands in documents."""
        return {
            "format": FORMAT,
            "files": {
                path: [file.digest.hex(), file.size, file.mode, file.changed] for path, file in self.files.items()
            },
            "links": dict(self.links),
            "host_paths": list(self.host_paths),
        }

    def to_json(self) -> bytes:
        """Return the list in canonical JSON."""
        return canonical_json(self.to_document())

    @classmethod
    def from_document(cls, fields: Any) -> Self:
        """Take a list from a document; whether it has all the fields and no others is for the caller to compare.

        Raises:
            InputError, ValueError, TypeError, KeyError, AttributeError: it is malformed.
        """
        return cls(
            files={
                path: ImageFile(bytes.fromhex(digest), size, mode, changed)
                for path, (digest, size, mode, changed) in fields["files"].items()
            },
            links={path: str(target) for path, target in fields["links"].items()},
            host_paths=tuple(map(str, fields["host_paths"])),
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse a list.

        Raises:
            InputError: it is anything but what :meth:`to_json` gives.
        """
        if len(data) > CONTENTS_BYTES_MAX:
            raise InputError(f"the list of an image has at most {CONTENTS_BYTES_MAX} bytes, found {len(data)}")
        try:
            contents = cls.from_document(json.loads(data))
            same = contents.to_json() == data
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError("the list of an image is malformed") from error
        if not same:
            raise InputError("the list of an image is not in its canonical form")
        return contents


def read_contents(name: str, read: Callable[[int, int], bytes]) -> tuple[Contents, bytes]:
    """Read what is in an image; return it, and the bytes at the start of the image that say so.

    Args:
        name: what messages call the image.
        read: returns up to ``size`` bytes from ``offset``, as ``read(offset, size)``.

    Raises:
        InputError: it is no image, or its list is malformed.
    """
    head = read(0, HEAD_BYTES)
    size = _listed_bytes(head)
    if size is None:
        raise InputError(
            f"{name} is no file-system image", hint="SCONE_EXTENSIONS_PATH names files that `scone binary-fs` made"
        )
    if size > CONTENTS_BYTES_MAX:
        raise InputError(f"{name}: the list of an image has at most {CONTENTS_BYTES_MAX} bytes, found {size}")
    data = read(HEAD_BYTES, size)
    if len(data) != size:
        raise InputError(f"{name} is cut: {size} bytes of its list were expected, found {len(data)}")
    try:
        return Contents.from_json(data), head + data
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _listed_bytes(head: bytes) -> int | None:
    """Return how long the first member is, if it is the list."""
    if len(head) != HEAD_BYTES:
        return None
    signature, _, flags, method, _, _, _, packed, size, name_bytes, extra_bytes = _HEADER.unpack_from(head)
    plain = (signature, flags, method, name_bytes, extra_bytes) == (_SIGNATURE, 0, 0, len(CONTENTS_NAME), 0)
    if not plain or packed != size or head[_HEADER.size :] != CONTENTS_NAME.encode():
        return None
    return int(size)


def _is_plain(path: str) -> bool:
    return len(path) <= _PATH_MAX and _PLAIN.fullmatch(path) is not None


def _fits(file: ImageFile) -> bool:
    return (
        len(file.digest) == _DIGEST_BYTES
        and type(file.size) is type(file.mode) is type(file.changed) is int
        and 0 <= file.size <= _SIZE_MAX
        and 0 <= file.mode <= _MODE_MAX
        and 0 <= file.changed <= _TIME_MAX
    )
