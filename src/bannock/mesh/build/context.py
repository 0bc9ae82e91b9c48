"""What an engine gets to build an image of: a tar with the Dockerfile, and files of the directory of the manifest.

Nothing but what the manifest names is sent. Names are kept, times and owners are not: they are no part of a service,
and would make another image, and another measurement, of the same files.
"""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
from typing import TYPE_CHECKING, BinaryIO

from bannock.errors import EnvironmentFault, InputError
from bannock.mesh.build.recipe import FILES

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.mesh.build.recipe import Recipe

__all__ = ["write_context"]

_FILE_MODE, _PROGRAM_MODE = 0o644, 0o755


def write_context(target: BinaryIO, recipe: Recipe, directory: Path, *, without: Path) -> None:
    """Write the tar.

    Args:
        target: where to.
        recipe: says what is in it.
        directory: what paths are below.
        without: a directory of which nothing is taken.

    Raises:
        InputError: a file is not there, or leads out of the directory.
        EnvironmentFault: it cannot be read.
    """
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _put(tar, "Dockerfile", recipe.dockerfile.encode())
        try:
            for path, place in recipe.packages.items():
                _add(tar, directory, path, place, without)
            for path in recipe.files:
                _add(tar, directory, path, posixpath.normpath(f"{FILES}/{path}"), without)
        except OSError as error:
            raise EnvironmentFault(f"cannot read {error.filename}: {error.strerror}") from error


def _put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), _FILE_MODE
    tar.addfile(entry, io.BytesIO(data))


def _add(tar: tarfile.TarFile, directory: Path, path: str, place: str, without: Path) -> None:
    """Add what the manifest names, with all that is below it; a link that it names is what it leads to."""
    found = directory / path
    if not found.exists():
        raise InputError(f"there is no {path} in {directory}", hint="the manifest names it in its section build")
    if not found.resolve().is_relative_to(directory.resolve()):
        raise InputError(f"{path} leads out of {directory}: {found.resolve()}")
    if found.resolve().is_relative_to(without):
        raise InputError(f"{path} is in {without}, where keys and secret values are: nothing of it goes to an image")
    if not found.is_dir():
        _add_file(tar, found, place)
        return
    _add_directory(tar, place)
    for each in sorted(found.rglob("*")):
        if each == without or without in each.parents:
            continue
        inside = f"{place}/{each.relative_to(found).as_posix()}"
        if each.is_symlink():
            # As it is: where it leads is decided in the image, not on this machine.
            entry = tarfile.TarInfo(inside)
            entry.type, entry.linkname = tarfile.SYMTYPE, os.fspath(each.readlink())
            tar.addfile(entry)
        elif each.is_dir():
            _add_directory(tar, inside)
        elif each.is_file():
            _add_file(tar, each, inside)


def _add_directory(tar: tarfile.TarFile, place: str) -> None:
    entry = tarfile.TarInfo(place)
    entry.type, entry.mode = tarfile.DIRTYPE, _PROGRAM_MODE
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, path: Path, place: str) -> None:
    with path.open("rb") as source:
        status = os.fstat(source.fileno())
        entry = tarfile.TarInfo(place)
        entry.size = status.st_size
        entry.mode = _PROGRAM_MODE if status.st_mode & 0o111 else _FILE_MODE
        tar.addfile(entry, source)
