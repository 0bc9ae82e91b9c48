"""Where images come from and go to: one interface over engines, registries, directories and files.

Names are as :mod:`bannock.images.references` has them. A plain one is the engine's if it has it, else a registry's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, assert_never

from bannock.errors import EnvironmentFault, InputError, NotFoundError
from bannock.images.archives import open_docker_archive, open_oci_archive, store_docker_archive, store_oci_archive
from bannock.images.blobs import FileBlob, Scratch
from bannock.images.credentials import Credentials
from bannock.images.engine import Engine
from bannock.images.kept_layers import KeptLayers
from bannock.images.layout import open_layout, store_layout
from bannock.images.media import LAYER_GZIP
from bannock.images.model import Layer
from bannock.images.references import (
    DockerArchive,
    EngineImage,
    ImageName,
    NamedImage,
    OciArchive,
    OciLayout,
    RegistryImage,
    parse_reference,
)
from bannock.images.registry import Registries
from bannock.images.tree import Tree
from bannock.images.writer import LayerWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.images.model import Image, Written

__all__ = ["Places", "Stored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of an image that was stored.

    Attributes:
        reference: how it is found again.
        digest: of its manifest.
        id: what an engine calls it.
    """

    reference: str
    digest: str
    id: str


class Places:
    """All places; a context manager. Images and layers that it gave can be used until it is closed.

    Args:
        scratch: where layers are kept meanwhile.
        engine: the container engine.
        registries: all registries.
    """

    def __init__(self, *, scratch: Scratch, engine: Engine, registries: Registries) -> None:
        self._scratch: Final = scratch
        self._engine: Final = engine
        self._registries: Final = registries

    @classmethod
    def prepared(
        cls, *, cache: Path | None = None, environment: Mapping[str, str] = os.environ, keep_layers: bool = False
    ) -> Self:
        """Prepare access to all places, as Docker's own client finds them.

        Args:
            cache: a directory for layers, and for what is known of them the next time; None for the user's cache.
            environment: ``DOCKER_HOST``, ``DOCKER_CONFIG``, ``XDG_CACHE_HOME`` and ``HOME`` of it count.
            keep_layers: whether the cache keeps layers out of the engine, for who builds on them again and again.

        Raises:
            InputError: the environment names an engine that cannot be used.
        """
        home = Path(environment.get("HOME") or "/")
        base = cache or Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "bannock" / "images"
        scratch = Scratch(base)
        docker = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
        return cls(
            scratch=scratch,
            engine=Engine.of(environment, KeptLayers(base / "layers") if keep_layers else None),
            registries=Registries(Credentials(docker / "config.json"), scratch=scratch, memory=base / "packed"),
        )

    def open(self, reference: str) -> Image:
        """Open an image.

        Raises:
            InputError: it cannot be used, or not on this machine.
            NotFoundError: it is not there.
            EnvironmentFault: the engine or the registry cannot be reached.
            IntegrityError: it is not what its digests say.
        """
        parsed = parse_reference(reference)
        text = str(parsed)
        match parsed:
            case NamedImage(name):
                return self._open_anywhere(name)
            case EngineImage():
                return self._engine.open(parsed.wanted, reference=text, scratch=self._scratch)
            case RegistryImage(name):
                return self._registries.open(name, reference=text)
            case OciLayout(path, tag):
                return open_layout(path, tag, reference=text, scratch=self._scratch)
            case OciArchive(path, tag):
                return open_oci_archive(path, tag, reference=text, scratch=self._scratch)
            case DockerArchive(path, wanted):
                return open_docker_archive(path, wanted, reference=text, scratch=self._scratch)
            case _:
                assert_never(parsed)

    def identify(self, reference: str) -> str:
        """Return an engine's id of an image, by which it is the same for ever; empty where there is no such thing.

        Raises:
            InputError: the reference is none.
        """
        parsed = parse_reference(reference)
        wanted = parsed.wanted if isinstance(parsed, EngineImage) else ""
        if isinstance(parsed, NamedImage):
            wanted = parsed.name.familiar
        try:
            return (self._engine.identify(wanted) or "") if wanted else ""
        except EnvironmentFault:
            return ""

    def layers_of(self, name: str) -> tuple[str, ...]:
        """Return the digests of the layers of an image that the engine has, the lowest first; none if it has not.

        Raises:
            InputError: the name is none.
            EnvironmentFault: the engine cannot be reached.
        """
        return self._engine.layers_of(ImageName.parse(name).familiar)

    def kept(self, layers: tuple[str, ...]) -> Tree:
        """Return the files of the lowest layers of an image, as far as they are kept; see :meth:`Tree.of`."""
        return Tree(self._engine.kept_layers_of(layers, self._scratch))

    def store(self, image: Image, reference: str) -> Stored:
        """Store an image.

        Raises:
            InputError: nothing can be stored under such a name.
            DeniedError: the registry does not let us.
            EnvironmentFault: the engine or the registry cannot be reached, or the disk is full.
            IntegrityError: a layer is not what its digests say.
        """
        parsed = parse_reference(reference)
        written: Written
        match parsed:
            case NamedImage(name):
                return self._store_in_engine(image, name)
            case EngineImage(wanted):
                if isinstance(wanted, str):
                    raise InputError("an image is stored under a name, not under an id")
                return self._store_in_engine(image, wanted)
            case RegistryImage(name):
                written = self._registries.store(image, name.tagged)
            case OciLayout(path, tag):
                written = store_layout(image, path, tag)
            case OciArchive(path, tag):
                written = store_oci_archive(image, path, tag)
            case DockerArchive(path, called):
                written = store_docker_archive(image, path, called)
            case _:
                assert_never(parsed)
        return Stored(reference=str(parsed), digest=written.digest, id=written.id)

    def new_layer(self) -> LayerWriter:
        """Begin a new layer."""
        return LayerWriter(self._scratch)

    def layer_from(self, path: Path, *, digest: str, size: int, diff_id: str, media_type: str = LAYER_GZIP) -> Layer:
        """Return a layer that lies in a file."""
        blob = FileBlob(path, digest=digest, size=size)
        return Layer(blob, media_type=media_type, diff_id=diff_id, scratch=self._scratch)

    @property
    def scratch(self) -> Scratch:
        """Where layers are kept meanwhile."""
        return self._scratch

    def close(self) -> None:
        """Remove what was kept meanwhile."""
        self._registries.close()
        self._scratch.close()

    def _open_anywhere(self, name: ImageName) -> Image:
        there, why = False, "it does not have it"
        try:
            there = self._engine.has(name.familiar)
        except EnvironmentFault as error:
            why = str(error)
        if there:
            return self.open(str(EngineImage(name)))
        try:
            return self._registries.open(name, reference=str(RegistryImage(name)))
        except (NotFoundError, EnvironmentFault) as error:
            raise NotFoundError(
                f"there is no image {name.familiar}, "
                f"neither in the container engine of this machine nor in {name.domain}",
                reasons=[f"the engine: {why}", f"the registry: {error}"],
                hint="docker images lists what the engine has; say docker://NAME for the registry alone",
            ) from error

    def _store_in_engine(self, image: Image, name: ImageName) -> Stored:
        digest, identity = self._engine.store(image, name.tagged)
        return Stored(reference=str(EngineImage(name.tagged)), digest=digest, id=identity)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
