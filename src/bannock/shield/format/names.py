"""The names of a volume: directories, and every operation that makes, moves or removes a name.

Answers what POSIX asks for, as OSError with its errno. Not thread-safe.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import IntegrityError
from bannock.shield.format.records import (
    MAX_BACKING_BYTES,
    decode_name,
    encode_name,
    link_key,
    name_key,
    range_of,
    short_backing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.shield.format.inodes import Inodes
    from bannock.shield.format.records import Inode
    from bannock.shield.format.tree import Tree

__all__ = ["Entry", "Names"]

_MAX_NAME: Final = 255
_MAX_LINK: Final = 4095
_LINK_PART: Final = 1024
_KINDS: Final = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


class Entry(NamedTuple):
    """A name in a directory."""

    name: bytes
    ino: int
    kind: int


class Names:
    """The tree of names over a table of inodes."""

    def __init__(self, tree: Tree, inodes: Inodes) -> None:
        self._tree = tree
        self._inodes = inodes

    def lookup(self, parent: int, name: bytes) -> int:
        """Return the inode of a name.

        Raises:
            FileNotFoundError: there is no such name.
        """
        if (found := self._find(parent, name)) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return found.ino

    def entries(self, ino: int, after: bytes = b"") -> Iterator[Entry]:
        """Yield the entries of a directory in the order of their names, from behind ``after``.

        Raises:
            IntegrityError: one of them could lead out of the directory; who wrote it had the key.
        """
        start, end = range_of(name_key(ino))
        prefix = len(start)
        begin = name_key(ino, after) + b"\0" if after else start
        for key, value in self._tree.walk(begin, end):
            name = key[prefix:]
            if _is_path(name):
                raise IntegrityError(f"{name!r} is in the place of a name")
            yield Entry(name, *decode_name(value))

    def make(self, parent: int, name: bytes, mode: int, *, uid: int = 0, gid: int = 0) -> int:
        """Make a regular file or a directory and return its inode.

        Raises:
            FileExistsError: the name is taken.
            OSError: EOPNOTSUPP for a device, a socket or a pipe; ENAMETOOLONG.
        """
        kind = stat.S_IFMT(mode)
        if kind not in _KINDS:
            raise OSError(errno.EOPNOTSUPP, "only files, directories and symbolic links can be protected")
        directory = self._vacant(parent, name)
        backing = directory.backing + b"/" + name if directory.backing else name
        with self._inodes.whole:
            ino = self._inodes.new(mode, uid=uid, gid=gid, backing=backing)
            if kind == stat.S_IFDIR:
                inode = self._inodes.change(ino)
                inode.links = 2
                if len(backing) > MAX_BACKING_BYTES:
                    inode.backing = short_backing(ino)
                self._inodes.modify(parent).links += 1
            self._put(parent, name, ino, mode)
        return ino

    def symlink(self, parent: int, name: bytes, target: bytes, *, uid: int = 0, gid: int = 0) -> int:
        """Make a symbolic link."""
        if not 0 < len(target) <= _MAX_LINK:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        ino = self.make(parent, name, stat.S_IFLNK | 0o777, uid=uid, gid=gid)
        with self._inodes.whole:
            self._inodes.change(ino).size = len(target)
            for part in range(0, len(target), _LINK_PART):
                self._tree.put(link_key(ino, part // _LINK_PART), target[part : part + _LINK_PART])
        return ino

    def link_target(self, ino: int) -> bytes:
        """Return the target of a symbolic link."""
        parts = self._tree.scan(*range_of(link_key(ino, 0)), _MAX_LINK // _LINK_PART + 1)
        return b"".join(value for _, value in parts)

    def link(self, ino: int, parent: int, name: bytes) -> None:
        """Give a file one more name."""
        self._vacant(parent, name)
        inode = self._inodes.get(ino)
        if inode.is_directory:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        with self._inodes.whole:
            self._inodes.change(ino).links += 1
            self._put(parent, name, ino, inode.mode)

    def unlink(self, parent: int, name: bytes) -> None:
        """Remove the name of a file or a link."""
        ino = self.lookup(parent, name)
        if self._inodes.get(ino).is_directory:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with self._inodes.whole:
            self._drop(parent, name)
            self._inodes.unlinked(ino)

    def rmdir(self, parent: int, name: bytes) -> None:
        """Remove an empty directory."""
        ino = self.lookup(parent, name)
        self._require_empty_directory(ino)
        with self._inodes.whole:
            self._drop(parent, name)
            self._remove_directory(parent, ino)

    def rename(self, parent: int, name: bytes, to: int, new: bytes, *, replace: bool = True) -> None:
        """Move a name, over another one if there is one."""
        ino = self.lookup(parent, name)
        moved = self._inodes.get(ino)
        target = self._find(to, new)
        if target is not None:
            if not replace:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            if target.ino == ino:
                return
            self._require_replaceable(moved, target)
        else:
            _check_name(new)
        with self._inodes.whole:
            if target is not None:
                self._displace(to, target)
            self._drop(parent, name)
            self._put(to, new, ino, moved.mode)
            self._inodes.change(ino)
            if moved.is_directory and parent != to:
                self._inodes.modify(parent).links -= 1
                self._inodes.modify(to).links += 1

    def exchange(self, parent: int, name: bytes, to: int, other: bytes) -> None:
        """Swap what two names mean (RENAME_EXCHANGE of renameat2(2))."""
        first, second = self.lookup(parent, name), self.lookup(to, other)
        one, two = self._inodes.get(first), self._inodes.get(second)
        with self._inodes.whole:
            self._put(parent, name, second, two.mode)
            self._put(to, other, first, one.mode)
            if parent != to and one.is_directory != two.is_directory:
                step = 1 if two.is_directory else -1
                self._inodes.modify(parent).links += step
                self._inodes.modify(to).links -= step

    # -- below

    def _find(self, parent: int, name: bytes) -> Entry | None:
        value = self._tree.get(name_key(parent, name)) if len(name) <= _MAX_NAME else None
        return None if value is None else Entry(name, *decode_name(value))

    def _vacant(self, parent: int, name: bytes) -> Inode:
        """Return the directory in which a new name may be made."""
        _check_name(name)
        directory = self._inodes.get(parent)
        if not directory.is_directory:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if directory.links == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if self._find(parent, name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        return directory

    def _put(self, parent: int, name: bytes, ino: int, mode: int) -> None:
        self._tree.put(name_key(parent, name), encode_name(ino, mode))
        self._inodes.modify(parent)

    def _drop(self, parent: int, name: bytes) -> None:
        self._tree.delete(name_key(parent, name))
        self._inodes.modify(parent)

    def _require_empty_directory(self, ino: int) -> None:
        if not self._inodes.get(ino).is_directory:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if next(self.entries(ino), None) is not None:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    def _remove_directory(self, parent: int, ino: int) -> None:
        self._inodes.modify(parent).links -= 1
        self._inodes.change(ino).links = 1
        self._inodes.unlinked(ino)

    def _require_replaceable(self, moved: Inode, target: Entry) -> None:
        if moved.is_directory:
            self._require_empty_directory(target.ino)
        elif self._inodes.get(target.ino).is_directory:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def _displace(self, parent: int, target: Entry) -> None:
        """Make room for a rename."""
        if self._inodes.get(target.ino).is_directory:
            self._remove_directory(parent, target.ino)
        else:
            self._inodes.unlinked(target.ino)


def _check_name(name: bytes) -> None:
    if len(name) > _MAX_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    if _is_path(name):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _is_path(name: bytes) -> bool:
    return name in {b"", b".", b".."} or b"/" in name or b"\0" in name
