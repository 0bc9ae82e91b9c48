"""What a host has to run, computed from the client's own copy of the application and never from the host's word."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.execution.application import ENCLAVE_DIRECTORY
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.measured import measured_files
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build

if TYPE_CHECKING:
    from bannock.execution.application import Application
    from bannock.identity.measured import FileReader
    from bannock.identity.tree import MeasurementTree

__all__ = ["expected_measurement"]


def expected_measurement(application: Application, installed: Path) -> MeasurementTree:
    """Measure the application as it has to start on a host whose system files are those of this machine.

    Args:
        application: what is to run.
        installed: the client's own installed copy of its bundle, seen at ``/app`` in the enclave.

    Raises:
        InputError: the program or one of its libraries is missing.
    """
    reader = _WithBundle(RootedReader(Path("/")), RootedReader(installed))
    binary = reader.resolve(application.enclave_program)
    manifest = EnclaveManifest(
        binary=binary, paths=measured_files(binary, reader), settings=dict(application.settings)
    )
    return measure(manifest, reader, runtime_build())


class _WithBundle:
    """The machine's files, with a bundle where the enclave sees it (:class:`bannock.identity.measured.FileReader`).

    A link in a bundle leads within the bundle: it is measured as if its directory were a root.
    """

    def __init__(self, machine: FileReader, bundle: FileReader) -> None:
        self._machine = machine
        self._bundle = bundle

    def resolve(self, path: str) -> str:
        """Return the canonical path in the enclave."""
        reader, inside = self._find(path)
        resolved = reader.resolve(inside)
        return f"{ENCLAVE_DIRECTORY}{resolved}" if reader is self._bundle else resolved

    def exists(self, path: str) -> bool:
        """Whether there is such a file in the enclave."""
        reader, inside = self._find(path)
        return reader.exists(inside)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Read a part of a file."""
        reader, inside = self._find(path)
        return reader.read(inside, offset, size)

    def digest(self, path: str) -> tuple[bytes, int]:
        """Return SHA-256 and size of a file."""
        reader, inside = self._find(path)
        return reader.digest(inside)

    def _find(self, path: str) -> tuple[FileReader, str]:
        # The loader's search paths have dots in them ($ORIGIN/../lib); none of ours leads through a link to /app.
        clean = posixpath.normpath(path)
        below = clean.removeprefix(f"{ENCLAVE_DIRECTORY}/")
        return (self._bundle, f"/{below}") if below != clean else (self._machine, path)
