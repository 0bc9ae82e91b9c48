"""The connection to the kernel: /dev/fuse, the mount, the handshake.

Source: fuse(4), mount(2), include/uapi/linux/fuse.h. The mount is made by mount(2) alone, in the mount namespace of
the caller, so it needs neither libfuse nor fusermount, and works in a user namespace too.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock import linux
from bannock.files import sync_file_system
from bannock.shield.fuse import protocol
from bannock.shield.fuse.protocol import Opcode

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Device", "try_mount"]

_log = logging.getLogger("bannock.shield")

_DEVICE: Final = "/dev/fuse"
#: How far the kernel reads ahead of a sequential reader: two of the longest requests, so that two threads unseal at a
#: time (a quarter faster than one request here); 128 KiB, as it is else, costs eight times the requests.
_READ_AHEAD_KIB: Final = 2048
#: How much of the memory for changed pages a mount may use, in percent. FUSE starts with 1, for servers that stall.
_DIRTY_PERCENT: Final = 50
_QUEUES: Final = Path("/sys/class/bdi")


class Device:
    """An open connection to the kernel, mounted."""

    def __init__(self, descriptor: int, mountpoint: Path) -> None:
        self.descriptor = descriptor
        self._mountpoint = mountpoint
        self._root: int | None = None

    @classmethod
    def mount(cls, mountpoint: Path, *, writable: bool) -> Self:
        """Mount on a directory, and agree with the kernel on how to talk.

        Raises:
            OSError: the kernel refuses.
        """
        device = cls(_mount(mountpoint, writable=writable), mountpoint)
        try:
            device._agree(writable=writable)
        except OSError:
            device.close(unmount=True)
            raise
        return device

    def _agree(self, *, writable: bool) -> None:
        """Answer INIT, which is the first request."""
        request = memoryview(os.read(self.descriptor, protocol.REQUEST_BYTES))
        _, opcode, unique, *_ = protocol.header(request)
        if opcode != Opcode.INIT:
            raise OSError(errno.EPROTO, f"the first request of the kernel is {opcode}, INIT is expected")
        try:
            reply = protocol.init_reply(protocol.init(request[protocol.HEADER_BYTES :]), writable=writable)
        except OSError:
            os.write(self.descriptor, protocol.error_reply(unique, errno.EPROTO))
            raise
        os.writev(self.descriptor, (protocol.reply_header(unique, len(reply)), reply))

    def served(self) -> None:
        """Learn that requests are answered from now on: keep a handle on the mount, and set what only /sys can."""
        self._root = os.open(self._mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        device = os.fstat(self._root).st_dev
        queue = _QUEUES / f"{os.major(device)}:{os.minor(device)}"
        for name, value in (("read_ahead_kb", _READ_AHEAD_KIB), ("max_ratio", _DIRTY_PERCENT)):
            try:
                (queue / name).write_text(str(value))
            except OSError as error:
                _log.debug("%s stays as it is: %s", queue / name, error.strerror)

    def wake(self, times: int) -> None:
        """Have the kernel send requests: STATFS, which it never answers by itself."""
        if (root := self._root) is not None:
            for _ in range(times):
                with suppress(OSError):
                    os.fstatvfs(root)

    def flush(self) -> None:
        """Have the kernel send what was changed in its memory.

        Raises:
            OSError: not all of it could be written.
        """
        if self._root is not None:
            sync_file_system(self._root)

    def close(self, *, unmount: bool) -> None:
        """End the connection; what is asked from now on is answered by the kernel, with ENOTCONN.

        The connection goes before the last handle on the mount: the kernel would wait for answers else.
        """
        os.close(self.descriptor)
        if self._root is not None:
            os.close(self._root)
        if unmount:
            # Somebody else may have unmounted it.
            with suppress(OSError):
                linux.unmount(self._mountpoint)


def try_mount(directory: Path) -> None:
    """Mount on a directory and unmount again.

    Raises:
        OSError: FUSE is not to be had here; the message says why.
    """
    os.close(_mount(directory, writable=False))
    linux.unmount(directory)


def _mount(mountpoint: Path, *, writable: bool) -> int:
    try:
        descriptor = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, f"{_DEVICE}: {error.strerror}") from error
    options = (
        f"fd={descriptor},rootmode={stat.S_IFDIR:o},user_id={os.geteuid()},group_id={os.getegid()},"
        f"allow_other,default_permissions,max_read={protocol.MAX_IO_BYTES}"
    )
    flags = linux.MS_NOSUID | linux.MS_NODEV | (0 if writable else linux.MS_RDONLY)
    try:
        linux.mount("bannock", mountpoint, "fuse.shield", flags, options)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
