"""Mount points in a volume: directories and empty files that other things are mounted on."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from bannock.shield.volume import Volume

__all__ = ["make_mount_point"]

#: As many links as the kernel follows in one path (path_resolution(7)).
_MAX_LINKS: Final = 40


def make_mount_point(volume: Volume, path: str, *, directory: bool) -> None:
    """Let there be a directory or a file at a path of a volume, and the directories above it.

    Links on the way are followed within the volume. What is made is in memory until the volume is committed.

    Args:
        volume: an open volume.
        path: relative to the volume's topmost directory.
        directory: whether to mount a directory there, or a file.

    Raises:
        InputError: something of another type is there, or there are too many links.
        IntegrityError: the volume is damaged.
    """
    names, inodes = volume.names, volume.inodes
    left = [part for part in path.encode().split(b"/") if part]
    above = [volume.root]
    links = 0
    while left:
        part = left.pop(0)
        if part == b".":
            continue
        if part == b"..":
            if len(above) > 1:
                above.pop()
            continue
        is_directory = directory or bool(left)
        try:
            ino = names.lookup(above[-1], part)
        except FileNotFoundError:
            ino = names.make(above[-1], part, (stat.S_IFDIR | 0o755) if is_directory else (stat.S_IFREG | 0o444))
        inode = inodes.get(ino)
        if stat.S_ISLNK(inode.mode):
            links += 1
            if links > _MAX_LINKS:
                raise InputError(f"there are too many links on the way to {path}")
            target = names.link_target(ino)
            if target.startswith(b"/"):
                above = [volume.root]
            left = [each for each in target.split(b"/") if each] + left
            continue
        if inode.is_directory != is_directory:
            kind = "a directory" if is_directory else "a file"
            raise InputError(f"{path} is to be mounted on {kind}, and something else is there")
        above.append(ino)
