"""What a run starts: the program, what decides how it starts, its settings and its signature, kept from changing."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError, InputError
from bannock.identity.debug_key import DEBUG_SIGNER, debug_signing_key
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.measured import start_of
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build
from bannock.identity.settings import image_paths, normal_settings
from bannock.identity.signing import SignedProgram, require_measured
from bannock.runtime.images import OpenImage
from bannock.runtime.launcher import Entry
from bannock.runtime.settings import enclave_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.identity.tree import MeasurementTree
    from bannock.runtime.root import PrivateRoot

__all__ = ["Program", "freeze_program", "require_measured_program"]

#: Where programs of a bundle and of the system are looked for, if they are not named by their path.
_SEARCH: Final = "/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is started.

    Attributes:
        manifest: what has to be measured of it.
        links: every name of a file that decides how it starts → its canonical path.
        entries: those of them in which the kernel starts programs; first the one of the program itself.
        images: the file-system images that are its root; none: the root is the host's.
        signed: what is beside it, if somebody signed it.
    """

    manifest: EnclaveManifest
    links: Mapping[str, str]
    entries: tuple[Entry, ...]
    images: tuple[OpenImage, ...] = ()
    signed: SignedProgram | None = None

    def measure(self) -> MeasurementTree:
        """Measure it, as whoever attests it would.

        Raises:
            InputError: a file is missing.
        """
        return measure(self.manifest, RootedReader(Path("/")), runtime_build())

    def with_signature(self) -> Program:
        """Return it with the signature that it starts with.

        What was signed with the built-in key, which everybody has, is signed again if it has changed. Else nothing is
        measured here: whoever attests it finds out.
        """
        if self.signed is None:
            return self
        sigstruct = self.signed.sigstruct
        if sigstruct.signer == DEBUG_SIGNER and (root := self.measure().root) != sigstruct.measurement:
            sigstruct = sigstruct.of(root).sign(debug_signing_key())
        return replace(self, manifest=replace(self.manifest, sigstruct=sigstruct.to_bytes()))

    def require_as_signed(self) -> None:
        """Refuse what is not what was signed, and say what differs; for after it was refused.

        Raises:
            DeniedError: it is something else.
        """
        if self.signed is not None and self.signed.sigstruct.signer != DEBUG_SIGNER:
            require_measured(self.signed.tree, self.measure())


def freeze_program(root: PrivateRoot, command: str, environment: Mapping[str, str]) -> Program:
    """Find what decides how a program starts, and keep it from changing.

    Where the program is signed, what the environment does not set is as it was signed.

    Raises:
        InputError: there is no such program, or it changes, or what is beside it is malformed.
        EnvironmentFault: the kernel refuses.
    """
    reader = RootedReader(Path("/"))
    binary = reader.resolve(_find(command))
    signed = SignedProgram.read(binary, reader)
    settings = enclave_settings(environment)
    if signed is not None:
        settings = {**signed.tree.settings, **settings}
    found = start_of(binary, reader)
    copies = root.freeze(found.files, found.entries)
    if start_of(binary, reader) != found:
        raise InputError(f"{binary} or one of its libraries changed while it was measured")
    images = tuple(map(OpenImage.open, dict.fromkeys(map(reader.resolve, image_paths(normal_settings(settings))))))
    for image in images:
        # What is measured of an image, and nothing else, is what is at its path from now on.
        root.place(Path(image.path), image.head, 0o444)
    program = Program(
        manifest=EnclaveManifest(binary=binary, settings=settings),
        links=(links := {**{path: path for path in found.files}, **found.links}),
        entries=tuple(
            Entry(copy=copies[path], names=tuple(name for name, named in links.items() if named == path))
            for path in found.entries
        ),
        images=images,
        signed=signed,
    )
    return program.with_signature()


def _find(command: str) -> str:
    """Return the path of a program in the private root."""
    if "/" in command:
        return os.path.abspath(command)  # noqa: PTH100 # links are resolved later, within the root
    for directory in _SEARCH.split(os.pathsep):
        candidate = Path(directory) / command
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise InputError(f"there is no program {command!r} in {_SEARCH}", hint="name it by its path in the enclave")


def require_measured_program(program: str, binary: str) -> None:
    """Refuse a session whose command is another program than the one that was measured."""
    found = RootedReader(Path("/")).resolve(_find(program))
    if found != binary:
        raise DeniedError(
            f"the session runs {program!r}, which is {found} here, and what was measured and attested is {binary}",
            hint="start the program that the session names, or change the session's command",
        )
