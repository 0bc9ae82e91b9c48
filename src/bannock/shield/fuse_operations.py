"""What the kernel asks of a FUSE mount, answered from volumes: maps types and errors, and holds no rules.

Source: libfuse 3, the low-level interface. Runs on one thread.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import pyfuse3
import trio

from bannock.errors import BannockError, causes
from bannock.shield.fuse_attributes import change, entry_of, root_entry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from bannock.shield.volume import Volume

__all__ = ["Operations"]

_log = logging.getLogger("bannock.shield")

#: Volumes of one mount; an inode's number for the kernel is its own times this, plus the volume's.
_VOLUMES: Final = 256
#: Names of a path that a log line shows.
_DEPTH: Final = 64


@dataclass(slots=True)
class _Listing:
    """An open directory: how far it was read, and behind which name the next entry comes."""

    ino: int
    position: int = 0
    last: bytes = b""


@dataclass(slots=True)
class _Known:
    """An inode that the kernel knows: how often it was told of it, and where from."""

    count: int
    parent: int
    name: bytes


class Operations(pyfuse3.Operations):
    """Answers requests for several volumes.

    Args:
        volumes: label for the log (the path that the application sees) and volume.

    Attributes:
        closed: set when a file that may have changed was closed.
    """

    supports_dot_lookup = False

    def __init__(self, volumes: Sequence[tuple[str, Volume]]) -> None:
        super().__init__()
        self.volumes = [volume for _, volume in volumes]
        self._labels = [label for label, _ in volumes]
        self._kernel: dict[int, _Known] = {}
        self._listings: dict[int, _Listing] = {}
        self._next_listing = 1
        self.closed = trio.Event()

    # -- names

    async def lookup(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        if parent == pyfuse3.ROOT_INODE:
            index = int(name) if name.isdigit() else len(self.volumes)
            if index >= len(self.volumes):
                raise pyfuse3.FUSEError(errno.ENOENT)
            return self._attributes(index, self.volumes[index].root)
        volume, index, ino = self._volume(parent)
        with self._errors(parent):
            return self._known(parent, name, index, volume.names.lookup(ino, name))

    async def forget(self, inodes: Sequence[tuple[int, int]]) -> None:
        for ino, count in inodes:
            if (known := self._kernel.get(ino)) is not None:
                known.count -= count
                if known.count <= 0:
                    self._forget(ino)

    def forget_all(self) -> None:
        """Let go of what the kernel still knew when the mount went."""
        for ino in list(self._kernel):
            self._forget(ino)

    async def mkdir(self, parent: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        return self._make(parent, name, stat.S_IFDIR | stat.S_IMODE(mode), ctx)

    async def mknod(
        self, parent: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return self._make(parent, name, mode, ctx)

    async def create(
        self, parent: int, name: bytes, mode: int, flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        entry = self._make(parent, name, stat.S_IFREG | stat.S_IMODE(mode), ctx)
        return self._open(entry.st_ino), entry

    async def symlink(
        self, parent: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        volume, index, ino = self._volume(parent)
        with self._errors(parent):
            made = volume.names.symlink(ino, name, target, uid=ctx.uid, gid=ctx.gid)
            return self._known(parent, name, index, made)

    async def readlink(self, ino: int, ctx: pyfuse3.RequestContext) -> bytes:
        volume, _, inner = self._volume(ino)
        with self._errors(ino):
            return volume.names.link_target(inner)

    async def link(self, ino: int, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        volume, index, inner = self._volume(ino)
        if self._volume(parent)[1] != index:
            raise pyfuse3.FUSEError(errno.EXDEV)
        with self._errors(parent):
            volume.names.link(inner, self._volume(parent)[2], name)
            return self._known(parent, name, index, inner)

    async def unlink(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        volume, _, ino = self._volume(parent)
        with self._errors(parent):
            volume.names.unlink(ino, name)

    async def rmdir(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        volume, _, ino = self._volume(parent)
        with self._errors(parent):
            volume.names.rmdir(ino, name)

    async def rename(
        self, parent: int, name: bytes, to: int, new: bytes, flags: int, ctx: pyfuse3.RequestContext
    ) -> None:
        volume, index, ino = self._volume(parent)
        if self._volume(to)[1] != index:
            raise pyfuse3.FUSEError(errno.EXDEV)
        target = self._volume(to)[2]
        with self._errors(parent):
            if flags & pyfuse3.RENAME_EXCHANGE:
                volume.names.exchange(ino, name, target, new)
            else:
                replace = not flags & pyfuse3.RENAME_NOREPLACE
                volume.names.rename(ino, name, target, new, replace=replace)
            moved = self._kernel.get(self._outer(index, volume.names.lookup(target, new)))
            if moved is not None:
                moved.parent, moved.name = to, new

    # -- attributes

    async def getattr(self, ino: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        if ino == pyfuse3.ROOT_INODE:
            return root_entry(len(self.volumes))
        _, index, inner = self._volume(ino)
        with self._errors(ino):
            return self._attributes(index, inner)

    async def setattr(
        self,
        ino: int,
        attributes: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        volume, index, inner = self._volume(ino)
        with self._errors(ino):
            if fields.update_size:
                volume.inodes.truncate(inner, attributes.st_size)
            change(volume.inodes.change(inner), attributes, fields)
            return self._attributes(index, inner)

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        space, answer = self.volumes[0].space(), pyfuse3.StatvfsData()
        for name in ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail"):
            setattr(answer, name, getattr(space, name))
        answer.f_namemax = 255
        return answer

    # -- directories

    async def opendir(self, ino: int, ctx: pyfuse3.RequestContext) -> int:
        handle, self._next_listing = self._next_listing, self._next_listing + 1
        self._listings[handle] = _Listing(ino)
        return handle

    async def readdir(self, handle: int, start: int, token: pyfuse3.ReaddirToken) -> None:
        listing = self._listings[handle]
        if listing.ino == pyfuse3.ROOT_INODE:
            return
        volume, index, ino = self._volume(listing.ino)
        with self._errors(listing.ino):
            if start != listing.position:
                listing.position, listing.last = 0, b""
            for entry in volume.names.entries(ino, listing.last):
                if listing.position >= start:
                    attributes = self._attributes(index, entry.ino)
                    if not pyfuse3.readdir_reply(token, entry.name, attributes, listing.position + 1):
                        return
                    self._remember(attributes.st_ino, listing.ino, entry.name)
                listing.position += 1
                listing.last = entry.name

    async def releasedir(self, handle: int) -> None:
        del self._listings[handle]

    async def fsyncdir(self, handle: int, datasync: bool) -> None:  # noqa: FBT001 # the caller's signature
        self.commit(self._listings[handle].ino)

    # -- files

    async def open(self, ino: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        volume, _, inner = self._volume(ino)
        with self._errors(ino):
            if flags & os.O_TRUNC:
                volume.inodes.truncate(inner, 0)
        return self._open(ino)

    async def read(self, ino: int, offset: int, size: int) -> bytes:
        volume, _, inner = self._volume(ino)
        with self._errors(ino):
            # pyfuse3 takes any buffer; a copy into bytes would cost as much as the kernel's own.
            return cast("bytes", volume.inodes.read(inner, offset, size))

    async def write(self, ino: int, offset: int, data: bytes) -> int:
        volume, _, inner = self._volume(ino)
        with self._errors(ino):
            volume.inodes.write(inner, offset, data)
        return len(data)

    async def fsync(self, ino: int, datasync: bool) -> None:  # noqa: FBT001 # the caller's signature
        self.commit(ino)

    async def release(self, ino: int) -> None:
        volume, _, inner = self._volume(ino)
        with self._errors(ino):
            volume.inodes.handles.release(inner)
        if volume.changed:
            self.closed.set()

    def commit(self, ino: int) -> None:
        """Commit the volume that an inode is in."""
        volume, index, _ = self._volume(ino)
        with self._errors(ino):
            before = volume.tag
            if (after := volume.commit()) != before:
                _log.debug("%s: state %s", self._labels[index], after)

    # -- below

    def _volume(self, ino: int) -> tuple[Volume, int, int]:
        inner, index = divmod(ino, _VOLUMES)
        if not inner:
            raise pyfuse3.FUSEError(errno.EPERM)
        return self.volumes[index], index, inner

    @staticmethod
    def _outer(index: int, ino: int) -> int:
        return ino * _VOLUMES + index

    def _open(self, ino: int) -> pyfuse3.FileInfo:
        volume, _, inner = self._volume(ino)
        volume.inodes.handles.open(inner)
        return pyfuse3.FileInfo(fh=ino, keep_cache=True)

    def _make(self, parent: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        volume, index, ino = self._volume(parent)
        with self._errors(parent):
            made = volume.names.make(ino, name, mode, uid=ctx.uid, gid=ctx.gid)
            return self._known(parent, name, index, made)

    def _known(self, parent: int, name: bytes, index: int, ino: int) -> pyfuse3.EntryAttributes:
        self._remember(self._outer(index, ino), parent, name)
        return self._attributes(index, ino)

    def _remember(self, ino: int, parent: int, name: bytes) -> None:
        """Count that the kernel was told of an inode: until it forgets, the inode stays, with a name or without."""
        if (known := self._kernel.get(ino)) is not None:
            known.count += 1
            known.parent, known.name = parent, name
            return
        self._kernel[ino] = _Known(1, parent, name)
        volume, _, inner = self._volume(ino)
        volume.inodes.handles.open(inner)

    def _forget(self, ino: int) -> None:
        del self._kernel[ino]
        volume, _, inner = self._volume(ino)
        with suppress(BannockError, OSError):
            volume.inodes.handles.release(inner)

    def _attributes(self, index: int, ino: int) -> pyfuse3.EntryAttributes:
        return entry_of(self._outer(index, ino), self.volumes[index].inodes.get(ino))

    def _errors(self, ino: int) -> AbstractContextManager[None]:
        return _Errors(self, ino)

    def where(self, ino: int) -> str:
        """Return the path of an inode as the application sees it, for the log."""
        parts: list[bytes] = []
        label = self._labels[ino % _VOLUMES]
        while (known := self._kernel.get(ino)) is not None and len(parts) < _DEPTH:
            ino = known.parent
            parts.append(known.name)
        return "/".join([label, *(os.fsdecode(part) for part in reversed(parts))])


class _Errors:
    """Turns what a volume raises into what the kernel understands; what is damaged is named in the log."""

    __slots__ = ("_ino", "_operations")

    def __init__(self, operations: Operations, ino: int) -> None:
        self._operations = operations
        self._ino = ino

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            if error.errno in (errno.EIO, errno.ENOSPC, errno.EROFS):
                _log.error("%s: %s", self._operations.where(self._ino), error.strerror)
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from error
        if isinstance(error, BannockError):
            why = ": ".join(str(cause) for cause in causes(error))
            _log.error("%s: input/output error: %s", self._operations.where(self._ino), why)
            raise pyfuse3.FUSEError(errno.EIO) from error
