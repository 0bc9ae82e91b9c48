"""Which program of an image becomes the enclave: the one that the command starts. Pure but for reading the image."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.images.scripts import interpreter_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.identity.libraries import FileReader
    from bannock.mesh.manifests.model import Build

__all__ = ["Called", "measured_program_of"]

_SEARCH: Final = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/opt/java/openjdk/bin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """How a program is started.

    Attributes:
        program: its canonical path.
        command: by which an engine and a session start it.
        names: paths that are looked up for that: names of the program that may be links, and of a script.
    """

    program: str
    command: tuple[str, ...]
    names: tuple[str, ...]


def measured_program_of(build: Build, command: Sequence[str], directory: str, reader: FileReader) -> Called:
    """Find the program.

    Args:
        build: may name the program.
        command: of the manifest.
        directory: that it is started in.
        reader: of the image.

    Raises:
        InputError: it is not in the image.
    """
    words = tuple(command)
    if "/" in words[0] and not words[0].startswith("/"):
        words = (posixpath.normpath(posixpath.join(directory, words[0])), *words[1:])
    name = _find(words[0], directory, reader)
    if name is None:
        raise InputError(
            f"build.command starts {words[0]!r}, and the image has no such program",
            hint="name it with its path, or copy it to the image with build.copy",
        )
    if "/" not in words[0] and name.startswith(f"{directory.rstrip('/')}/"):
        words = (name, *words[1:])
    if build.binaries:
        named = _find(build.binaries[0], directory, reader)
        if named is None:
            raise InputError(f"build.binaries: there is no program {build.binaries[0]} in the image")
        return Called(program=reader.resolve(named), command=words, names=(name, named))
    interpreter = _interpreter(reader.resolve(name), directory, reader)
    names = (name,) if interpreter is None else (name, interpreter)
    return Called(program=reader.resolve(names[-1]), command=words, names=names)


def _find(program: str, directory: str, reader: FileReader) -> str | None:
    """Return the path by which a program is found."""
    if "/" in program:
        path = posixpath.join(directory, program)
        return path if reader.exists(path) else None
    places = [*_SEARCH, directory.rstrip("/")]
    return next((path for place in places if reader.exists(path := f"{place}/{program}")), None)


def _interpreter(path: str, directory: str, reader: FileReader) -> str | None:
    """Return what a script is run by."""
    words = interpreter_words(path, reader)
    return _find(words[0], directory, reader) if words else None
