"""What a user asks for when an image is to be protected: values that were checked. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError
from bannock.identity.layout import LAYER_ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ENGINE_FILES",
    "IMAGE_DIRECTORY",
    "PROTECTION_PATH",
    "Places",
    "SconifyOptions",
    "SessionVolume",
    "absolute",
    "protected_directory",
    "session_name",
]

#: What container engines put their own files into, or the kernel does.
_ENGINE: Final = ("/", "/proc", "/sys", "/dev", "/etc", LAYER_ROOT)
#: What belongs to one image, and not to the runtime.
IMAGE_DIRECTORY: Final = f"{LAYER_ROOT}/image"
#: Where the protection file is, unless another place is asked for.
PROTECTION_PATH: Final = f"{IMAGE_DIRECTORY}/image.fspf"
#: What container engines write anew for each container.
ENGINE_FILES: Final = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionVolume:
    """A volume of the session, as ``--volume NAME:PATH[:[FROM_SESSION][:TO_SESSION…]]`` names it."""

    name: str
    path: str
    source: str | None = None
    targets: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take the text of an option apart.

        Raises:
            InputError: it has another form.
        """
        name, _, rest = text.partition(":")
        path, *sessions = rest.split(":")
        if not name or not path:
            raise InputError(f"--volume is NAME:PATH[:[FROM_SESSION][:TO_SESSION...]], found {text[:200]!r}")
        source = sessions[0] if sessions and sessions[0] else None
        targets = tuple(each for each in sessions[1:] if each)
        if source and targets:
            raise InputError(
                f"--volume {text[:200]}: a volume is imported from a session or exported to others, not both"
            )
        return cls(name=name, path=absolute("--volume", path), source=source, targets=targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Which paths of the image are treated how.

    Attributes:
        directories: encrypted.
        authenticated: as they are, and whoever changes them is found out.
        ephemeral: in memory, encrypted there, empty at each start.
        image_directories, image_files: part of the file-system image, which is measured.
        own_directories: likewise, in an image of their own over the other one: they change more often than all else.
        host_paths: as the container has them, in a file-system image.
        plain_directories, plain_files: in clear, on purpose.
    """

    directories: tuple[str, ...] = ()
    authenticated: tuple[str, ...] = ()
    ephemeral: tuple[str, ...] = ()
    image_directories: tuple[str, ...] = ()
    image_files: tuple[str, ...] = ()
    own_directories: tuple[str, ...] = ()
    host_paths: tuple[str, ...] = ()
    plain_directories: tuple[str, ...] = ()
    plain_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SconifyOptions:
    """What is asked for.

    Attributes:
        binary: the program that becomes an enclave.
        places: which paths are treated how.
        binary_fs: whether the root is a file-system image.
        image_defaults: whether libraries are part of a file-system image without being named.
        settings: measured settings, ``SCONE_*``.
        log: SCONE_LOG; None: as the runtime has it.
        command: of the session; None: that of the image.
        environment: of the session, besides the image's.
        copy_environment: whether the image's is the session's.
        session: name, with its namespaces.
        service: name of the service.
        cas, las: addresses that the image starts with; None: said when a container is started.
        cas_key: hash of the key that the CAS has to have, in base58.
        protection_file: where the protection file is put.
        volumes: of the session.
        tolerate: weaknesses that the session accepts.
        any_service: whether the session is for any program whatever.
        azure: address of Microsoft's attestation service; None: platforms are appraised by the CAS.
    """

    binary: str
    places: Places = field(default_factory=Places)
    binary_fs: bool = False
    image_defaults: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    log: str | None = None
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    copy_environment: bool = True
    session: str
    service: str = "service"
    cas: str | None = None
    cas_key: str | None = None
    las: str | None = None
    protection_file: str = PROTECTION_PATH
    volumes: tuple[SessionVolume, ...] = ()
    tolerate: tuple[str, ...] = ()
    any_service: bool = False
    azure: str | None = None

    def __post_init__(self) -> None:
        places = self.places
        if self.binary_fs and (places.directories or places.authenticated or places.ephemeral):
            raise InputError(
                "--dir, --authenticate and --ephemeral make regions, and --binary-fs measures a root instead",
                hint="with --binary-fs, name what goes into it with --fs-dir and --fs-file",
            )
        if not self.binary_fs and (places.image_directories or places.image_files or places.host_paths):
            raise InputError("--fs-dir, --fs-file and --host-path are for a file-system image: add --binary-fs")


def absolute(option: str, path: str) -> str:
    """Return a path in its plain spelling.

    Raises:
        InputError: it is not absolute.
    """
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise InputError(
            f"{option} is an absolute path in the image, found {path[:200]!r}",
            hint="docker run --rm IMAGE which NAME tells where a program is" if option == "--binary" else None,
        )
    return "/" + posixpath.normpath(path).lstrip("/")


def protected_directory(path: str, *, option: str = "--dir", besides: tuple[str, ...] = ()) -> str:
    """Return the path of a directory that can be protected.

    Args:
        path: as it was given.
        option: that it was given with.
        besides: directories that can be protected in this way, and else not.

    Raises:
        InputError: it is not absolute, or engines put their own files there.
    """
    plain = absolute(option, path)
    if plain in besides:
        return plain
    if plain in _ENGINE or plain.startswith(("/proc/", "/sys/", "/dev/", f"{LAYER_ROOT}/")):
        raise InputError(
            f"{option} {plain} cannot be protected: container engines and the runtime have files of their own there",
            hint="name the directories of the application, /etc/NAME among them if need be",
        )
    return plain


def session_name(image: str) -> str:
    """Return the name that a session has if none is given: that of the image, without what names cannot have."""
    plain = _NOT_IN_NAMES.sub("-", image.replace("/", "")).strip("-.")
    return plain or "session"
