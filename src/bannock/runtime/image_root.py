"""File-system images as the application's root: unpacked into memory, each file compared with what was measured.

What the application changes lasts until it ends. Only what an image names as the host's is the host's.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from bannock.errors import EnvironmentFault, IntegrityError
from bannock.identity.image import ROOT_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.identity.image import ImageFile
    from bannock.runtime.images import OpenImage
    from bannock.runtime.root import PrivateRoot

__all__ = ["mount_images"]

_log = logging.getLogger("bannock.runtime")

_BLOCK: Final = 1 << 20
_TEMPORARY: Final = "tmp"
_STICKY: Final = 0o1777
#: What reading an archive raises that somebody has written with intent (as the standard library's module does it).
_MALFORMED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
)


def mount_images(root: PrivateRoot, images: Sequence[OpenImage]) -> None:
    """Make the application a root of images, a later one over those before it, and show in it what is the host's.

    Raises:
        IntegrityError: an image is not what was measured.
        EnvironmentFault: the memory does not suffice, or the kernel refuses.
    """
    root.use_top(None)
    top = root.outer(Path("/"))
    for image in images:
        _unpack_image(image, top)
    temporary = top / _TEMPORARY
    if not (temporary.is_symlink() or temporary.exists()):
        temporary.mkdir()
        temporary.chmod(_STICKY)
    try:
        root.show_kernel_trees()
        for path in sorted({path for image in images for path in image.contents.host_paths}):
            if Path(path).exists():
                root.show(Path(path), Path(path))
            else:
                _log.warning("%s is the host's, by the image, and there is no such file", path)
    except OSError as error:
        raise EnvironmentFault(f"cannot show the host's files: {error.strerror}") from error


def _unpack_image(image: OpenImage, target: Path) -> None:
    """Put everything into a directory, which nobody else writes to; what is there already is replaced.

    Raises:
        IntegrityError: the image lacks a file, or has another one than its list says.
        EnvironmentFault: the memory does not suffice.
    """
    directories = {target}
    try:
        with os.fdopen(os.dup(image.descriptor), "rb") as file, _archive(image, file) as archive:
            for path, listed in image.contents.files.items():
                place = _cleared(target / path[1:], directories)
                with _told(image, path):
                    _unpack(archive, f"{ROOT_NAME}{path}", listed, place)
        for path, text in image.contents.links.items():
            _cleared(target / path[1:], directories).symlink_to(text)
    except OSError as error:
        raise EnvironmentFault(f"cannot unpack {image.path}: {error.strerror}") from error


@contextmanager
def _archive(image: OpenImage, file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    with _told(image, ""):
        archive = zipfile.ZipFile(file)
    with archive:
        yield archive


@contextmanager
def _told(image: OpenImage, path: str) -> Iterator[None]:
    try:
        yield
    except _MALFORMED as error:
        what = f"{path} in {image.path}" if path else image.path
        raise IntegrityError(
            f"{what} is not what was measured", hint="put the image back as `scone binary-fs` made it"
        ) from error


def _unpack(archive: zipfile.ZipFile, name: str, listed: ImageFile, place: Path) -> None:
    """Copy a file; ValueError if it is another one than is listed."""
    digest, left = hashlib.sha256(), listed.size
    with archive.open(name) as source, os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as copy:
        while left and (block := source.read(min(_BLOCK, left))):
            digest.update(block)
            copy.write(block)
            left -= len(block)
        if left or source.read(1) or digest.digest() != listed.digest:
            raise ValueError(name)
    place.chmod(listed.mode)
    os.utime(place, (listed.changed, listed.changed))


def _cleared(place: Path, directories: set[Path]) -> Path:
    """Return a place that nothing is at, in a directory that is one and no link to one."""
    _make(place.parent, directories)
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.exists():
        raise EnvironmentFault(f"an image has a file {place.name!r} where another image has a directory")
    return place


def _make(directory: Path, directories: set[Path]) -> None:
    if directory in directories:
        return
    _make(directory.parent, directories)
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        directory.unlink()
    directory.mkdir(mode=0o755, exist_ok=True)
    directories.add(directory)
