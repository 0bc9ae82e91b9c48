"""Listings of directories, with the attributes of what is in them. Keeps no directory in memory.

Runs under the lock of the server.
"""

from __future__ import annotations

import logging
import stat
from itertools import islice
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from bannock.shield.fuse import replies, requests
from bannock.shield.fuse.branch import blocks
from bannock.shield.fuse.known import Places
from bannock.shield.fuse.protocol import ROOT_NODE, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bannock.shield.format.names import Entry
    from bannock.shield.fuse.branch import Branch, Branches, Request

__all__ = ["DirectoryOperations"]

_log = logging.getLogger("bannock.shield")

#: The entries "." and "..", which every listing starts with.
_DOTS: Final = 2


class DirectoryOperations:
    """Answers requests for listings."""

    def __init__(self, branches: Branches) -> None:
        self._find = branches.find
        self._places = Places()

    def handlers(self) -> Mapping[int, Callable[[Request], bytes | memoryview]]:
        """Return the answer to each kind of request."""
        return {Opcode.READDIR: self._readdir, Opcode.READDIRPLUS: self._readdirplus}

    def _readdir(self, request: Request) -> bytes | memoryview:
        position, size = requests.read(request.body)
        if request.node == ROOT_NODE:
            return b""
        branch, ino = self._find(request.node)
        out, end = bytearray(size), 0
        count, last = self._places.begin(position), b""
        for name, node in _dots(branch, ino, self._places.count(position)):
            count += 1
            end = replies.put_entry(out, end, name, node, stat.S_IFDIR, count)
        for entry in self._entries(branch, ino, request.node, position):
            if end + replies.entry_bytes(entry.name) > size:
                break
            count, last = count + 1, entry.name
            end = replies.put_entry(out, end, last, branch.node(entry.ino), entry.kind, count)
            self._places.listed(request.node, count, last)
        if last:
            self._places.ended(request.node, count, last)
        return memoryview(out)[:end]

    def _readdirplus(self, request: Request) -> bytes | memoryview:
        """Tell attributes along with names: the kernel needs no LOOKUP for what it was told here."""
        position, size = requests.read(request.body)
        if request.node == ROOT_NODE:
            return b""
        branch, parent = self._find(request.node)
        out, end = bytearray(size), 0
        count, last = self._places.begin(position), b""
        for name, node in _dots(branch, parent, self._places.count(position)):
            count += 1
            end = replies.put_name_plus(out, end, name, node, stat.S_IFDIR, count)
        put, get, known, listed = replies.put_entry_plus, branch.inodes.get, branch.known.add, self._places.listed
        room = (size & ~7) - replies.ENTRY_PLUS_BYTES
        for name, ino, kind in self._entries(branch, parent, request.node, position):
            if end + len(name) > room:
                break
            count, last, node = count + 1, name, branch.node(ino)
            try:
                inode = get(ino)
            except BannockError as error:
                # One damaged inode does not make its neighbours unreadable; whoever asks for it gets the error.
                _log.error("%s: %s", branch.path(parent, name), error)
                end = replies.put_name_plus(out, end, name, node, kind, count)
            else:
                end = put(out, end, name, node, inode, blocks(inode), count)
                known(ino, parent)
            listed(request.node, count, name)
        if last:
            self._places.ended(request.node, count, last)
        return memoryview(out)[:end]

    def _entries(self, branch: Branch, ino: int, node: int, position: int) -> Iterator[Entry]:
        """Yield the entries of a directory from a position on."""
        before = self._places.count(position) - _DOTS
        if before <= 0:
            return branch.names.entries(ino)
        last = self._places.find(node, position)
        if last is not None:
            return branch.names.entries(ino, last)
        return islice(branch.names.entries(ino), before, None)


def _dots(branch: Branch, ino: int, before: int) -> list[tuple[bytes, int]]:
    """Return the names "." and "..", with the nodes they stand for, that come after the first ``before`` entries."""
    above = ROOT_NODE if ino == branch.volume.root else branch.node(branch.known.parent(ino))
    return [(b".", branch.node(ino)), (b"..", above)][before:]
