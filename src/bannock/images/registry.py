"""Images of registries, by HTTP API v2 (the distribution specification of OCI, 1.1).

Blobs are fetched when somebody reads them. What the registry has already is not sent: it is asked for each blob, and
told where it has one under another name. Layers that are plain tars are packed where that makes them smaller.
"""

from __future__ import annotations

import zlib
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar
from urllib.parse import quote, urlsplit

from bannock.errors import EnvironmentFault, InputError, IntegrityError, NotFoundError, PeerError
from bannock.files import read_bounded, write_atomically
from bannock.images import media
from bannock.images.blobs import gzipped
from bannock.images.digests import blocks, copied, digest_of, hex_of, parse_digest, require_digest
from bannock.images.layout import image_in
from bannock.images.manifest import DOCUMENT_BYTES_MAX, Descriptor, media_type_of
from bannock.images.model import Layer
from bannock.images.registry_web import RegistryWeb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bannock.images.blobs import Blob, Scratch
    from bannock.images.credentials import Credentials
    from bannock.images.model import Image, Written
    from bannock.images.references import ImageName

__all__ = ["Registries"]

_Result = TypeVar("_Result")

_AUTHORITIES: Final = Path("/etc/docker/certs.d")
#: A connection may break in the middle of a large blob.
_ATTEMPTS: Final = 3
_SAMPLES: Final = 16
_SAMPLE_BYTES: Final = 64 << 10
#: Packing pays off where it takes away more than a tenth.
_WORTHWHILE: Final = 0.9


class Registries:
    """All registries.

    Args:
        credentials: of the user.
        scratch: where blobs are kept.
        memory: a directory where it is kept what a layer is called once it is packed.
        authorities: where Docker has authorities for registries.
    """

    def __init__(
        self, credentials: Credentials, *, scratch: Scratch, memory: Path, authorities: Path = _AUTHORITIES
    ) -> None:
        self._credentials = credentials
        self._scratch = scratch
        self._memory = memory
        self._authorities = authorities
        self._webs: dict[str, RegistryWeb] = {}

    def open(self, name: ImageName, *, reference: str) -> Image:
        """Open an image.

        Raises:
            NotFoundError: the registry has none of that name.
            DeniedError: it does not give it to us.
            EnvironmentFault: it cannot be reached.
            InputError: the image is not for this machine, or malformed.
            IntegrityError: it is not what its digests say.
        """
        repository = _Repository(self._web(name.domain), name, self._scratch)
        media_type, data = repository.manifest(name.wanted)
        if name.digest:
            require_digest(digest_of(data), name.digest, f"the manifest of {name}")
        descriptor = Descriptor(media_type=media_type, digest=digest_of(data), size=len(data))
        return image_in(repository, descriptor, data, reference=reference, scratch=self._scratch)

    def store(self, image: Image, name: ImageName) -> Written:
        """Push an image.

        Raises:
            DeniedError: the registry does not let us.
            EnvironmentFault: it cannot be reached.
            IntegrityError: a layer is not what its digest says.
            PeerError: the registry has something else afterwards.
        """
        repository = _Repository(self._web(name.domain), name, self._scratch)
        layers = [self._sent(repository, layer) for layer in image.layers]
        if any(sent is not layer for sent, layer in zip(layers, image.layers, strict=True)):
            image = image.repacked(layers)
        written = image.written()
        repository.send_bytes(written.config)
        repository.put_manifest(name.tag, written)
        return written

    def close(self) -> None:
        """Close all connections."""
        for web in self._webs.values():
            web.close()

    def _web(self, domain: str) -> RegistryWeb:
        if domain not in self._webs:
            self._webs[domain] = RegistryWeb(domain, self._credentials, authorities=self._authorities / domain)
        return self._webs[domain]

    def _sent(self, repository: _Repository, layer: Layer) -> Layer:
        """Send a layer, and give it as it was sent."""
        if layer.packing != "tar" or repository.has(layer.digest):
            repository.send(layer.blob)
            return layer
        remembered = self._remembered(layer)
        if remembered is not None and repository.has(remembered.digest):
            return Layer(
                _Elsewhere(remembered), media_type=media.LAYER_GZIP, diff_id=layer.diff_id, scratch=self._scratch
            )
        if not _is_worth_packing(layer.blob):
            repository.send(layer.blob)
            return layer
        packed = gzipped(layer.blob, self._scratch)
        self._remember(layer, packed)
        repository.send(packed)
        return Layer(packed, media_type=media.LAYER_GZIP, diff_id=layer.diff_id, scratch=self._scratch)

    def _remembered(self, layer: Layer) -> Descriptor | None:
        """Find what a layer was called the last time that it was packed."""
        try:
            digest, size = read_bounded(self._memory / hex_of(layer.diff_id), 200).decode("ascii").split()
            return Descriptor(media_type=media.LAYER_GZIP, digest=parse_digest(digest), size=int(size))
        except (InputError, ValueError):
            return None

    def _remember(self, layer: Layer, packed: Blob) -> None:
        self._memory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._memory / hex_of(layer.diff_id), f"{packed.digest} {packed.size}".encode())


class _Elsewhere:
    """A blob that the registry has, and this machine does not."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.digest: Final = descriptor.digest
        self.size: Final = descriptor.size

    def open(self) -> BinaryIO:
        """Refuse."""
        raise NotFoundError(f"the blob {self.digest} is in the registry alone")

    def part(self, offset: int, size: int) -> BinaryIO:
        """Refuse."""
        raise NotFoundError(
            f"the bytes {offset} to {offset + size} of the blob {self.digest} are in the registry alone"
        )


class _RemoteBlob:
    """A blob of a registry; it is fetched once, when it is read."""

    def __init__(self, repository: _Repository, descriptor: Descriptor) -> None:
        self.repository: Final = repository
        self.digest: Final = descriptor.digest
        self.size: Final = descriptor.size

    def open(self) -> BinaryIO:
        """Open it."""
        return self.repository.fetched(self.digest, self.size).open()

    def part(self, offset: int, size: int) -> BinaryIO:
        """Open a part of it."""
        return self.repository.fetched(self.digest, self.size).part(offset, size)


class _Repository:
    """One repository of a registry."""

    def __init__(self, web: RegistryWeb, name: ImageName, scratch: Scratch) -> None:
        self._web = web
        self.name: Final = name
        self._path = f"/v2/{name.repository}"
        self._scratch = scratch
        self._pull = f"repository:{name.repository}:pull"
        self._push = f"repository:{name.repository}:pull,push"

    def manifest(self, wanted: str) -> tuple[str, bytes]:
        """Fetch a manifest, and say what it is."""
        headers = {"Accept": ", ".join(media.ACCEPTED)}
        with self._web.ask("GET", f"{self._path}/manifests/{wanted}", scope=self._pull, headers=headers) as answer:
            data = answer.read(DOCUMENT_BYTES_MAX + 1)
            told = answer.headers.get("Content-Type")
        if len(data) > DOCUMENT_BYTES_MAX:
            raise PeerError(f"the manifest of {self.name} has more than the {DOCUMENT_BYTES_MAX} bytes allowed")
        return media_type_of(data, told), data

    def blob(self, descriptor: Descriptor) -> Blob:
        """Return a blob, of which nothing is fetched yet."""
        return _RemoteBlob(self, descriptor)

    def fetched(self, digest: str, size: int) -> Blob:
        """Fetch a blob, verified, unless that was done before."""
        return self._scratch.kept(digest) or _again(lambda: self._fetched(digest, size))

    def _fetched(self, digest: str, size: int) -> Blob:
        with self._scratch.file() as (path, file):
            self._fetch(file, digest, size)
        return self._scratch.keep(path, digest, size)

    def _fetch(self, file: BinaryIO, digest: str, size: int) -> None:
        with self._web.ask("GET", f"{self._path}/blobs/{digest}", scope=self._pull) as answer:
            try:
                copied(answer, file, what=f"a blob of {self.name}", digest=digest, size=size)
            except IntegrityError as error:
                if answer.length:
                    raise EnvironmentFault(f"the connection to {self.name.domain} ended in a blob") from error
                raise

    def has(self, digest: str) -> bool:
        """Ask whether a blob is there."""
        try:
            with self._web.ask("HEAD", f"{self._path}/blobs/{digest}", scope=self._push) as answer:
                answer.read()
                return True
        except NotFoundError:
            return False

    def send(self, blob: Blob) -> None:
        """Send a blob if it is not there."""
        if not self.has(blob.digest):
            _again(lambda: self._upload(blob))

    def _upload(self, blob: Blob) -> None:
        query = ""
        source = blob.repository.name if isinstance(blob, _RemoteBlob) else None
        if source is not None and source.domain == self.name.domain:
            query = f"?mount={blob.digest}&from={quote(source.repository, safe='')}"
        with self._web.ask("POST", f"{self._path}/blobs/uploads/{query}", scope=self._push) as answer:
            answer.read()
            if answer.status == HTTPStatus.CREATED:
                return
            target = answer.headers.get("Location", "")
        if not target:
            raise PeerError(f"the registry {self.name.domain} does not say where an upload goes")
        url = f"{target}{'&' if urlsplit(target).query else '?'}digest={blob.digest}"

        def body() -> Iterator[bytes]:
            with blob.open() as stream:
                yield from blocks(stream)

        headers = {"Content-Type": "application/octet-stream"}
        with self._web.ask("PUT", url, scope=self._push, body=body, size=blob.size, headers=headers) as answer:
            answer.read()

    def send_bytes(self, data: bytes) -> None:
        """Send a document."""
        with self._scratch.file() as (path, file):
            file.write(data)
        self.send(self._scratch.keep(path, digest_of(data), len(data)))

    def put_manifest(self, tag: str, written: Written) -> None:
        """Send the manifest, which makes the image one."""
        _again(lambda: self._put_manifest(tag, written))

    def _put_manifest(self, tag: str, written: Written) -> None:
        with self._web.ask(
            "PUT",
            f"{self._path}/manifests/{tag}",
            scope=self._push,
            body=lambda: [written.manifest],
            size=len(written.manifest),
            headers={"Content-Type": written.media_type},
        ) as answer:
            answer.read()
            told = answer.headers.get("Docker-Content-Digest", written.digest)
        if told != written.digest:
            raise PeerError(f"the registry has {told[:80]} for {self.name}, it was given {written.digest}")


def _again(do: Callable[[], _Result]) -> _Result:
    """Do something, and once more where a connection broke."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return do()
        except EnvironmentFault:
            continue
    return do()


def _is_worth_packing(blob: Blob) -> bool:
    """Look at pieces of a layer: what is encrypted does not get smaller."""
    before = after = 0
    for number in range(_SAMPLES):
        offset = blob.size // _SAMPLES * number
        with blob.part(offset, min(_SAMPLE_BYTES, blob.size - offset)) as stream:
            piece = stream.read()
        before += len(piece)
        after += len(zlib.compress(piece, 1))
    return after < before * _WORTHWHILE
