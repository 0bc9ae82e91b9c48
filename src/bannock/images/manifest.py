"""Manifests and indexes: which blobs an image is made of, and which of several images is the one for this machine.

Reads OCI's documents and Docker's (schema 2), writes OCI's. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError
from bannock.images import media
from bannock.images.digests import parse_digest
from bannock.images.fields import Fields, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "DOCUMENT_BYTES_MAX",
    "PLATFORM",
    "Chosen",
    "Descriptor",
    "Manifest",
    "choose",
    "choose_platform",
    "media_type_of",
]

#: The largest manifest, index or configuration: what registries take (4 MiB).
DOCUMENT_BYTES_MAX: Final = 4 << 20
#: Docker's engine takes 127.
_LAYERS_MAX: Final = 1000
#: What enclaves run on.
PLATFORM: Final = "linux/amd64"
_SCHEMA: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a blob has to be.

    Attributes:
        media_type: how to read it.
        digest: of its bytes.
        size: in bytes.
        platform: ``OS/ARCHITECTURE[/VARIANT]``, where an index tells.
        annotations: what else is said of it.
    """

    media_type: str
    digest: str
    size: int
    platform: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: object, what: str) -> Self:
        """Read a descriptor.

        Raises:
            InputError: it is malformed.
        """
        fields = Fields(value, what)
        platform = Fields(fields.values.get("platform"), f"{what}: platform")
        parts = [platform.text(name) for name in ("os", "architecture", "variant")]
        return cls(
            media_type=fields.text("mediaType", None),
            digest=parse_digest(fields.values.get("digest")),
            size=fields.size("size"),
            platform="/".join(part for part in parts if part),
            annotations=fields.mapping("annotations"),
        )

    def to_json(self) -> dict[str, object]:
        """Give the descriptor as a manifest has it."""
        written: dict[str, object] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform:
            system, architecture, *variant = self.platform.split("/")
            written["platform"] = {"architecture": architecture, "os": system} | (
                {"variant": variant[0]} if variant else {}
            )
        if self.annotations:
            written["annotations"] = dict(self.annotations)
        return written


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image: its configuration and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a manifest.

        Raises:
            InputError: it is malformed, or not one of an image.
        """
        fields = Fields(parse_object(data, "the manifest of the image"), "the manifest of the image")
        schema = fields.values.get("schemaVersion")
        if schema != _SCHEMA:
            raise InputError(
                f"the manifest has the schema version {str(schema)[:20]}, expected {_SCHEMA}",
                hint="the image was pushed by a program of before 2016; push it again with one of today",
            )
        layers = [Descriptor.parse(item, "a layer of the manifest") for item in fields.items("layers")]
        if len(layers) > _LAYERS_MAX:
            raise InputError(f"the image has {len(layers)} layers, more than the {_LAYERS_MAX} allowed")
        config = Descriptor.parse(fields.values.get("config"), "the configuration in the manifest")
        if config.media_type not in {media.OCI_CONFIG, media.DOCKER_CONFIG}:
            raise InputError(f"the reference is no container image: its configuration is {config.media_type[:100]!r}")
        return cls(config=config, layers=tuple(layers), annotations=fields.mapping("annotations"))

    def to_bytes(self) -> bytes:
        """Write the manifest as OCI has it; the same each time."""
        document: dict[str, object] = {
            "schemaVersion": _SCHEMA,
            "mediaType": media.OCI_MANIFEST,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            document["annotations"] = dict(sorted(self.annotations.items()))
        return json.dumps(document, separators=(",", ":")).encode("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The image of an index that is for this machine, and what to tell of the choice."""

    descriptor: Descriptor
    notes: tuple[str, ...]


def media_type_of(data: bytes, told: str | None = None) -> str:
    """Say what a manifest or index is: by what whoever sent it told, by its own word, or by its fields.

    Raises:
        InputError: it is neither, or the two words differ.
    """
    values = parse_object(data, "the manifest of the image")
    own = Fields(values, "the manifest of the image").text("mediaType") or None
    told = told.partition(";")[0].strip() if told else None
    if told in media.INDEXES | media.MANIFESTS and own not in {None, told}:
        raise InputError(f"the manifest calls itself {own[:80]!r}, and was given as {told!r}")
    for found in (told, own):
        if found in media.INDEXES | media.MANIFESTS:
            return found
    if "manifests" in values and "layers" in values:
        raise InputError("the manifest has fields of an image and of an index; which one it is cannot be told")
    if "manifests" in values:
        return media.OCI_INDEX
    return media.OCI_MANIFEST


def choose_platform(data: bytes) -> Chosen:
    """Find the image for linux/amd64 in an index.

    Raises:
        InputError: the index is malformed, or has none.
    """
    fields = Fields(parse_object(data, "the index of the image"), "the index of the image")
    found = [Descriptor.parse(item, "an entry of the index") for item in fields.items("manifests")]
    return choose(found)


def choose(found: Sequence[Descriptor]) -> Chosen:
    """Find the image for linux/amd64 among those that an index lists.

    Raises:
        InputError: there is none.
    """
    images = [
        item
        for item in found
        if item.media_type in media.MANIFESTS | media.INDEXES and not item.platform.startswith("unknown/")
    ]
    fitting = [item for item in images if item.platform in {PLATFORM, f"{PLATFORM}/v1"}]
    if not fitting and len(images) == 1 and not images[0].platform:
        fitting = images
    platforms = ", ".join(sorted({item.platform or "unnamed" for item in images}))
    if not fitting:
        raise InputError(
            f"the image is not for {PLATFORM}; it is there for: {platforms or 'nothing'}",
            hint=f"build or pull it with --platform {PLATFORM}",
        )
    notes = (f"took {PLATFORM} of {len(images)} platforms ({platforms})",) if len(images) > 1 else ()
    return Chosen(descriptor=fitting[0], notes=notes)
