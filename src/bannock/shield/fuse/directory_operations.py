"""Listings of directories, with the attributes of what is in them. Keeps no directory in memory.

Runs under the lock of the server.
"""

from __future__ import annotations

import logging
import stat
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from bannock.shield.fuse import replies, requests
from bannock.shield.fuse.branch import blocks
from bannock.shield.fuse.known import Places
from bannock.shield.fuse.protocol import ROOT_NODE, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bannock.shield.fuse.branch import Branch, Branches, Request

__all__ = ["DirectoryOperations"]

_log = logging.getLogger("bannock.shield")

#: What every listing starts with.
_DOTS: Final = (b".", b"..")


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
        names: list[bytes] = []
        count, entries = self._start(branch, ino, position, names)
        out, end = bytearray(size), 0
        for name, inner, kind in entries:
            if end + replies.entry_bytes(name) > size:
                break
            count += 1
            end = replies.put_entry(out, end, name, branch.node(inner), kind, count)
            names.append(name)
        if names:
            self._places.end(count, names[-1])
        return memoryview(out)[:end]

    def _readdirplus(self, request: Request) -> bytes | memoryview:
        """Tell attributes along with names: the kernel needs no LOOKUP for what it was told here."""
        position, size = requests.read(request.body)
        if request.node == ROOT_NODE:
            return b""
        branch, parent = self._find(request.node)
        names: list[bytes] = []
        count, entries = self._start(branch, parent, position, names)
        out, end, room = bytearray(size), 0, (size & ~7) - replies.ENTRY_PLUS_BYTES
        put, get, known = replies.put_entry_plus, branch.inodes.get, branch.known.add
        for name, ino, kind in entries:
            if end + len(name) > room:
                break
            count, node = count + 1, branch.node(ino)
            names.append(name)
            if name in _DOTS:
                end = replies.put_name_plus(out, end, name, node, kind, count)
                continue
            try:
                inode = get(ino)
            except BannockError as error:
                # One damaged inode does not make its neighbours unreadable; whoever asks for it gets the error.
                _log.error("%s: %s", branch.path(parent, name), error)
                end = replies.put_name_plus(out, end, name, node, kind, count)
            else:
                end = put(out, end, name, node, inode, blocks(inode), count)
                known(ino, parent)
        if names:
            self._places.end(count, names[-1])
        return memoryview(out)[:end]

    def _start(
        self, branch: Branch, ino: int, position: int, names: list[bytes]
    ) -> tuple[int, Iterable[tuple[bytes, int, int]]]:
        """Return the position of a listing, and the entries from there on; it goes on from ``position``."""
        before = self._places.before(position)
        start = self._places.begin(before, names)
        if before < len(_DOTS):
            parent = branch.known.parent(ino) or branch.volume.root
            dots = [(b".", ino, stat.S_IFDIR), (b"..", parent, stat.S_IFDIR)]
            return start, chain(dots[before:], branch.names.entries(ino))
        last = self._places.find(position)
        if last in _DOTS:
            return start, branch.names.entries(ino)
        if last is not None:
            return start, branch.names.entries(ino, last)
        return start, islice(branch.names.entries(ino), before - len(_DOTS), None)
