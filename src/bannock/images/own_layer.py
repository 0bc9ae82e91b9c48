"""Layers of an installation that is in an image itself, and so is one of them: its files are read as they are.

What an image has of Python is compiled, stripped and bound to its place, so no layer can be made of it as of another
installation. The layer with all commands has a list of what is in both layers instead. So what comes out of it are the
bytes that it was made of.
"""

from __future__ import annotations

import json
import stat
import sys
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError
from bannock.identity.layout import LAYER_ROOT
from bannock.images.tar_layer import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["is_in_image", "list_of_layers", "own_parts"]

_LIST: Final = f"{LAYER_ROOT}/layers.json"
_RUNTIME, _WHOLE = "runtime", "whole"


def is_in_image() -> bool:
    """Say whether this installation is a layer of an image."""
    return sys.prefix == LAYER_ROOT


def list_of_layers(runtime: Iterable[str], whole: Iterable[str]) -> Part:
    """Return the file of the layer with all commands that says what is in it, and in the runtime's layer."""
    name = _LIST.removeprefix("/")
    lists = {_RUNTIME: sorted(runtime), _WHOLE: sorted({*whole, name})}
    return Part(name, f"{json.dumps(lists, indent=0)}\n".encode())


def own_parts(root: Path, *, whole: bool) -> Iterator[Part]:
    """Yield the files of a layer from an image that has the layer with all commands.

    Args:
        root: of the image.
        whole: whether it is that layer again, and not the runtime's.

    Raises:
        InputError: the image has the runtime's layer alone.
        EnvironmentFault: something of the layer is not there.
    """
    place = root / _LIST.removeprefix("/")
    try:
        names = json.loads(place.read_bytes())[_WHOLE if whole else _RUNTIME]
    except FileNotFoundError:
        raise InputError(
            "this image has the runtime alone, of which no other layer can be made",
            hint="take an image that has all commands, like the curated image `tools`",
        ) from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise EnvironmentFault(f"{place} does not list the files of layers: {error}") from error
    for name in names:
        path = root / name
        try:
            mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
            yield Part(name, path.read_bytes(), mode)
        except OSError as error:
            raise EnvironmentFault(f"a file of the layer is missing: {path}: {error.strerror}") from error
