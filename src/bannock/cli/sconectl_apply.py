"""``sconectl apply``: make what a manifest describes; which options there are depends on its kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from bannock.cli.sconectl_options import filename_in, manifest_text, parse_apply, parser_of
from bannock.errors import InputError
from bannock.mesh.checked import CheckedManifests
from bannock.mesh.manifests import MeshManifest, ServiceManifest, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["main"]

#: As the tools that users know call manifests.
_DEFAULTS: Final = ("Manifest.yaml", "Meshfile.yaml")


def main(arguments: Sequence[str]) -> int:
    """Parse, read the manifest, make what it describes."""
    named = filename_in(arguments)
    path = named or next((found for name in _DEFAULTS if (found := Path(name)).exists()), None)
    if path is None:
        # Help needs no manifest.
        parser_of("").parse_args(arguments)
        raise InputError(
            "there is no manifest: neither Manifest.yaml nor Meshfile.yaml is here", hint="name it: -f FILE"
        )
    text, checked = manifest_text(path), CheckedManifests(_cache(os.environ) / "manifests")
    manifest = parse_manifest(text, checked=text in checked)
    checked.add(text)
    options = parse_apply(parser_of(manifest.kind).parse_args(arguments), path, os.environ)
    match manifest:
        case ServiceManifest():
            from bannock.cli import sconectl_service  # noqa: PLC0415 # each is large, and one is needed

            return sconectl_service.run(manifest, options)
        case MeshManifest():
            from bannock.cli import sconectl_mesh  # noqa: PLC0415

            return sconectl_mesh.run(manifest, options)
        case _:
            assert_never(manifest)


def _cache(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "bannock"
