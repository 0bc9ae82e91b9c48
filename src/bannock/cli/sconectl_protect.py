"""What ``sconectl apply`` does with the native image of a service: protect it, store it, push it, and tell of it."""

from __future__ import annotations

import datetime as dt
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import warn
from bannock.cli.sconectl_service import tell
from bannock.images.layer import cached_layer
from bannock.images.places import Places
from bannock.images.references import ImageName
from bannock.images.sconify.cache import SealCache, cache_directory
from bannock.images.sconify.conversion import Tools
from bannock.mesh.build.service import protect
from bannock.mesh.build.signer import signer_at
from bannock.mesh.withheld import keep

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from bannock.cli.sconectl_options import ApplyOptions
    from bannock.mesh.build.recipe import Recipe
    from bannock.mesh.build.service import Made
    from bannock.mesh.manifests import ServiceManifest

__all__ = ["finish"]

_IDENTITY: Final = "identity.pem"


def finish(manifest: ServiceManifest, recipe: Recipe, options: ApplyOptions, building: Future[str]) -> None:
    """Do all that comes after the native image.

    Args:
        manifest: of the service.
        recipe: that the native image is built by.
        options: of the command line.
        building: gives how the native image is opened.

    Raises:
        BannockError: it cannot be done.
    """
    build = manifest.build
    cache = cache_directory(os.environ)
    with Places.prepared(cache=cache, keep_layers=True) as places:
        # The engine builds, and meanwhile what it builds on is looked at here.
        below = places.layers_of(recipe.bases[0])
        signer = signer_at(Path(build.signature.key) if build.signature.key else options.target / _IDENTITY)
        tools, tree = _tools(places, cache, signer, options), places.kept(below)
        native = places.open(building.result())
        below = below or places.layers_of(recipe.bases[0])
        made = protect(manifest, recipe, native, tools, mode=options.mode, below=below, tree=tree)
        pushed = _stored(places, made, build.to, push=options.push)
    keep(options.target, made.facts, variables=made.variables, secrets=made.secrets)
    _report(made, options, pushed)
    sys.stdout.write(f"{build.to}\n")


def _stored(places: Places, made: Made, name: str, *, push: bool) -> str | None:
    """Put the image into engine and registry at the same time, and return its digest in the registry."""
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(places.store, made.image, f"docker://{name}") if push else None
        places.store(made.image, ImageName.parse(name).familiar)
        return None if pushing is None else pushing.result().digest


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


def _report(made: Made, options: ApplyOptions, pushed: str | None) -> None:
    for note in made.notes:
        warn(note)
    if made.facts.mode == "debug":
        warn("mode debug: policies of a mesh accept enclaves that a debugger may look into, and simulation")
    tell(f"MRENCLAVE {made.facts.mrenclave}", options, at=0)
    tell(f"MRSIGNER {made.facts.mrsigner}", options, at=0)
    tell(f"pushed as {pushed}" if pushed else "not pushed to a registry", options, at=0)
