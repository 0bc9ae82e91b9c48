"""Gramine's ``/dev/attestation``, as it behaves: the quote is made when it is opened, for what was written before.

Written after Gramine's documentation, "Attestation and Secret Provisioning".
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING, Final

from tests.attribute_files import ROOT, AttributeFiles, Handle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MODES: Final = {
    "attestation_type": 0o444,
    "user_report_data": 0o644,
    "quote": 0o444,
    "my_target_info": 0o444,
}
_NAMES: Final = dict(enumerate(_MODES, start=ROOT + 1))
_REPORT_DATA_BYTES: Final = 64
_TARGET_INFO_BYTES: Final = 512


class GramineFiles(AttributeFiles):
    """The files of one enclave.

    Args:
        mountpoint: an existing directory.
        quote: gives the quote for what was written.
        scheme: of attestation: ``dcap``, ``epid`` or ``none``.
    """

    def __init__(self, mountpoint: Path, quote: Callable[[bytes], bytes], *, scheme: str = "dcap") -> None:
        super().__init__(mountpoint)
        self._quote = quote
        self._scheme = scheme
        self._data = bytes(_REPORT_DATA_BYTES)

    def lookup(self, node: int, name: str) -> int:
        """Give the node of a file."""
        for number, each in _NAMES.items():
            # Without attestation there are no files for quotes.
            if node == ROOT and each == name and (self._scheme != "none" or name == "attestation_type"):
                return number
        raise OSError(errno.ENOENT, "no such name")

    def mode(self, node: int) -> int:
        """Tell what may be read, and what written."""
        return stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | _MODES[_NAMES[node]]

    def read(self, node: int) -> bytes:
        """Give a file as it is when it is opened."""
        match _NAMES[node]:
            case "attestation_type":
                return self._scheme.encode()
            case "user_report_data":
                return self._data
            case "my_target_info":
                return bytes(_TARGET_INFO_BYTES)
        return self._quote(self._data)

    def write(self, node: int, handle: Handle, offset: int, data: bytes) -> None:
        """Take what quotes are to be bound to."""
        if _NAMES[node] != "user_report_data":
            raise OSError(errno.EACCES, "not to be written")
        handle.pending[offset:] = data
        self._data = bytes(handle.pending[:_REPORT_DATA_BYTES]).ljust(_REPORT_DATA_BYTES, b"\0")
