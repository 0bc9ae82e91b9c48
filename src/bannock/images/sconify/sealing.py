"""Layers with ciphertext in the place of what is encrypted; everything else in them stays byte for byte.

A layer is sealed once: as long as it and what is protected of it are the same, what was made of it is taken again, so
that it is neither encrypted nor pushed twice. Each file has a key of its own, which is kept with what was made.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.errors import Bug
from bannock.images.sconify.plan import Action
from bannock.images.sconify.recording import record
from bannock.images.tree import Contents
from bannock.images.writer import LayerWriter
from bannock.shield.sealed_files import FileSealing, SealedFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bannock.images.blobs import Scratch
    from bannock.images.model import Layer
    from bannock.images.sconify.cache import SealCache
    from bannock.images.sconify.plan import Plan
    from bannock.images.tar import Entry
    from bannock.images.tree import Found
    from bannock.shield.format.seal import RandomBytes

__all__ = ["SealedImage", "SealedLayer", "seal"]

_FORMAT: Final = "bannock sealed layer 1"
#: Ciphertext is for everybody: an ordinary user's container reads it, too.
_MODE: Final = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedLayer:
    """A layer with ciphertext in it.

    Attributes:
        layer: the layer; the native one where nothing of it is encrypted or left out.
        files: absolute path → records of the file that is encrypted there.
        name: what it was made of, as a digest; empty where nothing was made.
        again: whether it was made before.
    """

    layer: Layer
    files: Mapping[str, SealedFile]
    name: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedImage:
    """The layers of an image, sealed.

    Attributes:
        plan: what was done.
        layers: the lowest first.
        records: (directory, layer, start of the entry) → records of a file that is authenticated and stays as it is.
    """

    plan: Plan
    layers: tuple[SealedLayer, ...]
    records: Mapping[tuple[str, int, int], SealedFile] = field(default_factory=dict)

    def file(self, found: Found) -> tuple[str, SealedFile]:
        """Return where the ciphertext of a file is, and its records; hard links in one directory have the same.

        Raises:
            Bug: it was not encrypted.
        """
        for path in (found.path, f"/{found.entry.path}"):
            for layer in self.layers:
                if (sealed := layer.files.get(path)) is not None:
                    return path, sealed
        raise Bug(f"{found.path} was to be encrypted, and was not")

    def digests(self) -> dict[bytes, str]:
        """Return SHA-256 of each file that was encrypted → one of its paths, but for empty ones."""
        files = ((path, file) for layer in self.layers for path, file in layer.files.items())
        return {file.digest: path for path, file in files if file.size}


def seal(plan: Plan, scratch: Scratch, cache: SealCache, random: RandomBytes) -> SealedImage:
    """Encrypt what is to be encrypted, and leave out what is to be left out.

    Raises:
        IntegrityError: a layer is not what it has to be.
        EnvironmentFault: the file system refuses.
    """
    sealed = {
        (number, entry.path): plan.directory_of(f"/{entry.path}")
        for number, layer in enumerate(plan.layers)
        for entry, action in layer.entries()
        if action is Action.SEAL and entry.kind == "file"
    }
    layers = []
    for number, each in enumerate(plan.layers):
        if not each.changed:
            layers.append(SealedLayer(layer=each.layer, files={}))
            continue
        steps = tuple(_steps(each.entries(), sealed, plan))
        name = _name(number, steps, plan)
        if (known := cache.layer(name, scratch)) is not None:
            layers.append(SealedLayer(layer=known[0], files=known[1], name=name, again=True))
            continue
        made, files = _write(each.layer, steps, plan, scratch, random)
        cache.keep_layer(name, made, files)
        layers.append(SealedLayer(layer=made, files=files, name=name))
    return SealedImage(plan=plan, layers=tuple(layers), records=record(plan, cache, random))


@dataclass(frozen=True, slots=True)
class _Step:
    """One entry that the new layer has, and whose content is encrypted; None: it is copied."""

    entry: Entry
    content: Found | None


def _steps(
    entries: Iterator[tuple[Entry, Action]],
    sealed: Mapping[tuple[int, str], str | None],
    plan: Plan,
) -> Iterator[_Step]:
    for entry, action in entries:
        match action:
            case Action.KEEP:
                yield _Step(entry, None)
            case Action.SEAL:
                found = plan.shown[f"/{entry.path}"]
                # A hard link within one region is one in the protection file.
                first = sealed.get((found.layer, found.entry.path))
                if entry.kind == "file" or first is None or first != plan.directory_of(found.path):
                    yield _Step(entry, found)
            case Action.DROP:
                pass


def _name(number: int, steps: Sequence[_Step], plan: Plan) -> str:
    """Name what is made of a layer by all that decides it."""
    layers = plan.tree.layers
    what = [
        (
            step.entry.start,
            None if step.content is None else (layers[step.content.layer].diff_id, step.content.entry.start),
        )
        for step in steps
    ]
    document = json.dumps([_FORMAT, layers[number].diff_id, what], separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()


def _write(
    layer: Layer, steps: Sequence[_Step], plan: Plan, scratch: Scratch, random: RandomBytes
) -> tuple[Layer, dict[str, SealedFile]]:
    files: dict[str, SealedFile] = {}
    with LayerWriter(scratch) as writer, Contents(plan.tree.layers) as contents:
        for step in steps:
            if step.content is None:
                writer.copy(layer, step.entry)
                continue
            found = step.content
            sealing = FileSealing(contents.at(found.layer, found.entry), found.entry.size, random)
            if found.entry.size:
                # Without a size nothing is on the storage.
                writer.file(step.entry.path, sealing, found.entry.size, mode=_MODE)  # type: ignore[arg-type]
            files[f"/{step.entry.path}"] = sealing.sealed()
        return writer.finish(), files
