"""The native image of a service, which its protected one is made of: built by the container engine."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

from bannock.images.engine_build import build_image
from bannock.images.references import ImageName
from bannock.mesh.build.context import write_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.images.credentials import Credentials
    from bannock.images.engine_socket import EngineSocket
    from bannock.mesh.build.recipe import Recipe

__all__ = ["build_native", "native_name"]


def native_name(image: str) -> str:
    """Return what the native image of a service is called in the engine."""
    name = ImageName.parse(image).tagged
    return replace(name, repository=f"{name.repository}-native").familiar


def build_native(
    recipe: Recipe,
    directory: Path,
    *,
    without: Path,
    name: str,
    engine: EngineSocket,
    credentials: Credentials,
    told: Callable[[str], None],
) -> str:
    """Have the engine build the native image, and return how it is opened.

    Args:
        recipe: says how.
        directory: where the files are that it copies.
        without: a directory of which nothing is copied: it has keys, and values that are secret.
        name: of the image.
        engine: builds it.
        credentials: for the registries of images that it is built on.
        told: gets what the steps print.

    Raises:
        InputError: a file is missing, or a step fails.
        EnvironmentFault: the engine cannot be reached.
    """
    if not recipe.dockerfile:
        return recipe.bases[0]
    with tempfile.TemporaryFile() as context:
        write_context(context, recipe, directory, without=without)
        return build_image(engine, context, name=name, bases=recipe.bases, credentials=credentials, told=told)
