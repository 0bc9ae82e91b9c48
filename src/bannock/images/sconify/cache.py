"""What was sealed before, kept for the next time: layers with ciphertext, the keys of their files, protection files.

It is on the machine that has the native images, in a directory that is its user's alone, and may be removed at any
time. What is damaged in it is made anew. What was not used for two weeks goes.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import BannockError, EnvironmentFault
from bannock.files import write_atomically
from bannock.images.blobs import FileBlob
from bannock.images.digests import hex_of
from bannock.images.kept_layers import facts_of
from bannock.images.media import LAYER_TAR
from bannock.images.model import Layer
from bannock.shield.sealed_files import SealedFile
from bannock.values import FspfKey, FspfTag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.images.blobs import Scratch

__all__ = ["SealCache", "cache_directory"]

_KEPT_SECONDS: Final = 14 * 24 * 3600


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Return the user's directory for it: below ``XDG_CACHE_HOME``, or ``~/.cache``."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "bannock" / "images"


class SealCache:
    """The directory of what was sealed.

    Args:
        directory: where; None keeps nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        if directory is not None:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._tidy(directory)
            except OSError as error:
                raise EnvironmentFault(
                    f"cannot use the directory {directory} for what was sealed: {error.strerror}",
                    hint="set XDG_CACHE_HOME to a directory that can be written",
                ) from error

    def layer(self, name: str, scratch: Scratch) -> tuple[Layer, dict[str, SealedFile]] | None:
        """Return what was made of a layer, if it is here and whole."""
        found = self._read(name, ".layer")
        if found is None or self._directory is None:
            return None
        try:
            path = self._directory / f"{name}.tar"
            # What nobody wrote to since it was made need not be read to its end.
            same = found.get("facts") == facts_of(path)
            blob = FileBlob(path, digest=found["digest"], size=found["size"], trusted=same)
            blob.open().close()
            layer = Layer(blob, media_type=LAYER_TAR, diff_id=found["digest"], scratch=scratch)
            return layer, {path: _sealed(fields) for path, fields in found["files"].items()}
        except (BannockError, OSError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def keep_layer(self, name: str, layer: Layer, files: Mapping[str, SealedFile]) -> None:
        """Keep what was made of a layer, whose blob lies in a file of its own."""
        if self._directory is None or not isinstance(layer.blob, FileBlob):
            return
        target = self._directory / f"{name}.tar"
        try:
            target.unlink(missing_ok=True)
            _link_or_copy(layer.blob.path, target)
        except OSError as error:
            raise EnvironmentFault(f"cannot keep {target}: {error.strerror}") from error
        document = {
            "digest": layer.digest,
            "size": layer.size,
            "facts": facts_of(target),
            "files": {path: _fields(sealed) for path, sealed in files.items()},
        }
        self._write(name, ".layer", document)

    def records(self, name: str) -> dict[str, SealedFile] | None:
        """Return the records of files that stay as they are, if they are here and whole."""
        found = self._read(name, ".records")
        try:
            return None if found is None else {file: _sealed(fields) for file, fields in found.items()}
        except (BannockError, TypeError, ValueError):
            return None

    def keep_records(self, name: str, records: Mapping[str, SealedFile]) -> None:
        """Keep the records of files that stay as they are."""
        self._write(name, ".records", {file: _fields(sealed) for file, sealed in records.items()})

    def protection_file(self, name: str) -> tuple[bytes, FspfKey, FspfTag] | None:
        """Return a protection file that was made before, with its key and tag."""
        found = self._read(name, ".fspf")
        try:
            if found is None:
                return None
            content = base64.b64decode(found["content"], validate=True)
            return content, FspfKey.from_hex(found["key"]), FspfTag.from_hex(found["tag"])
        except (BannockError, KeyError, TypeError, ValueError):
            return None

    def keep_protection_file(self, name: str, content: bytes, key: FspfKey, tag: FspfTag) -> None:
        """Keep a protection file."""
        encoded = base64.b64encode(content).decode()
        self._write(name, ".fspf", {"content": encoded, "key": key.reveal_hex(), "tag": str(tag)})

    def is_clear(self, diff_id: str) -> bool:
        """Whether a layer was searched, and no private key was found in it."""
        return self._read(hex_of(diff_id), ".searched") is not None

    def keep_clear(self, diff_id: str) -> None:
        """Remember that there is none."""
        self._write(hex_of(diff_id), ".searched", {})

    def _read(self, name: str, suffix: str) -> Any:
        if self._directory is None:
            return None
        path = self._directory / f"{name}{suffix}"
        try:
            found = json.loads(path.read_bytes())
            os.utime(path)
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def _write(self, name: str, suffix: str, document: Mapping[str, Any]) -> None:
        if self._directory is not None:
            write_atomically(self._directory / f"{name}{suffix}", json.dumps(document).encode())

    @staticmethod
    def _tidy(directory: Path) -> None:
        oldest = time.time() - _KEPT_SECONDS
        for path in directory.iterdir():
            if path.suffix in {".layer", ".fspf", ".records", ".searched"} and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
                path.with_suffix(".tar").unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _fields(sealed: SealedFile) -> list[Any]:
    secret = base64.b64encode(sealed.key + sealed.digest + sealed.chunks).decode()
    return [sealed.number, sealed.size, secret]


def _sealed(fields: Any) -> SealedFile:
    number, size, secret = fields
    data = base64.b64decode(secret, validate=True)
    return SealedFile(number=number, size=size, key=data[:32], digest=data[32:64], chunks=data[64:])
