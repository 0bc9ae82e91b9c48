"""Linux's directory for quotes, as the kernel behaves: a FUSE file system for tests.

Written after Documentation/ABI/testing/configfs-tsm-report and the behaviour of drivers/virt/coco/guest/report.c and
fs/configfs/file.c: a directory is an instance with attributes; a binary attribute that is written takes effect when it
is closed, and whether it did is not told; a text attribute takes effect at once. Quotes are made when they are read,
and again after anything was written.

(FUSE has RELEASE come some time after close(2), FLUSH before it returns; so what configfs does at release is done at
flush here.)
"""

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

_OPEN: Final = 14
_FLUSH: Final = 25
_INTERRUPT: Final = 36
_DIRECT_IO: Final = 1
_ROOT: Final = 1
_INBLOB_MAX: Final = 64
_PRIVLEVEL_MAX: Final = 3
_ENTRY_OUT: Final = struct.Struct("=QQQQ8xQQQqqqIIIIIIIII4x")
_ATTR_OUT: Final = struct.Struct("=Q8xQQQqqqIIIIIIIII4x")
_OPEN_OUT: Final = struct.Struct("=QI4x")
_INIT_OUT: Final = struct.Struct("=IIIIHHIIHHI28x")
_READ_IN: Final = struct.Struct("=QQI20x")
_WRITE_IN: Final = struct.Struct("=QQII16x")
_HANDLE_IN: Final = struct.Struct("=Q")
_MODES: Final = {
    "inblob": 0o200,
    "outblob": 0o400,
    "auxblob": 0o400,
    "privlevel": 0o200,
    "privlevel_floor": 0o444,
    "provider": 0o444,
    "generation": 0o444,
}


@dataclass(slots=True)
class _Report:
    """One instance."""

    name: bytes
    inblob: bytes = b""
    privlevel: int = 0
    written: int = 0
    read: int = 0
    outblob: bytes | None = None
    auxblob: bytes = b""


@dataclass(slots=True)
class _Handle:
    """An open attribute: what a reader gets, or what a writer has written so far."""

    content: bytes | None = None
    pending: bytearray = field(default_factory=bytearray)


class TsmKernel:
    """A kernel with a provider of quotes; a context manager, mounted on a directory.

    Args:
        mountpoint: an existing directory.
        provider: ``tdx_guest``, ``sev_guest``, or None for none.
        quote: gives quote and table of certificates for what was written and the privilege level.
        floor: the lowest privilege level that may be asked for.
        tell: called with instance, attribute and what is done to it, before it is done; may raise OSError.
    """

    def __init__(
        self,
        mountpoint: Path,
        provider: str | None,
        quote: Callable[[bytes, int], tuple[bytes, bytes]],
        *,
        floor: int = 0,
        tell: Callable[[TsmKernel, str, str], None] = lambda *_: None,
    ) -> None:
        self._mountpoint = mountpoint
        self._provider = provider
        self._quote = quote
        self._floor = floor
        self._tell = tell
        self._nodes: dict[int, tuple[int, str]] = {}
        self._reports: dict[int, _Report] = {}
        self._handles: dict[int, _Handle] = {}
        self._next = _ROOT
        self.attributes = [name for name in _MODES if provider == "sev_guest" or name not in _OF_SEV]
        self._thread = threading.Thread(target=self._serve, name="tsm kernel", daemon=True)

    def __enter__(self) -> Self:
        self._descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._descriptor},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0,default_permissions"
        linux.mount("tsm", self._mountpoint, "fuse.tsm", linux.MS_NOSUID | linux.MS_NODEV, options)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        linux.unmount(self._mountpoint)
        self._thread.join()
        os.close(self._descriptor)

    @property
    def reports(self) -> list[str]:
        """The instances that there are."""
        return [report.name.decode() for report in self._reports.values()]

    def write_as_another(self) -> None:
        """Do what another program might: write into every instance."""
        for report in self._reports.values():
            report.inblob, report.written = b"other".ljust(_INBLOB_MAX, b"\0"), report.written + 1

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
        name = bytes(body)
        handlers: dict[int, Callable[[], bytes]] = {
            Opcode.INIT: lambda: _INIT_OUT.pack(7, 31, protocol.init(body).read_ahead, 0, 1, 1, 1 << 16, 1, 0, 0, 0),
            Opcode.GETATTR: lambda: _ATTR_OUT.pack(0, *self._attr(node)),
            # What O_TRUNC asks for; configfs does nothing then.
            Opcode.SETATTR: lambda: _ATTR_OUT.pack(0, *self._attr(node)),
            Opcode.LOOKUP: lambda: self._entry(self._lookup(node, name.rstrip(b"\0"))),
            Opcode.MKDIR: lambda: self._entry(self._make(node, name[8:].rstrip(b"\0"))),
            Opcode.RMDIR: lambda: self._drop(name.rstrip(b"\0")),
        }
        return handlers[opcode]() if opcode in handlers else self._file(opcode, node, body)

    def _file(self, opcode: int, node: int, body: memoryview) -> bytes:
        if opcode == _OPEN:
            self._next += 1
            self._handles[self._next] = _Handle()
            return _OPEN_OUT.pack(self._next, _DIRECT_IO)
        if opcode not in {Opcode.READ, Opcode.WRITE, _FLUSH, Opcode.RELEASE} or node not in self._nodes:
            raise OSError(errno.ENOSYS, "not a call of this file system")
        handle = self._handles[_HANDLE_IN.unpack_from(body)[0]]
        report, name = self._reports.get(self._nodes[node][0]), self._nodes[node][1]
        if report is None:
            raise OSError(errno.ENOENT, "the instance is gone")
        if opcode == Opcode.READ:
            _, offset, size = _READ_IN.unpack_from(body)
            if handle.content is None:
                self._tell(self, name, "read")
                handle.content = self._content(report, name)
            return handle.content[offset : offset + size]
        if opcode == Opcode.WRITE:
            _, offset, size, _ = _WRITE_IN.unpack_from(body)
            self._write(report, name, handle, offset, bytes(body[_WRITE_IN.size : _WRITE_IN.size + size]))
            return struct.pack("=I4x", size)
        if opcode == _FLUSH and name == "inblob" and handle.pending:
            with suppress(OSError):  # configfs does not tell
                self._tell(self, name, "close")
                report.inblob, report.written = bytes(handle.pending), report.written + 1
            handle.pending.clear()
        return b""

    def _write(self, report: _Report, name: str, handle: _Handle, offset: int, data: bytes) -> None:
        self._tell(self, name, "write")
        if name == "inblob":
            if offset + len(data) > _INBLOB_MAX:
                raise OSError(errno.EFBIG, "too much")
            handle.pending[offset:] = data
            return
        try:
            level = int(data, 0)
        except ValueError:
            level = -1
        if not self._floor <= level <= _PRIVLEVEL_MAX:
            raise OSError(errno.EINVAL, "no such level")
        report.privlevel, report.written = level, report.written + 1

    def _content(self, report: _Report, name: str) -> bytes:
        if name == "provider":
            return f"{self._provider}\n".encode()
        if name == "generation":
            return b"%d\n" % report.written
        if name == "privlevel_floor":
            return b"%d\n" % self._floor
        if not report.inblob:
            raise OSError(errno.EINVAL, "nothing was written")
        if report.outblob is None or report.read != report.written:
            self._tell(self, name, "make")
            report.outblob, report.auxblob = self._quote(report.inblob, report.privlevel)
            report.read = report.written
        return report.outblob if name == "outblob" else report.auxblob

    def _lookup(self, node: int, name: bytes) -> int:
        for number, report in self._reports.items():
            if node == _ROOT and report.name == name:
                return number
        for number, (parent, attribute) in self._nodes.items():
            if parent == node and attribute.encode() == name:
                return number
        raise OSError(errno.ENOENT, "no such name")

    def _make(self, node: int, name: bytes) -> int:
        if node != _ROOT:
            raise OSError(errno.EPERM, "instances have no directories")
        if self._provider is None:
            raise OSError(errno.ENXIO, "no provider")
        self._next += 1
        number = self._next
        self._reports[number] = _Report(name)
        for attribute in self.attributes:
            self._next += 1
            self._nodes[self._next] = (number, attribute)
        return number

    def _drop(self, name: bytes) -> bytes:
        number = self._lookup(_ROOT, name)
        del self._reports[number]
        self._nodes = {node: entry for node, entry in self._nodes.items() if entry[0] != number}
        return b""

    def _entry(self, node: int) -> bytes:
        return _ENTRY_OUT.pack(node, 0, 0, 0, *self._attr(node))

    def _attr(self, node: int) -> tuple[int, ...]:
        if node != _ROOT and node not in self._reports and node not in self._nodes:
            raise OSError(errno.ENOENT, "gone")
        mode = stat.S_IFDIR | 0o755
        if node in self._nodes:
            mode = stat.S_IFREG | _MODES[self._nodes[node][1]]
        return (node, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096)


#: Attributes that the provider of SEV-SNP shows alone.
_OF_SEV: Final = {"auxblob", "privlevel", "privlevel_floor"}
