"""``sconectl apply`` for the manifest of a service: its image, in the engine and in the registry."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from bannock.errors import InputError
from bannock.images.credentials import Credentials
from bannock.images.engine_socket import EngineSocket
from bannock.mesh.build.native import build_native, native_name
from bannock.mesh.build.recipe import Bases, recipe_of
from bannock.mesh.defaults import default_lines

if TYPE_CHECKING:
    from bannock.cli.sconectl_options import ApplyOptions
    from bannock.mesh.build.recipe import Recipe
    from bannock.mesh.manifests import ServiceManifest

__all__ = ["run", "tell"]


def run(manifest: ServiceManifest, options: ApplyOptions) -> int:
    """Do what a command line asks for.

    Raises:
        BannockError: it cannot be done.
    """
    if options.print_defaults:
        sys.stdout.writelines(f"{line}\n" for line in _defaults(manifest))
        return 0
    if options.helm_template is not None:
        raise InputError(
            "--helm-template: a service has no chart of its own, its mesh has one",
            hint="name the directory of the chart in the manifest of the mesh: helm_chart of the service",
        )
    build = manifest.build
    recipe = recipe_of(build, Bases(repository=options.repository, version=options.version, given=options.base))
    building = _building(recipe, options, native_name(build.to))
    # Imported here: it takes as long as a small image takes to be built.
    from bannock.cli.sconectl_protect import finish  # noqa: PLC0415

    finish(manifest, recipe, options, building)
    return 0


def _building(recipe: Recipe, options: ApplyOptions, name: str) -> Future[str]:
    """Have the native image built, beside what else is done.

    Who ends before has the engine end as well, which does not build for a client that is gone: nobody waits for that.
    """
    docker = Path(os.environ.get("DOCKER_CONFIG") or Path(os.environ.get("HOME") or "/") / ".docker")
    engine, credentials = EngineSocket.of(os.environ), Credentials(docker / "config.json")
    building: Future[str] = Future()

    def build() -> None:
        try:
            native = build_native(
                recipe,
                Path.cwd(),
                without=options.target.resolve(),
                name=name,
                engine=engine,
                credentials=credentials,
                told=lambda line: tell(line, options, at=1),
            )
        except Exception as error:  # noqa: BLE001 - raised for who asks for the image
            building.set_exception(error)
        else:
            building.set_result(native)

    Thread(target=build, name="native image", daemon=True).start()
    return building


def _defaults(manifest: ServiceManifest) -> list[str]:
    environment = manifest.environment
    variables = {each.name: each.value for each in environment.global_}
    return list(default_lines(manifest.build.name, variables, {each.name: each.value for each in environment.local}))


def tell(line: str, options: ApplyOptions, *, at: int) -> None:
    """Say something to who asks for as much."""
    if options.verbose >= at:
        sys.stderr.write(f"{line}\n")
