"""``sconectl apply`` for the manifest of a service: its image, in the engine and in the registry."""

from __future__ import annotations

import datetime as dt
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import warn
from bannock.images.credentials import Credentials
from bannock.images.engine_socket import EngineSocket
from bannock.images.layer import cached_layer
from bannock.images.places import Places
from bannock.images.references import ImageName
from bannock.images.sconify.cache import SealCache, cache_directory
from bannock.images.sconify.conversion import Tools
from bannock.mesh.build.recipe import Bases, recipe_of
from bannock.mesh.build.service import build_native, native_name, protect
from bannock.mesh.build.signer import signer_at
from bannock.mesh.defaults import default_lines
from bannock.mesh.withheld import keep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from bannock.cli.sconectl_options import ApplyOptions
    from bannock.mesh.build.recipe import Recipe
    from bannock.mesh.build.service import Made
    from bannock.mesh.manifests import ServiceManifest

__all__ = ["run"]

_IDENTITY: Final = "identity.pem"


def run(manifest: ServiceManifest, options: ApplyOptions) -> int:
    """Do what a command line asks for.

    Raises:
        BannockError: it cannot be done.
    """
    if options.print_defaults:
        sys.stdout.writelines(f"{line}\n" for line in _defaults(manifest))
        return 0
    build = manifest.build
    recipe = recipe_of(build, Bases(repository=options.repository, version=options.version, given=options.base))
    signer = signer_at(Path(build.signature.key) if build.signature.key else options.target / _IDENTITY)
    cache = cache_directory(os.environ)
    with (
        Places.prepared(cache=cache, keep_layers=True) as places,
        _building(recipe, options, native_name(build.to)) as building,
    ):
        # The engine builds, and meanwhile what it builds on is looked at here.
        below = places.layers_of(recipe.bases[0])
        tools = _tools(places, cache, signer, options)
        native = places.open(building.result())
        below = below or places.layers_of(recipe.bases[0])
        made = protect(manifest, recipe, native, tools, mode=options.mode, below=below)
        places.store(made.image, ImageName.parse(build.to).familiar)
        pushed = places.store(made.image, f"docker://{build.to}").digest if options.push else None
    keep(options.target, made.facts, variables=made.variables, secrets=made.secrets)
    _report(made, options, pushed)
    sys.stdout.write(f"{build.to}\n")
    return 0


@contextmanager
def _building(recipe: Recipe, options: ApplyOptions, name: str) -> Iterator[Future[str]]:
    """Have the native image built, beside what else is done."""
    docker = Path(os.environ.get("DOCKER_CONFIG") or Path(os.environ.get("HOME") or "/") / ".docker")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(
            build_native,
            recipe,
            Path.cwd(),
            without=options.target.resolve(),
            name=name,
            engine=EngineSocket.of(os.environ),
            credentials=Credentials(docker / "config.json"),
            told=lambda line: _tell(line, options, at=1),
        )


def _tools(places: Places, cache: Path, signer: RSAPrivateKey, options: ApplyOptions) -> Tools:
    runtime = cached_layer()
    layer = places.layer_from(runtime.path, digest=runtime.digest, size=runtime.size, diff_id=runtime.diff_id)
    return Tools(
        scratch=places.scratch,
        cache=SealCache(cache / "sealed"),
        runtime=layer,
        signer=signer,
        today=dt.datetime.now(dt.UTC).date(),
        debug=options.mode == "debug",
    )


def _defaults(manifest: ServiceManifest) -> list[str]:
    environment = manifest.environment
    variables = {each.name: each.value for each in environment.global_}
    return list(default_lines(manifest.build.name, variables, {each.name: each.value for each in environment.local}))


def _report(made: Made, options: ApplyOptions, pushed: str | None) -> None:
    for note in made.notes:
        warn(note)
    if made.facts.mode == "debug":
        warn("mode debug: policies of a mesh accept enclaves that a debugger may look into, and simulation")
    _tell(f"MRENCLAVE {made.facts.mrenclave}", options, at=0)
    _tell(f"MRSIGNER {made.facts.mrsigner}", options, at=0)
    _tell(f"pushed as {pushed}" if pushed else "not pushed to a registry", options, at=0)


def _tell(line: str, options: ApplyOptions, *, at: int) -> None:
    if options.verbose >= at:
        sys.stderr.write(f"{line}\n")
