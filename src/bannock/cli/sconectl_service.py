"""``sconectl apply`` for the manifest of a service: its image, in the engine and in the registry."""

from __future__ import annotations

import datetime as dt
import os
import sys
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
    from bannock.cli.sconectl_options import ApplyOptions
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
    recipe = recipe_of(
        build, Bases(repository=options.repository, version=options.version, given=options.base)
    )  # fmt: skip
    docker = Path(os.environ.get("DOCKER_CONFIG") or Path(os.environ.get("HOME") or "/") / ".docker")
    signer = signer_at(Path(build.signature.key) if build.signature.key else options.target / _IDENTITY)
    name = native_name(build.to)
    native = build_native(
        recipe,
        options.filename.absolute().parent,
        name=name,
        engine=EngineSocket.of(os.environ),
        credentials=Credentials(docker / "config.json"),
        told=lambda line: _tell(line, options, at=1),
    )
    cache = cache_directory(os.environ)
    with Places.prepared(cache=cache) as places:
        runtime = cached_layer()
        tools = Tools(
            scratch=places.scratch,
            cache=SealCache(cache / "sealed"),
            runtime=places.layer_from(runtime.path, digest=runtime.digest, size=runtime.size, diff_id=runtime.diff_id),
            signer=signer,
            today=dt.datetime.now(dt.UTC).date(),
            debug=options.mode == "debug",
        )
        made = protect(
            manifest, recipe, places.open(native), tools, mode=options.mode, below=places.layers_of(recipe.bases[0])
        )
        target = ImageName.parse(build.to)
        places.store(made.image, target.familiar)
        pushed = places.store(made.image, f"docker://{build.to}").digest if options.push else None
    keep(options.target, made.facts, variables=made.variables, secrets=made.secrets)
    _report(made, options, pushed)
    sys.stdout.write(f"{build.to}\n")
    return 0


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
