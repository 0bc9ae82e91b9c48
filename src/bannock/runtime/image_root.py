"""File-system images as the application's root: unpacked into memory, each file compared with what was measured.

What the application changes lasts until it ends. Only what an image names as the host's is the host's.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

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
#: The local header of a member, of which only the lengths of the name and of the extra field after it count.
_MEMBER: Final = struct.Struct("<26xHH")
_TEMPORARY: Final = "tmp"
_STICKY: Final = 0o1777
#: What reading an archive raises that somebody has written with intent (as the standard library's module does it).
_MALFORMED: Final = (
    zipfile.BadZipFile,
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
    root = os.fspath(target)
    directories = {root}
    try:
        members = _members(image)
        for path, listed in image.contents.files.items():
            with _told(image, path):
                _unpack(image.descriptor, members[f"{ROOT_NAME}{path}"], listed, root + path, directories)
        for path, text in image.contents.links.items():
            _make_room(root + path, directories)
            Path(root + path).symlink_to(text)
    except OSError as error:
        raise EnvironmentFault(f"cannot unpack {image.path}: {error.strerror}") from error


def _members(image: OpenImage) -> dict[str, zipfile.ZipInfo]:
    with (
        _told(image, ""),
        os.fdopen(os.dup(image.descriptor), "rb") as file,
        zipfile.ZipFile(file) as archive,
    ):
        return archive.NameToInfo


@contextmanager
def _told(image: OpenImage, path: str) -> Iterator[None]:
    try:
        yield
    except _MALFORMED as error:
        what = f"{path} in {image.path}" if path else image.path
        raise IntegrityError(
            f"{what} is not what was measured", hint="put the image back as `scone binary-fs` made it"
        ) from error


def _unpack(descriptor: int, member: zipfile.ZipInfo, listed: ImageFile, place: str, directories: set[str]) -> None:
    """Copy a file, which is as it is in the archive; ValueError if it is another one than is listed.

    Not by the standard library's reader of members, which takes longer for a small file than all the rest does.
    """
    if member.file_size != listed.size or member.compress_type != zipfile.ZIP_STORED or member.header_offset < 0:
        raise ValueError(place)
    header = os.pread(descriptor, _MEMBER.size, member.header_offset)
    at, left = member.header_offset + len(header) + sum(_MEMBER.unpack(header)), listed.size
    _make_room(place, directories)
    digest = hashlib.sha256()
    copy = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while left and (block := os.pread(descriptor, min(_BLOCK, left), at)):
            digest.update(block)
            _write(copy, block)
            at, left = at + len(block), left - len(block)
        if left or digest.digest() != listed.digest:
            raise ValueError(place)
        os.fchmod(copy, listed.mode)
        os.utime(copy, (listed.changed, listed.changed))
    finally:
        os.close(copy)


def _write(descriptor: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _make_room(place: str, directories: set[str]) -> None:
    """Let nothing be at a place, in a directory that is one and no link to one."""
    _make_directory(place.rpartition("/")[0], directories)
    if not os.path.lexists(place):
        return
    found = Path(place)
    if found.is_dir() and not found.is_symlink():
        raise EnvironmentFault(f"an image has a file {found.name!r} where another image has a directory")
    found.unlink()


def _make_directory(directory: str, directories: set[str]) -> None:
    if directory in directories:
        return
    _make_directory(directory.rpartition("/")[0], directories)
    path = Path(directory)
    if path.is_symlink() or path.is_file():
        path.unlink()
    if not path.is_dir():
        path.mkdir()
        # Whatever the mask of the process is.
        path.chmod(0o755)
    directories.add(directory)
