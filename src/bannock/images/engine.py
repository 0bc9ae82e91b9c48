"""Images of a container engine: Docker's, or what speaks its API, over its unix socket.

What the engine gives is verified as from anywhere else. Layers that it has already are not sent to it again.
Source: Docker Engine API 1.41 (``/images/{name}/json``, ``/images/{name}/get``, ``/images/load``).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from bannock.errors import EnvironmentFault, InputError, IntegrityError, NotFoundError, PeerError
from bannock.images.archives import docker_archive_of, open_docker_archive
from bannock.images.arriving import ArrivingDigests
from bannock.images.digests import BLOCK
from bannock.images.engine_socket import EngineSocket
from bannock.images.engine_storage import image_in_storage
from bannock.images.fields import Fields, parse_list, parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bannock.images.blobs import Scratch
    from bannock.images.kept_layers import KeptLayers
    from bannock.images.model import Image, Layer
    from bannock.images.references import ImageName

__all__ = ["Engine"]

_ANSWER_BYTES_MAX: Final = 64 << 20
#: An engine that unpacks a large layer says nothing meanwhile.
_SECONDS: Final = 1800.0
_ASKED_SECONDS: Final = 60.0
#: Images whose layers are looked at, to find out what the engine has.
_IMAGES_MAX: Final = 1000
#: So much is sent as fast as it is found out that an engine has it.
_SENT_BYTES: Final = 8 << 20


class Engine:
    """An engine.

    Args:
        engine: its socket.
        kept: where its layers are kept for the next time; None keeps none.
    """

    def __init__(self, engine: EngineSocket, kept: KeptLayers | None = None) -> None:
        self._engine = engine
        self._kept = kept

    @classmethod
    def of(cls, environment: Mapping[str, str], kept: KeptLayers | None = None) -> Engine:
        """Find the engine as Docker's own client does.

        Raises:
            InputError: ``DOCKER_HOST`` is not a socket on this machine.
        """
        return cls(EngineSocket.of(environment), kept)

    def has(self, wanted: str) -> bool:
        """Whether the engine has an image.

        Raises:
            EnvironmentFault: the engine cannot be reached.
        """
        return self._inspect(wanted) is not None

    def identify(self, wanted: str) -> str | None:
        """Return the engine's id of an image, by which it is the same for ever; None if it has none of that name.

        Raises:
            EnvironmentFault: the engine cannot be reached.
        """
        found = self._inspect(wanted)
        return None if found is None else found.text("Id", None)

    def layers_of(self, wanted: str) -> tuple[str, ...]:
        """Return the digests of an image's layers, the lowest first; none if the engine has no such image.

        Raises:
            EnvironmentFault: the engine cannot be reached.
        """
        found = self._inspect(wanted)
        return () if found is None else _layers(found)

    def kept_layers_of(self, layers: Iterable[str], scratch: Scratch) -> tuple[Layer, ...]:
        """Return the lowest layers of an image, as far as they are kept already."""
        found = []
        for diff_id in layers:
            layer = None if self._kept is None else self._kept.find(diff_id, scratch)
            if layer is None:
                break
            found.append(layer)
        return tuple(found)

    def open(self, wanted: str, *, reference: str, scratch: Scratch) -> Image:
        """Open an image.

        Raises:
            NotFoundError: the engine has none of that name.
            EnvironmentFault: the engine cannot be reached.
            InputError: the image is not for this machine.
            IntegrityError: what the engine gives is not what it has to be.
        """
        found = self._inspect(wanted)
        if found is None:
            raise NotFoundError(f"the container engine has no image {wanted}", hint="docker images lists those it has")
        stored = image_in_storage(found, reference=reference, scratch=scratch, kept=self._kept)
        return stored or self._given(found, wanted, reference=reference, scratch=scratch)

    def _given(self, found: Fields, wanted: str, *, reference: str, scratch: Scratch) -> Image:
        """Have the engine give an image."""
        # By its id, so that it is one image whatever becomes of the name meanwhile.
        identity = found.text("Id", None)
        with self._engine.answer("GET", f"/images/{quote(identity)}/get", _SECONDS) as answer:
            with scratch.file() as (path, file), ArrivingDigests() as arriving:
                while block := answer.read(BLOCK):
                    arriving.feed(block)
                    file.write(block)
                known = arriving.digests()
            if answer.length:
                raise EnvironmentFault("the container engine stopped in the middle of the image")
        image = open_docker_archive(path, None, reference=reference, scratch=scratch, known=known)
        if image.config.diff_ids != _layers(found):
            raise IntegrityError(f"the container engine gave other layers than {wanted} has by its own word")
        return image

    def store(self, image: Image, name: ImageName) -> tuple[str, str]:
        """Put an image into the engine.

        Returns:
            digest of its manifest as it would be written, and the engine's id of it.

        Raises:
            EnvironmentFault: the engine cannot be reached, or cannot take it.
            PeerError: it has something else afterwards.
        """
        there = self._there(image, name)
        try:
            digest = self._load(image, name, without=range(there))
        except (PeerError, NotFoundError):
            if not there:
                raise
            # An image may have been removed since we looked.
            digest = self._load(image, name, without=())
        found = self._inspect(name.tagged.familiar)
        if found is None or _layers(found) != image.config.diff_ids:
            raise PeerError(f"the container engine took the image, but {name.familiar} is another one there")
        return digest, found.text("Id", None)

    def pull(self, name: ImageName) -> None:
        """Have the engine fetch an image from its registry itself.

        Raises:
            NotFoundError: the registry has none of that name.
            PeerError: the engine cannot have it.
        """
        query = urlencode({"fromImage": f"{name.domain}/{name.repository}", "tag": name.digest or name.tag})
        with self._engine.answer("POST", f"/images/create?{query}", _SECONDS) as answer:
            told = answer.read(_ANSWER_BYTES_MAX)
        _require_no_error(told, "did not fetch the image")

    def settings(self, wanted: str) -> Fields:
        """Return the settings of an image that the engine has: ``Entrypoint``, ``Cmd``, ``WorkingDir``, ….

        Raises:
            NotFoundError: the engine has none of that name.
        """
        found = self._inspect(wanted)
        if found is None:
            raise NotFoundError(f"the container engine has no image {wanted}", hint="docker images lists those it has")
        return Fields(found.values.get("Config") or {}, "the engine's answer: Config")

    def forget(self, name: str) -> None:
        """Take a name away from an image; an image without any other one is removed."""
        with self._engine.answer("DELETE", f"/images/{quote(name, safe='/:@')}", _ASKED_SECONDS):
            pass

    def _load(self, image: Image, name: ImageName, *, without: Iterable[int]) -> str:
        stream, written = docker_archive_of(image, name, without=frozenset(without))
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(stream.size)}
        with self._engine.answer("POST", "/images/load?quiet=1", _SECONDS, stream, headers) as answer:
            told = answer.read(_ANSWER_BYTES_MAX)
        _require_no_error(told, "did not take the image")
        return written.digest

    def _there(self, image: Image, name: ImageName) -> int:
        """Count the layers from the lowest on that the engine has already, on top of each other."""
        # The version before, whose name it takes, has nearly all as a rule; to look at every image takes long, too.
        there = _same(image, self._inspect(name.tagged.familiar))
        if sum(layer.size for layer in image.layers[there:]) <= _SENT_BYTES:
            return there
        for item in parse_list(self._get("/images/json") or b"[]", "the engine's list of images")[:_IMAGES_MAX]:
            found = self._inspect(Fields(item, "an image of the engine").text("Id", None))
            there = max(there, _same(image, found))
        return there

    def _inspect(self, wanted: str) -> Fields | None:
        data = self._get(f"/images/{quote(wanted, safe='/:@')}/json")
        return None if data is None else Fields(parse_object(data, "the engine's answer"), "the engine's answer")

    def _get(self, path: str) -> bytes | None:
        """Ask for a document; None where there is no such thing."""
        try:
            with self._engine.answer("GET", path, _ASKED_SECONDS) as answer:
                return answer.read(_ANSWER_BYTES_MAX)
        except NotFoundError:
            return None


def _require_no_error(told: bytes, what: str) -> None:
    """Look through what an engine says of its progress, a document a line."""
    for line in told.splitlines():
        with contextlib.suppress(InputError):
            if error := Fields(parse_object(line, "the answer"), "the answer").text("error"):
                raise PeerError(f"the container engine {what}: {error[:500]}")


def _same(image: Image, found: Fields | None) -> int:
    """Count the lowest layers that an image of the engine has, too."""
    same = 0
    for ours, theirs in zip(image.config.diff_ids, _layers(found) if found else (), strict=False):
        if ours != theirs:
            break
        same += 1
    return same


def _layers(found: Fields) -> tuple[str, ...]:
    return Fields(found.values.get("RootFS"), "the engine's answer: RootFS").texts("Layers")
