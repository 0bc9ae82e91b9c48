"""Volumes under one FUSE mount, served by threads of this process.

One mount serves several volumes, each as a directory of its own below the root; who mounts binds them to where they
belong. Every request but those that wait for a commit is answered by the thread that read it.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from bannock.errors import BannockError, causes
from bannock.shield.fuse import protocol, replies
from bannock.shield.fuse.branch import Branches, Request
from bannock.shield.fuse.commits import Commits
from bannock.shield.fuse.device import Device
from bannock.shield.fuse.directory_operations import DirectoryOperations
from bannock.shield.fuse.file_operations import FileOperations
from bannock.shield.fuse.name_operations import NameOperations
from bannock.shield.fuse.protocol import HEADER_BYTES, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bannock.shield.volume import Volume

__all__ = ["FuseServer"]

_log = logging.getLogger("bannock.shield")

_Payload: TypeAlias = bytes | bytearray | memoryview

#: Threads that read requests: one that computes, one that waits for the disk, and one that commits.
_THREADS: Final = 3
#: How long the end of the server waits before it looks for requests once more.
_END_SECONDS: Final = 0.001
#: What the kernel says when there is nothing (more) to read from this connection.
_GONE: Final = frozenset({errno.ENODEV, errno.ECONNABORTED, errno.EBADF})
#: What has to wait while a commit is under way.
_CHANGING: Final = frozenset(
    {
        Opcode.SETATTR,
        Opcode.SYMLINK,
        Opcode.MKNOD,
        Opcode.MKDIR,
        Opcode.UNLINK,
        Opcode.RMDIR,
        Opcode.RENAME,
        Opcode.RENAME2,
        Opcode.LINK,
        Opcode.WRITE,
        Opcode.FALLOCATE,
    }
)
#: What is never answered.
_SILENT: Final = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET})
#: Answers that the kernel takes note of by counting a lookup; it does not where the answer came too late.
_ENTRY_GIVING: Final = frozenset({Opcode.LOOKUP, Opcode.MKNOD, Opcode.MKDIR, Opcode.SYMLINK, Opcode.LINK})


class FuseServer:
    """A mount that is served by threads of its own.

    Args:
        mountpoint: an existing directory.
        volumes: label for the log (the path that the application sees) and volume; the n-th is found as directory
            ``n`` of the mount.
    """

    def __init__(self, mountpoint: Path, volumes: Sequence[tuple[str, Volume]]) -> None:
        self._mountpoint = mountpoint
        self._lock = threading.Lock()
        self._commits = Commits(self._lock, answer=self._answer, again=self._handle_held, inline=_THREADS - 1)
        self._branches = Branches(volumes, self._commits.group)
        self._names = NameOperations(self._branches)
        self._files = FileOperations(self._branches, self._lock)
        self._handlers: dict[int, Callable[[Request], _Payload | None]] = {
            **self._names.handlers(),
            **self._files.handlers(),
            **DirectoryOperations(self._branches).handlers(),
            Opcode.RELEASE: _nothing,
            Opcode.RELEASEDIR: _nothing,
            Opcode.DESTROY: _nothing,
            Opcode.IOCTL: _no_ioctl,
        }
        #: What takes the lock by itself, if it needs it.
        self._free: dict[int, Callable[[Request], _Payload | None]] = {
            Opcode.READ: self._files.read,
            Opcode.FSYNC: self._commit,
            Opcode.FSYNCDIR: self._commit,
            Opcode.SYNCFS: self._commit,
        }
        self._device: Device | None = None
        self._descriptor = -1
        self._mounted_here = True
        self._stopping = False
        self._last_line = ""
        self._threads = [
            threading.Thread(target=self._serve, name=f"shield {number}", daemon=True) for number in range(_THREADS)
        ]

    def start(self) -> None:
        """Mount, and return when requests are answered.

        Raises:
            OSError: the mount is refused.
        """
        writable = any(branch.volume.writable for branch in self._branches.all)
        self._device = device = Device.mount(self._mountpoint, writable=writable)
        self._descriptor = device.descriptor
        self._commits.start()
        for thread in self._threads:
            thread.start()
        device.served()

    def moved(self) -> None:
        """Learn that the mount point was taken away, and the volumes are mounted elsewhere alone."""
        self._mounted_here = False

    def stop(self) -> None:
        """Unmount and return when the last request was answered; the volumes are not committed by this.

        Nothing happens if the server was not started.
        """
        if (device := self._device) is None:
            return
        self._device = None
        with suppress(OSError):
            device.flush()
        self._stopping = True
        waker = threading.Thread(target=device.wake, args=(len(self._threads),), name="shield end")
        waker.start()
        for thread in self._threads:
            thread.join()
        while True:
            # A thread may have ended by another request than that of the waker.
            self._drain()
            if not waker.is_alive():
                break
            waker.join(_END_SECONDS)
        self._commits.stop()
        device.close(unmount=self._mounted_here)
        with self._lock:
            for branch in self._branches.all:
                branch.forget_all()

    # -- below

    def _serve(self) -> None:
        """Answer requests until the mount is gone, or the server is to stop."""
        buffer = memoryview(bytearray(protocol.REQUEST_BYTES))
        request, parts, descriptor = Request(), (buffer,), self._descriptor
        while not self._stopping:
            try:
                size = os.readv(descriptor, parts)
            except OSError as error:
                if error.errno in _GONE:
                    return
                # ENOENT: who asked gave up before the request was read.
                continue
            self._handle(request, buffer[:size])

    def _drain(self) -> None:
        """Answer what is still to be read, and wait for nothing."""
        os.set_blocking(self._descriptor, False)
        buffer = memoryview(bytearray(protocol.REQUEST_BYTES))
        request = Request()
        while True:
            try:
                size = os.readv(self._descriptor, (buffer,))
            except OSError as error:
                if error.errno == errno.ENOENT:
                    continue
                return
            self._handle(request, buffer[:size])

    def _handle(self, request: Request, data: memoryview) -> None:
        """Answer one request, whatever is in it."""
        if len(data) < HEADER_BYTES:
            return
        length, opcode, request.unique, request.node, request.uid, request.gid = protocol.header(data)
        request.body, request.name = data[HEADER_BYTES:length], b""
        try:
            payload = self._ask(request, opcode, data)
        except OSError as error:
            number = self._os_error(request, error)
        except BannockError as error:
            number = self._damage(request, error)
        except struct.error:
            number = errno.EINVAL
        except Exception as error:  # noqa: BLE001 # one of the outermost doors: the mount goes on
            number = self._defect(request, opcode, error)
        else:
            if payload is not None:
                self._reply(opcode, request, payload)
            return
        if opcode not in _SILENT:
            self._answer(request.unique, number)

    def _ask(self, request: Request, opcode: int, data: memoryview) -> _Payload | None:
        """Return the answer to a request; None if there is none, or not yet."""
        if (handler := self._handlers.get(opcode)) is not None:
            with self._lock:
                if opcode in _CHANGING and (group := self._branches.find(request.node)[0].group).closed:
                    group.held.append(bytes(data))
                    return None
                return handler(request)
        if (handler := self._free.get(opcode)) is not None:
            return handler(request)
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def _handle_held(self, requests: list[bytes]) -> None:
        """Answer requests that a commit has held back."""
        for data in requests:
            self._handle(Request(), memoryview(data))

    def _commit(self, request: Request) -> bytes | None:
        if request.node == protocol.ROOT_NODE:
            return b""
        branch, _ = self._branches.find(request.node)
        self._commits.wanted(branch.group, request.unique)
        return None

    def _reply(self, opcode: int, request: Request, payload: _Payload) -> None:
        try:
            os.writev(self._descriptor, (protocol.reply_header(request.unique, len(payload)), payload))
        except OSError:
            # Who asked has given up, so the kernel does not know what it was told here.
            with self._lock, suppress(OSError):
                if opcode in _ENTRY_GIVING:
                    self._names.forget(replies.entry_node(payload), 1)
                elif opcode == Opcode.READDIRPLUS:
                    for node in replies.listed_nodes(payload):
                        self._names.forget(node, 1)

    def _answer(self, unique: int, number: int) -> None:
        # ENOENT: who asked has given up. ENODEV: the mount is gone.
        with suppress(OSError):
            os.write(self._descriptor, protocol.error_reply(unique, number))

    # -- what goes wrong

    def _os_error(self, request: Request, error: OSError) -> int:
        if error.errno in {errno.EIO, errno.ENOSPC}:
            self._complain(f"{self._where(request)}: {error.strerror}")
        return error.errno or errno.EIO

    def _damage(self, request: Request, error: BannockError) -> int:
        why = ": ".join(str(cause) for cause in causes(error))
        self._complain(f"{self._where(request)}: input/output error: {why}")
        return errno.EIO

    def _defect(self, request: Request, opcode: int, error: Exception) -> int:
        self._complain(f"{self._where(request)}: request {opcode} failed: {type(error).__name__}: {error}")
        _log.debug("request %d", opcode, exc_info=True)
        return errno.EIO

    def _complain(self, line: str) -> None:
        """Log an error, but not the same one over and over while a program tries again."""
        if line != self._last_line:
            self._last_line = line
            _log.error("%s", line)

    def _where(self, request: Request) -> str:
        """Return the path that a request is about, as the application sees it."""
        with self._lock:
            try:
                branch, ino = self._branches.find(request.node)
            except OSError:
                return "/"
            return branch.path(ino, request.name)


def _nothing(_: Request) -> bytes:
    return b""


def _no_ioctl(_: Request) -> bytes:
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
