"""What images are called: names in registries and engines, directories and files. Pure.

The grammar of names is that of the ``reference`` package of the distribution project, the prefixes are skopeo's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from bannock.errors import InputError
from bannock.images.digests import parse_digest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DockerArchive",
    "EngineImage",
    "ImageName",
    "NamedImage",
    "OciArchive",
    "OciLayout",
    "Reference",
    "RegistryImage",
    "parse_reference",
]

_HUB: Final = "docker.io"
_NAME_CHARACTERS_MAX: Final = 255
_PART: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_PART}(?:/{_PART})*")
_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_ID: Final = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """A name of an image, complete.

    Attributes:
        domain: the registry, as ``HOST[:PORT]``.
        repository: the path in the registry.
        tag: empty where there is a digest alone.
        digest: of the manifest; empty for whatever the tag names.
    """

    domain: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[HOST[:PORT]/]PATH[:TAG][@DIGEST]``.

        Raises:
            InputError: it is no name of an image.
        """
        rest, at, digest = text.partition("@")
        if at:
            parse_digest(digest)
        first, slash, path = rest.partition("/")
        named = bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
        domain, path = (first, path) if named else (_HUB, rest)
        path, colon, tag = path.partition(":")
        if domain in {"index.docker.io", _HUB}:
            domain, path = _HUB, path if "/" in path else f"library/{path}"
        well_formed = (
            _DOMAIN.fullmatch(domain)
            and _REPOSITORY.fullmatch(path)
            and (not colon or _TAG.fullmatch(tag))
            and len(domain) + 1 + len(path) <= _NAME_CHARACTERS_MAX
        )
        if not well_formed:
            raise InputError(
                f"an image is named [HOST[:PORT]/]PATH[:TAG][@DIGEST] in lower case, found {text[:100]!r}",
                hint="of directories and files, say oci:DIR, oci-archive:FILE or docker-archive:FILE",
            )
        return cls(domain=domain, repository=path, tag=tag or ("" if at else "latest"), digest=digest)

    @property
    def familiar(self) -> str:
        """The name as people and engines write it: without what goes without saying."""
        domain = "" if self.domain == _HUB else f"{self.domain}/"
        path = self.repository.removeprefix("library/") if self.domain == _HUB else self.repository
        return f"{domain}{path}{self._suffix}"

    @property
    def wanted(self) -> str:
        """What a registry is asked for: the digest, or else the tag."""
        return self.digest or self.tag

    @property
    def tagged(self) -> Self:
        """The name without a digest, for an image that is yet to be made.

        Raises:
            InputError: it has no tag: what is made has a digest of its own.
        """
        if not self.tag:
            raise InputError(f"an image is stored under a tag, not under a digest: {self.familiar}")
        return replace(self, digest="")

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def at(self, digest: str) -> Self:
        """Give the name of one manifest of the repository."""
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        return f"{self.domain}/{self.repository}{self._suffix}"


@dataclass(frozen=True, slots=True)
class NamedImage:
    """A name: of the engine if it has it, else of a registry."""

    name: ImageName

    def __str__(self) -> str:
        return self.name.familiar


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image of the container engine, by its name or id."""

    name: ImageName | str

    def __str__(self) -> str:
        return f"docker-daemon:{self.wanted}"

    @property
    def wanted(self) -> str:
        """What the engine is asked for."""
        return self.name if isinstance(self.name, str) else self.name.familiar


@dataclass(frozen=True, slots=True)
class RegistryImage:
    """An image of a registry."""

    name: ImageName

    def __str__(self) -> str:
        return f"docker://{self.name}"


@dataclass(frozen=True, slots=True)
class OciLayout:
    """An image in a directory; without a tag it has to be the only one."""

    path: Path
    tag: str = ""

    def __str__(self) -> str:
        return f"oci:{self.path}" + (f":{self.tag}" if self.tag else "")


@dataclass(frozen=True, slots=True)
class OciArchive:
    """An image in a tar of such a directory."""

    path: Path
    tag: str = ""

    def __str__(self) -> str:
        return f"oci-archive:{self.path}" + (f":{self.tag}" if self.tag else "")


@dataclass(frozen=True, slots=True)
class DockerArchive:
    """An image in a file that ``docker save`` wrote, or ``docker load`` reads."""

    path: Path
    name: ImageName | None = None

    def __str__(self) -> str:
        return f"docker-archive:{self.path}" + (f":{self.name.familiar}" if self.name else "")


Reference: TypeAlias = NamedImage | EngineImage | RegistryImage | OciLayout | OciArchive | DockerArchive


def parse_reference(text: str) -> Reference:
    """Read what a user calls an image.

    Raises:
        InputError: it is nothing of the kind.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in _KINDS:
        return _KINDS[kind](rest)
    if text.startswith("docker://"):
        return RegistryImage(ImageName.parse(text.removeprefix("docker://")))
    return EngineImage(text) if _ID.fullmatch(text) else NamedImage(ImageName.parse(text))


def _engine(text: str) -> EngineImage:
    return EngineImage(text if _ID.fullmatch(text) else ImageName.parse(text))


def _docker_archive(text: str) -> DockerArchive:
    path, _, name = text.partition(":")
    return DockerArchive(_path(path), ImageName.parse(name) if name else None)


def _path_and_tag(text: str) -> tuple[Path, str]:
    path, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return _path(text), ""
    if not _TAG.fullmatch(tag):
        raise InputError(f"a tag has letters, digits and ._- in it, found {tag[:80]!r}")
    return _path(path), tag


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise InputError("the path of an image is empty, or has a NUL in it")
    return Path(text)


_KINDS: Final[dict[str, Callable[[str], Reference]]] = {
    "docker-daemon": _engine,
    "docker-archive": _docker_archive,
    "oci": lambda text: OciLayout(*_path_and_tag(text)),
    "oci-archive": lambda text: OciArchive(*_path_and_tag(text)),
}
