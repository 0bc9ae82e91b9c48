"""Images as their applications see them: with the programs in their places again, where launchers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.identity.layout import original_path
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.runtime_build import runtime_build
from bannock.identity.signing import SignedProgram
from bannock.images.tree import TreeReader
from bannock.runtime.settings import enclave_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.identity.tree import MeasurementTree
    from bannock.images.tree import Tree

__all__ = ["OriginalsReader", "measured_program"]


class OriginalsReader(TreeReader):
    """Reads an image as its application sees it."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._originals = TreeReader(tree)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Read a part of a file."""
        return self._originals.read(self._stored(path), offset, size)

    def digest(self, path: str) -> tuple[bytes, int]:
        """Return SHA-256 and size of a file."""
        return self._originals.digest(self._stored(path))

    def _stored(self, path: str) -> str:
        stored = original_path(self.resolve(path))
        return stored if self.exists(stored) else path


def measured_program(program: str, tree: Tree, environment: Mapping[str, str]) -> MeasurementTree:
    """Measure a program of an image as the image starts it.

    Args:
        program: its path.
        tree: files of the image.
        environment: what containers of it are started with.

    Raises:
        InputError: there is no such program, or a setting is malformed.
    """
    reader = OriginalsReader(tree)
    binary = reader.resolve(program)
    signed = SignedProgram.read(binary, reader)
    settings = {**(signed.tree.settings if signed is not None else {}), **enclave_settings(environment)}
    return measure(EnclaveManifest(binary=binary, settings=settings), reader, runtime_build())
