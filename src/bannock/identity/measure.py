"""Measuring: from a manifest and the files it means to a measurement tree. Pure but for the reader."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.identity.image import read_contents
from bannock.identity.measured import start_of
from bannock.identity.settings import image_paths, normal_settings
from bannock.identity.tree import MeasuredFile, MeasurementTree

if TYPE_CHECKING:
    from bannock.identity.image import Contents
    from bannock.identity.libraries import FileReader
    from bannock.identity.manifest import EnclaveManifest

__all__ = ["measure", "runtime_build"]


def measure(manifest: EnclaveManifest, reader: FileReader, runtime: bytes) -> MeasurementTree:
    """Read what a manifest means and return its tree.

    Args:
        manifest: what to measure.
        reader: reads the enclave's files.
        runtime: SHA-256 of the runtime's build (:func:`runtime_build`).

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


def runtime_build() -> bytes:
    """Return SHA-256 over this package's own code: every module's path and content, in order."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    modules = {path.relative_to(package).as_posix().encode(): path for path in package.rglob("*.py")}
    for name, path in sorted(modules.items()):
        content = path.read_bytes()
        digest.update(len(name).to_bytes(4, "little") + name + len(content).to_bytes(8, "little") + content)
    return digest.digest()
