"""Attributes as the kernel knows them, from an inode and back."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import pyfuse3

if TYPE_CHECKING:
    from bannock.shield.format.records import Inode

__all__ = ["change", "entry_of", "root_entry"]

#: Nobody but the mount changes its volumes, so the kernel may keep what it was told.
_VALID_SECONDS: Final = 3600
_PERMISSIONS: Final = 0o7777
#: The unit of st_blocks (stat(2)).
_BLOCK_BYTES: Final = 512


def entry_of(number: int, inode: Inode) -> pyfuse3.EntryAttributes:
    """Tell the kernel of an inode, under the number that it has there."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = number
    entry.st_mode = inode.mode
    entry.st_nlink = inode.links
    entry.st_uid = inode.uid
    entry.st_gid = inode.gid
    entry.st_size = inode.size
    entry.st_blksize = inode.chunk_bytes
    entry.st_blocks = -(-inode.size // _BLOCK_BYTES)
    entry.st_atime_ns = inode.accessed
    entry.st_mtime_ns = inode.modified
    entry.st_ctime_ns = inode.changed
    entry.attr_timeout = entry.entry_timeout = _VALID_SECONDS
    return entry


def root_entry(volumes: int) -> pyfuse3.EntryAttributes:
    """Tell the kernel of the directory that the volumes are below."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = pyfuse3.ROOT_INODE
    entry.st_mode = stat.S_IFDIR | 0o555
    entry.st_nlink = 2 + volumes
    return entry


def change(inode: Inode, wanted: pyfuse3.EntryAttributes, named: pyfuse3.SetattrFields) -> None:
    """Take over what setattr(2) names."""
    if named.update_mode:
        inode.mode = stat.S_IFMT(inode.mode) | (wanted.st_mode & _PERMISSIONS)
    if named.update_uid:
        inode.uid = wanted.st_uid
    if named.update_gid:
        inode.gid = wanted.st_gid
    if named.update_atime:
        inode.accessed = wanted.st_atime_ns
    if named.update_mtime:
        inode.modified = wanted.st_mtime_ns
