"""Linux's directory for quotes, as the kernel behaves.

Written after Documentation/ABI/testing/configfs-tsm-report and the behaviour of drivers/virt/coco/guest/report.c and
fs/configfs/file.c: a directory is an instance with attributes; a binary attribute that is written takes effect when it
is closed, and whether it did is not told; a text attribute takes effect at once. Quotes are made when they are read,
and again after anything was written.

(FUSE has RELEASE come some time after close(2), FLUSH before it returns; so what configfs does at release is done at
flush here.)
"""

from __future__ import annotations

import errno
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.attribute_files import ROOT, AttributeFiles, Handle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_INBLOB_MAX: Final = 64
_PRIVLEVEL_MAX: Final = 3
_MODES: Final = {
    "inblob": 0o200,
    "outblob": 0o400,
    "auxblob": 0o400,
    "privlevel": 0o200,
    "privlevel_floor": 0o444,
    "provider": 0o444,
    "generation": 0o444,
}
#: Attributes that the provider of SEV-SNP shows alone.
_OF_SEV: Final = {"auxblob", "privlevel", "privlevel_floor"}


@dataclass(slots=True)
class _Report:
    """One instance."""

    name: str
    inblob: bytes = b""
    privlevel: int = 0
    written: int = 0
    read: int = 0
    outblob: bytes | None = None
    auxblob: bytes = b""


class TsmKernel(AttributeFiles):
    """A kernel with a provider of quotes.

    Args:
        mountpoint: an existing directory.
        provider: ``tdx_guest``, ``sev_guest``, or None for none.
        quote: gives quote and table of certificates for what was written and the privilege level.
        floor: the lowest privilege level that may be asked for.
        tell: called with attribute and what is done to it, before it is done; may raise OSError.

    Attributes:
        attributes: that an instance has.
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
        super().__init__(mountpoint)
        self._provider = provider
        self._quote = quote
        self._floor = floor
        self._tell = tell
        self._nodes: dict[int, tuple[int, str]] = {}
        self._reports: dict[int, _Report] = {}
        self._last = ROOT
        self.attributes = [name for name in _MODES if provider == "sev_guest" or name not in _OF_SEV]

    @property
    def reports(self) -> list[str]:
        """The instances that there are."""
        return [report.name for report in self._reports.values()]

    def write_as_another(self) -> None:
        """Do what another program might: write into every instance."""
        for report in self._reports.values():
            report.inblob, report.written = b"other".ljust(_INBLOB_MAX, b"\0"), report.written + 1

    def lookup(self, node: int, name: str) -> int:
        """Give the node of an instance or an attribute."""
        for number, report in self._reports.items():
            if node == ROOT and report.name == name:
                return number
        for number, (parent, attribute) in self._nodes.items():
            if parent == node and attribute == name:
                return number
        raise OSError(errno.ENOENT, "no such name")

    def mode(self, node: int) -> int:
        """Tell what may be read, and what written."""
        if node == ROOT or node in self._reports:
            return stat.S_IFDIR | 0o755
        return stat.S_IFREG | _MODES[self._of(node)[1]]

    def make(self, node: int, name: str) -> int:
        """Make an instance, with all its attributes."""
        if node != ROOT:
            raise OSError(errno.EPERM, "instances have no directories")
        if self._provider is None:
            raise OSError(errno.ENXIO, "no provider")
        self._last += 1
        number = self._last
        self._reports[number] = _Report(name)
        for attribute in self.attributes:
            self._last += 1
            self._nodes[self._last] = (number, attribute)
        return number

    def drop(self, node: int, name: str) -> None:
        """Remove an instance; attributes do not keep it."""
        number = self.lookup(node, name)
        del self._reports[number]
        self._nodes = {node: entry for node, entry in self._nodes.items() if entry[0] != number}

    def read(self, node: int) -> bytes:
        """Give an attribute; make the quote if need be."""
        report, name = self._of(node)
        self._tell(self, name, "read")
        texts = {"provider": self._provider, "generation": report.written, "privlevel_floor": self._floor}
        if name in texts:
            return f"{texts[name]}\n".encode()
        if not report.inblob:
            raise OSError(errno.EINVAL, "nothing was written")
        if report.outblob is None or report.read != report.written:
            self._tell(self, name, "make")
            report.outblob, report.auxblob = self._quote(report.inblob, report.privlevel)
            report.read = report.written
        return report.outblob if name == "outblob" else report.auxblob

    def write(self, node: int, handle: Handle, offset: int, data: bytes) -> None:
        """Keep a binary attribute until it is closed; take a text at once."""
        report, name = self._of(node)
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

    def close(self, node: int, handle: Handle) -> None:
        """Take a binary attribute that was written."""
        if handle.pending:
            report, name = self._of(node)
            with suppress(OSError):  # configfs does not tell
                self._tell(self, name, "close")
                report.inblob, report.written = bytes(handle.pending), report.written + 1
            handle.pending.clear()

    def _of(self, node: int) -> tuple[_Report, str]:
        if node not in self._nodes:
            raise OSError(errno.ENOENT, "gone")
        number, name = self._nodes[node]
        return self._reports[number], name
