"""Services of a mesh, as their images are: read, completed by what is kept here, and measured.

What an image says of its measurement is not believed: it is compared with what it is. Nothing of an image is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import InputError, IntegrityError
from bannock.files import read_bounded
from bannock.images.originals import measured_program
from bannock.images.tree import Tree
from bannock.mesh.facts import ServiceFacts
from bannock.mesh.manifests.parse import parse_secrets
from bannock.mesh.meshed import MeshedService, built_in_values
from bannock.mesh.withheld import complete

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bannock.images.model import Image
    from bannock.images.places import Places
    from bannock.mesh.manifests.model import MeshManifest, MeshService
    from bannock.mesh.meshed import Terms
    from bannock.policy.canonical import JsonValue

__all__ = ["read_services", "require_supported"]

_SECRETS_BYTES_MAX: Final = 1 << 20


def require_supported(manifest: MeshManifest) -> None:
    """Refuse what a manifest may say, and this version does not do.

    Raises:
        InputError: it says such a thing.
    """
    found = [name for name in ("repo", "extra_policies") if getattr(manifest, name)]
    for index, service in enumerate(manifest.services):
        found += [f"services[{index}].{key}" for key in ("image_policy", "helm_chart", "env") if getattr(service, key)]
    if found:
        raise InputError(f"this version does not do what {', '.join(found)} asks for", hint="leave it out")


def read_services(
    manifest: MeshManifest, terms: Terms, places: Places, *, directory: Path, target: Path
) -> tuple[MeshedService, ...]:
    """Read the images of all services.

    Args:
        manifest: of the mesh.
        terms: of its policies.
        places: where images are; what the engine of this machine has comes first, for it was made here.
        directory: that the manifest's files are in.
        target: that has what was withheld from images.

    Raises:
        InputError: an image is no service, or a file is not usable.
        IntegrityError: an image is not what it says that it is.
    """
    values = built_in_values(manifest, terms)
    return tuple(
        _meshed(service, {**values, **manifest.values(service.name)}, places.open(service.image), directory, target)
        for service in manifest.services
    )


def _meshed(
    service: MeshService, values: Mapping[str, str], image: Image, directory: Path, target: Path
) -> MeshedService:
    facts = ServiceFacts.from_labels(image.config.labels, image=service.image)
    measured = str(measured_program(facts.program, Tree.of(image), dict(image.config.env)).root)
    if measured != facts.mrenclave:
        raise IntegrityError(
            f"the image {service.image} says that its program is {facts.mrenclave}, and it is {measured}: "
            "the image was changed, or made by another version of the runtime",
            hint="make it again with this version: sconectl apply -f service.yaml",
        )
    return MeshedService(
        name=service.name,
        image=service.image,
        facts=complete(target, facts),
        measurements=(measured,),
        values=values,
        secrets=None if service.image_secrets is None else _secrets(directory / service.image_secrets),
    )


def _secrets(path: Path) -> tuple[Mapping[str, JsonValue], ...]:
    try:
        text = read_bounded(path, _SECRETS_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
    return tuple(entry.entry for entry in parse_secrets(text))
