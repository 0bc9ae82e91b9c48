"""Encrypted volumes in one ZIP file, which every tool can look into, and whose content is ciphertext.

Written as a stream and stored, because ciphertext does not become smaller. Nothing in such a file is trusted: who
opens a volume finds out what was changed in it. Standard library alone: hosts have it, too.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Self

from bannock.errors import EnvironmentFault, InputError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["INPUTS", "OUTPUTS", "OUTPUTS_FILE", "Limits", "VolumesZip", "unzip_volume"]

#: Where the two volumes are in what a client sends.
INPUTS: Final = "encryptedInputFiles"
OUTPUTS: Final = "encryptedOutputFiles"
#: What a host gives back is called so; the volume of the outputs is in it as in what the client sent.
OUTPUTS_FILE: Final = f"{OUTPUTS}.zip"
_BLOCK: Final = 1 << 20
#: The format has no time zones and begins with 1980; times say nothing here.
_TIME: Final = (1980, 1, 1, 0, 0, 0)
_NAME_BYTES_MAX: Final = 4096
_DEPTH_MAX: Final = 64
_KINDS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a file from outside may hold: so many entries, and so many bytes in all."""

    entries: int = 4_000_000
    bytes: int = 1 << 40


class VolumesZip:
    """A file that is being written; a context manager, whose end is that of the file.

    Args:
        write: takes its bytes, in order.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._zip = zipfile.ZipFile(_Sink(write), "w", zipfile.ZIP_STORED)
        self._entry: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """End the file, unless it is given up."""
        if kind is None:
            self._end_entry()
            self._zip.close()

    def outlet(self, volume: str) -> _Outlet:
        """Return what takes the files of a volume (:class:`bannock.shield.outgoing.Outlet`)."""
        return _Outlet(self, volume)

    def add_volume(self, volume: str, directory: Path) -> None:
        """Put a volume there that is in a directory, which nobody changes meanwhile.

        Raises:
            EnvironmentFault: it cannot be read.
        """
        try:
            for path in sorted(directory.rglob("*")):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise InputError(f"{path} is neither a file nor a directory, and no volume has it")
                name = f"{volume}/{path.relative_to(directory)}"
                if path.is_dir():
                    self.directory(name)
                    continue
                self.file(name)
                with path.open("rb") as source:
                    while data := source.read(_BLOCK):
                        self.content(data)
        except OSError as error:
            raise EnvironmentFault(f"cannot read {error.filename or directory}: {error.strerror}") from error

    def directory(self, name: str) -> None:
        """Put a directory."""
        self._end_entry()
        info = zipfile.ZipInfo(f"{name}/", _TIME)
        info.external_attr = (0o40700 << 16) | 0x10
        self._zip.writestr(info, b"")

    def file(self, name: str) -> None:
        """Begin a file."""
        self._end_entry()
        info = zipfile.ZipInfo(name, _TIME)
        info.external_attr = 0o100600 << 16
        self._entry = self._zip.open(info, "w", force_zip64=True)

    def content(self, data: bytes | memoryview) -> None:
        """Put the next bytes of the file."""
        assert self._entry is not None  # noqa: S101 # a file was begun
        self._entry.write(data)

    def _end_entry(self) -> None:
        if self._entry is not None:
            self._entry.close()
            self._entry = None


class _Outlet:
    def __init__(self, archive: VolumesZip, volume: str) -> None:
        self._archive = archive
        self._volume = volume
        self.content = archive.content

    def directory(self, path: str) -> None:
        self._archive.directory(f"{self._volume}/{path}")

    def file(self, path: str, size: int) -> None:
        del size
        self._archive.file(f"{self._volume}/{path}")


class _Sink:
    """A file that takes bytes in order, and nothing else."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def write(self, data: bytes, /) -> int:
        self._write(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def unzip_volume(archive: Path, volume: str, target: Path, *, limits: Limits | None = None) -> None:
    """Take a volume out of a file into a new directory.

    Raises:
        IntegrityError: it is not there, or the file is damaged, or not what such files are.
        EnvironmentFault: the disk does not take it.
    """
    bounds = limits or Limits()
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _entries(opened, volume, bounds)
            target.mkdir(mode=0o700, parents=True)
            for info, name in entries:
                place = target / name
                if info.is_dir():
                    place.mkdir(mode=0o700, parents=True, exist_ok=True)
                    continue
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _extract(opened, info, place)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise IntegrityError(f"{archive} is damaged, or no ZIP file: {error}") from error
    except FileExistsError as error:
        raise IntegrityError(f"{archive} has {str(error.filename)[-200:]!r} twice") from error
    except OSError as error:
        raise EnvironmentFault(f"cannot unpack {archive}: {error.strerror or error}") from error


def _entries(opened: zipfile.ZipFile, volume: str, limits: Limits) -> list[tuple[zipfile.ZipInfo, str]]:
    found = [info for info in opened.infolist() if info.filename.startswith(f"{volume}/")]
    named = [(info, info.filename[len(volume) + 1 :].rstrip("/")) for info in found]
    if not any(name for _, name in named):
        raise IntegrityError(f"{opened.filename} has no volume {volume}")
    if len(named) > limits.entries or sum(info.file_size for info, _ in named) > limits.bytes:
        raise IntegrityError(f"{opened.filename} holds more than the {limits.bytes} bytes that a volume may have here")
    for info, name in named:
        if not _is_plain(name) or info.compress_type not in _KINDS:
            raise IntegrityError(f"{opened.filename} has the name {info.filename[:200]!r}, which no volume has")
    return [(info, name) for info, name in named if name]


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return (
        len(os.fsencode(name)) <= _NAME_BYTES_MAX
        and len(parts) <= _DEPTH_MAX
        and not ({"..", "."} & set(parts) or "\\" in name or "\0" in name)
        and (not name or all(parts))
    )


def _extract(opened: zipfile.ZipFile, info: zipfile.ZipInfo, place: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with opened.open(info) as source, os.fdopen(os.open(place, flags, 0o600), "wb") as target:
        while data := source.read(_BLOCK):
            target.write(data)
