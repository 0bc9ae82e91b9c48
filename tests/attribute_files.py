"""Files whose content is made when they are read: a FUSE file system for tests that emulate interfaces of kernels."""

from __future__ import annotations

import errno
import os
import stat
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from bannock import linux
from bannock.shield.fuse import protocol
from bannock.shield.fuse.protocol import Opcode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT: Final = protocol.ROOT_NODE
_OPEN: Final = 14
_FLUSH: Final = 25
_INTERRUPT: Final = 36
#: The kernel keeps nothing of these files, and asks whatever their size is.
_DIRECT_IO: Final = 1
_ATTR: Final = "QQQqqqIIIIIIIII4x"
_ENTRY_OUT: Final = struct.Struct(f"=QQQQ8x{_ATTR}")
_ATTR_OUT: Final = struct.Struct(f"=Q8x{_ATTR}")
_OPEN_OUT: Final = struct.Struct("=QI4x")
_INIT_OUT: Final = struct.Struct("=IIIIHHIIHHI28x")
_READ_IN: Final = struct.Struct("=QQI20x")
_WRITE_IN: Final = struct.Struct("=QQII16x")
_HANDLE_IN: Final = struct.Struct("=Q")


@dataclass(slots=True)
class Handle:
    """An open file: what a reader gets, or what a writer has written so far."""

    content: bytes | None = None
    pending: bytearray = field(default_factory=bytearray)


class AttributeFiles:
    """A file system of such files; a context manager, mounted on a directory. Whoever derives says what is in it."""

    def __init__(self, mountpoint: Path) -> None:
        self._mountpoint = mountpoint
        self._handles: dict[int, Handle] = {}
        self._opened = 0
        self._thread = threading.Thread(target=self._serve, name="attribute files", daemon=True)

    def lookup(self, node: int, name: str) -> int:
        """Give the node of a name, or raise OSError (ENOENT)."""
        raise NotImplementedError

    def mode(self, node: int) -> int:
        """Give type and rights of a node, or raise OSError (ENOENT)."""
        raise NotImplementedError

    def read(self, node: int) -> bytes:
        """Make the content of a file; once for each time that it is opened."""
        raise NotImplementedError

    def write(self, node: int, handle: Handle, offset: int, data: bytes) -> None:
        """Take what is written."""
        raise NotImplementedError

    def close(self, node: int, handle: Handle) -> None:
        """Learn that a file is closed, before whoever closes it goes on."""

    def make(self, node: int, name: str) -> int:
        """Make a directory, and give its node."""
        raise OSError(errno.EPERM, f"no directories in {node}: {name}")

    def drop(self, node: int, name: str) -> None:
        """Remove a directory."""
        raise OSError(errno.EPERM, f"no directories in {node}: {name}")

    def __enter__(self) -> Self:
        self._descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = (
            f"fd={self._descriptor},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0,default_permissions,allow_other"
        )
        linux.mount("attributes", self._mountpoint, "fuse.attributes", linux.MS_NOSUID | linux.MS_NODEV, options)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        linux.unmount(self._mountpoint)
        self._thread.join()
        os.close(self._descriptor)

    def _serve(self) -> None:
        while True:
            try:
                request = memoryview(os.read(self._descriptor, protocol.REQUEST_BYTES))
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                continue
            _, opcode, unique, node, _, _ = protocol.header(request)
            try:
                reply = self._answer(opcode, node, request[protocol.HEADER_BYTES :])
            except OSError as error:
                answer = [protocol.error_reply(unique, error.errno or errno.EIO)]
            else:
                if reply is None:
                    continue
                answer = [protocol.reply_header(unique, len(reply)), reply]
            with suppress(OSError):
                os.writev(self._descriptor, answer)

    def _answer(self, opcode: int, node: int, body: memoryview) -> bytes | None:
        if opcode in {Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.DESTROY, _INTERRUPT}:
            return None
        raw = bytes(body)
        handlers: dict[int, Callable[[], bytes]] = {
            Opcode.INIT: lambda: _INIT_OUT.pack(7, 31, protocol.init(body).read_ahead, 0, 1, 1, 1 << 16, 1, 0, 0, 0),
            Opcode.GETATTR: lambda: _ATTR_OUT.pack(0, *self._attr(node)),
            # What O_TRUNC asks for; such files have nothing that could be cut.
            Opcode.SETATTR: lambda: _ATTR_OUT.pack(0, *self._attr(node)),
            Opcode.LOOKUP: lambda: self._entry(self.lookup(node, _name(raw))),
            Opcode.MKDIR: lambda: self._entry(self.make(node, _name(raw[8:]))),
            _OPEN: self._open,
        }
        if opcode == Opcode.RMDIR:
            self.drop(node, _name(raw))
            return b""
        return handlers[opcode]() if opcode in handlers else self._file(opcode, node, raw)

    def _open(self) -> bytes:
        self._opened += 1
        self._handles[self._opened] = Handle()
        return _OPEN_OUT.pack(self._opened, _DIRECT_IO)

    def _file(self, opcode: int, node: int, body: bytes) -> bytes:
        if opcode not in {Opcode.READ, Opcode.WRITE, _FLUSH, Opcode.RELEASE}:
            raise OSError(errno.ENOSYS, "not a call of this file system")
        handle = self._handles[_HANDLE_IN.unpack_from(body)[0]]
        if opcode == Opcode.READ:
            _, offset, size = _READ_IN.unpack_from(body)
            if handle.content is None:
                handle.content = self.read(node)
            return handle.content[offset : offset + size]
        if opcode == Opcode.WRITE:
            _, offset, size, _ = _WRITE_IN.unpack_from(body)
            self.write(node, handle, offset, body[_WRITE_IN.size : _WRITE_IN.size + size])
            return struct.pack("=I4x", size)
        if opcode == _FLUSH:
            self.close(node, handle)
        return b""

    def _entry(self, node: int) -> bytes:
        return _ENTRY_OUT.pack(node, 0, 0, 0, *self._attr(node))

    def _attr(self, node: int) -> tuple[int, ...]:
        return (node, 0, 0, 0, 0, 0, 0, 0, 0, self.mode(node), 1, 0, 0, 0, 4096)


def _name(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()
