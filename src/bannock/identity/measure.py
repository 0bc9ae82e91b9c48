"""Measuring: from a manifest and the files it means to a measurement tree. Pure but for the reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.identity.image import read_contents
from bannock.identity.measured import start_of
from bannock.identity.settings import image_paths, normal_settings
from bannock.identity.tree import MeasuredFile, MeasurementTree

if TYPE_CHECKING:
    from bannock.identity.image import Contents
    from bannock.identity.libraries import FileReader
    from bannock.identity.manifest import EnclaveManifest

__all__ = ["measure"]


def measure(manifest: EnclaveManifest, reader: FileReader, runtime: bytes) -> MeasurementTree:
    """Read what a manifest means and return its tree.

    Args:
        manifest: what to measure.
        reader: reads the enclave's files.
        runtime: SHA-256 of the runtime's build (:func:`~bannock.identity.runtime_build.runtime_build`).

    Raises:
        InputError: a file is missing or no program.
    """
    start = start_of(manifest.binary, reader)
    named = {path: reader.resolve(path) for path in manifest.paths}
    paths = sorted({*start.files, *named.values()})
    settings = normal_settings(manifest.settings)
    images = {path: reader.resolve(path) for path in image_paths(settings)}
    named.update(images)
    return MeasurementTree(
        runtime=runtime,
        program=start.program,
        files={path: MeasuredFile(*reader.digest(path)) for path in paths},
        links={**start.links, **{name: path for name, path in named.items() if name != path}},
        settings=settings,
        images={path: _contents(path, reader) for path in sorted(set(images.values()))},
    )


def _contents(path: str, reader: FileReader) -> Contents:
    contents, _ = read_contents(path, lambda offset, size: reader.read(path, offset, size))
    return contents
