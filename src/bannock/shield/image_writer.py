"""Making file-system images (``docs/formats/binary-fs.md``): first the plan of what goes in, then the archive.

The bytes of an image follow from the paths, the permission bits and the content of its files alone.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.files import atomic_writer
from bannock.identity.image import CONTENTS_NAME, ROOT_NAME, Contents, ImageFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ImagePlan", "plan_image", "write_image"]

_KERNEL_TREES: Final = ("/proc", "/sys", "/dev")
_GLOB: Final = re.compile(r"[*?[]")
_EVERYTHING: Final = "*"
_BLOCK: Final = 1 << 20
_LINKS_MAX: Final = 40
#: The first day that an archive can name.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """What goes into an image.

    Attributes:
        source: the directory that is its root.
        contents: its list.
        unused: what was to be included and is not there.
        left_out: paths that are neither files nor links.
    """

    source: Path
    contents: Contents
    unused: tuple[str, ...]
    left_out: tuple[str, ...]


def plan_image(
    source: Path,
    *,
    include: Sequence[str] = (),
    host_paths: Sequence[str] = (),
    without: Path | None = None,
    preserve_links: bool = False,
    keep_times: bool = False,
) -> ImagePlan:
    """Look at a directory, and read its files.

    Args:
        source: the directory; ``/`` is this machine's root.
        include: shell patterns for paths in the image, in which ``*`` stands for slashes, too; none: everything.
        host_paths: what is the host's, and so not in the image.
        without: a file that is not looked at: the image itself.
        preserve_links: leave links as they are; else one that names a path below the source leads there in the image.
        keep_times: keep when files were changed.

    Raises:
        InputError: there is no such directory, or a file in it cannot be read, or has no name in UTF-8.
    """
    if not source.is_dir():
        raise InputError(f"{source} is not a directory")
    for path in host_paths:
        if not path.startswith("/"):
            raise InputError(f"--host-path is an absolute path, found {path[:80]!r}")
    source = source.resolve()
    host = sorted({"/" + path.strip("/") for path in host_paths})
    wanted = _Wanted(source, include)
    files, links, left_out = dict[str, ImageFile](), dict[str, str](), list[str]()
    for path, place in _walk(source, [*host, *(_KERNEL_TREES if source == Path("/") else ())]):
        if place == without or not wanted.match(path):
            continue
        _require_text(path)
        status = _status(place)
        if stat.S_ISLNK(status.st_mode):
            links[path] = _adapted(place.readlink(), source, preserve=preserve_links)
        elif stat.S_ISREG(status.st_mode):
            files[path] = _described(place, status, keep_times=keep_times)
        else:
            left_out.append(path)
    contents = Contents(files=files, links=links, host_paths=tuple(host))
    return ImagePlan(source=source, contents=contents, unused=wanted.unused(), left_out=tuple(left_out))


def write_image(plan: ImagePlan, target: Path) -> None:
    """Write an image; it is whole or not there.

    Raises:
        InputError: a file changed since it was planned.
        EnvironmentFault: the file system refuses.
    """
    contents = plan.contents
    with atomic_writer(target, mode=0o644) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_member(CONTENTS_NAME, stat.S_IFREG | 0o644), contents.to_json())
        for path, listed in sorted(contents.files.items()):
            info = _member(f"{ROOT_NAME}{path}", stat.S_IFREG | listed.mode)
            info.file_size = listed.size
            _copy(plan.source / path[1:], listed, archive, info)
        for path, text in sorted(contents.links.items()):
            archive.writestr(_member(f"{ROOT_NAME}{path}", stat.S_IFLNK | 0o777), text)


class _Wanted:
    """Which paths are to be included. A pattern may go through links: then they are included, too."""

    def __init__(self, source: Path, patterns: Sequence[str]) -> None:
        self._links: set[str] = set()
        self._patterns: dict[str, list[re.Pattern[str]]] = {}
        self._used: set[str] = set()
        for pattern in patterns or (_EVERYTHING,):
            fixed, rest = _split(pattern)
            spellings = {pattern, self._resolved(source, fixed) + rest}
            self._patterns[pattern] = [re.compile(fnmatch.translate(spelling)) for spelling in spellings]

    def match(self, path: str) -> bool:
        """Whether a path is."""
        used = [pattern for pattern, compiled in self._patterns.items() if any(item.match(path) for item in compiled)]
        self._used.update(used)
        return bool(used) or path in self._links

    def unused(self) -> tuple[str, ...]:
        """Return the patterns that no path has matched."""
        return tuple(pattern for pattern in self._patterns if pattern not in self._used)

    def _resolved(self, source: Path, path: str) -> str:
        """Follow a path below the source, and note the links on the way."""
        waiting, found, links = _parts(path), list[str](), 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                found = found[:-1]
                continue
            place = source.joinpath(*found, part)
            if not place.is_symlink() or links == _LINKS_MAX:
                found.append(part)
                continue
            links += 1
            self._links.add("/" + "/".join([*found, part]))
            target = os.fspath(place.readlink())
            if target.startswith("/"):
                found = []
            waiting += _parts(target)
        return "/" + "/".join(found)


def _split(pattern: str) -> tuple[str, str]:
    """Split a pattern into the directory that it begins with, and the rest."""
    if not pattern.startswith("/"):
        return "", pattern
    special = _GLOB.search(pattern)
    end = pattern.rindex("/", 0, special.start() if special else len(pattern))
    return pattern[:end], pattern[end:]


def _parts(path: str) -> list[str]:
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _walk(source: Path, without: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yield each path in the image and its place, but for directories, in a fixed order."""
    pending = [""]
    while pending:
        directory = pending.pop()
        try:
            entries = sorted(os.scandir(source / directory.lstrip("/")), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"cannot read {error.filename}: {error.strerror}") from error
        for entry in entries:
            path = f"{directory}/{entry.name}"
            if path in without:
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield path, source / path[1:]


def _status(place: Path) -> os.stat_result:
    try:
        return place.lstat()
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror}") from error


def _described(place: Path, status: os.stat_result, *, keep_times: bool) -> ImageFile:
    try:
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            size = file.tell()
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror}") from error
    changed = max(0, int(status.st_mtime)) if keep_times else 0
    return ImageFile(digest, size, stat.S_IMODE(status.st_mode) & 0o777, changed)


def _adapted(target: Path, source: Path, *, preserve: bool) -> str:
    text = os.fspath(target)
    _require_text(text)
    if preserve or not target.is_relative_to(source):
        return text
    return "/" + os.fspath(target.relative_to(source)) if source != Path("/") else text


def _require_text(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(f"the path {path!r} is not UTF-8, so an image cannot have it") from None


def _member(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = _UNIX
    info.external_attr = mode << 16
    return info


def _copy(place: Path, listed: ImageFile, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    digest = hashlib.sha256()
    try:
        with place.open("rb") as file, archive.open(info, "w") as member:
            while block := file.read(_BLOCK):
                digest.update(block)
                member.write(block)
    except RuntimeError as error:  # it has outgrown what an entry of its size can have
        raise InputError(f"{place} changed while it was read") from error
    if digest.digest() != listed.digest:
        raise InputError(f"{place} changed while it was read")
