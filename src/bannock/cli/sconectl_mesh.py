"""``sconectl apply`` for the manifest of a mesh."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from bannock.errors import InputError
from bannock.images.places import Places
from bannock.images.sconify.cache import cache_directory
from bannock.mesh.defaults import default_lines
from bannock.mesh.facts import ServiceFacts

if TYPE_CHECKING:
    from bannock.cli.sconectl_options import ApplyOptions
    from bannock.mesh.manifests import MeshManifest

__all__ = ["run"]


def run(manifest: MeshManifest, options: ApplyOptions) -> int:
    """Do what a command line asks for.

    Raises:
        BannockError: it cannot be done.
    """
    if not options.print_defaults:
        raise InputError(
            "policies and charts of meshes are not made by this version",
            hint="--print-defaults prints what a mesh has to set",
        )
    with Places.prepared(cache=cache_directory(os.environ)) as places:
        for service in manifest.services:
            image = places.open(service.image)
            facts = ServiceFacts.from_labels(image.config.labels, image=service.image)
            sys.stdout.writelines(f"{line}\n" for line in default_lines(service.name, facts.global_, facts.local))
    return 0
