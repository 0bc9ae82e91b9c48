"""Services of a mesh, as their images are: read, completed by what is kept here and what the mesh gives, and measured.

What an image says of its measurement is not believed: it is compared with what it is. Nothing of an image is run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError, IntegrityError
from bannock.files import read_bounded
from bannock.images.originals import measured_program
from bannock.images.tree import Tree
from bannock.mesh.facts import ServiceFacts
from bannock.mesh.manifests.parse import parse_environment, parse_part, parse_secrets
from bannock.mesh.manifests.placeholders import fill_all
from bannock.mesh.meshed import MeshedService, built_in_values
from bannock.mesh.publishing import destination_of, publish
from bannock.mesh.withheld import complete

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bannock.images.model import Image
    from bannock.images.places import Places
    from bannock.mesh.manifests.model import MeshManifest, MeshService
    from bannock.mesh.meshed import Terms
    from bannock.policy.canonical import JsonValue

__all__ = ["Wanted", "read_extra", "read_services"]

_BYTES_MAX: Final = 1 << 20
_SHARED: Final = "global"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How images of services are read.

    Attributes:
        directory: that the manifest's files are in.
        target: that has what was withheld from images.
        push: whether images are pushed where the mesh wants them.
        digests: whether charts name images by their digests.
    """

    directory: Path
    target: Path
    push: bool = False
    digests: bool = False


def read_services(manifest: MeshManifest, terms: Terms, places: Places, wanted: Wanted) -> tuple[MeshedService, ...]:
    """Read the images of all services.

    Args:
        manifest: of the mesh.
        terms: of its policies.
        places: where images are; what the engine of this machine has comes first, for it was made here.
        wanted: how they are read.

    Raises:
        InputError: an image is no service, or a file is not usable.
        IntegrityError: an image is not what it says that it is.
    """
    values = built_in_values(manifest, terms)
    if manifest.repo is not None:
        # What cannot be is told before images are fetched.
        for service in manifest.services:
            destination_of(manifest.repo, service.image)
    return tuple(
        _read(manifest, service, {**values, **manifest.values(service.name)}, places, wanted)
        for service in manifest.services
    )


def read_extra(manifest: MeshManifest, terms: Terms, *, directory: Path, mode: str) -> tuple[Mapping[str, Any], ...]:
    """Read the further policies of a mesh, with its values put in.

    Args:
        manifest: of the mesh.
        terms: of its policies.
        directory: that its files are in.
        mode: that the mesh is made for; those of another one are left out.

    Raises:
        InputError: a file is not usable, or asks for a value that the mesh does not have.
    """
    values = {**built_in_values(manifest, terms), **manifest.values(_SHARED)}
    return tuple(
        fill_all(parse_part(_text(directory / each.name)), values, where=each.name)
        for each in manifest.extra_policies
        if each.mode in {None, mode}
    )


def _read(
    manifest: MeshManifest, service: MeshService, values: Mapping[str, str], places: Places, wanted: Wanted
) -> MeshedService:
    # By its digest, an image is one of a registry: that one is measured, whatever the engine has.
    copied = manifest.repo is not None
    image = places.open(f"docker://{service.image}" if wanted.digests and not copied else service.image)
    meshed = _meshed(service, values, image, wanted)
    digest = image.original.digest if image.original is not None and not copied else ""
    if manifest.repo is not None:
        name = destination_of(manifest.repo, service.image)
        if wanted.push and manifest.repo.push:
            digest = publish(image, name, places, squash=manifest.repo.squash)
        elif wanted.digests:
            raise InputError(
                f"the image {name} is not pushed here, so its digest is not known",
                hint="leave --digests out, or push it: repo.push, without --dry-run",
            )
        meshed = replace(meshed, image=name)
    return replace(meshed, digest=digest if wanted.digests else "")


def _meshed(service: MeshService, values: Mapping[str, str], image: Image, wanted: Wanted) -> MeshedService:
    facts = ServiceFacts.from_labels(image.config.labels, image=service.image)
    measured = str(measured_program(facts.program, Tree.of(image), dict(image.config.env)).root)
    if measured != facts.mrenclave:
        raise IntegrityError(
            f"the image {service.image} says that its program is {facts.mrenclave}, and it is {measured}: "
            "the image was changed, or made by another version of the runtime",
            hint="make it again with this version: sconectl apply -f service.yaml",
        )
    facts = complete(wanted.target, facts)
    if service.env is not None:
        given = parse_environment(_text(wanted.directory / service.env))
        facts = replace(
            facts,
            local={each.name: each.value for each in given.local},
            global_={each.name: each.value for each in given.global_},
        )
    policy, chart = service.image_policy, service.helm_chart
    return MeshedService(
        name=service.name,
        image=service.image,
        facts=facts,
        measurements=(measured,),
        values=values,
        secrets=None if service.image_secrets is None else _secrets(wanted.directory / service.image_secrets),
        policy=None if policy is None else parse_part(_text(wanted.directory / policy)),
        chart=None if chart is None else wanted.directory / chart,
    )


def _secrets(path: Path) -> tuple[Mapping[str, JsonValue], ...]:
    return tuple(entry.entry for entry in parse_secrets(_text(path)))


def _text(path: Path) -> str:
    try:
        return read_bounded(path, _BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
