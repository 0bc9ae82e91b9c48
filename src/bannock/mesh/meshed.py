"""A mesh whose images were read: what its policies and its chart are made of. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError
from bannock.mesh.manifests.placeholders import fill
from bannock.mesh.parts import parts_of
from bannock.policy.session import Toleration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bannock.mesh.facts import ServiceFacts
    from bannock.mesh.manifests.model import MeshManifest
    from bannock.mesh.parts import PolicyPart
    from bannock.policy.canonical import JsonValue

__all__ = ["MeshedService", "Terms", "built_in_values", "secrets_in_force", "terms_of", "variables_of"]

#: What services of sessions cannot be called by.
_OTHER: Final = re.compile(r"[^A-Za-z0-9\-_.~]")
_ANY_ADVISORY: Final = "*"
#: Attributes of a CAS that manifests may ask for, as ``{{cas_NAME_cas_url}}``.
_CAS_VALUES: Final = ("cas_url", "cas_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What all policies of a mesh have in common.

    Attributes:
        namespace: that they are in.
        release: of the chart; also the session of the secrets that services share.
        tolerate: weaknesses of machines that are accepted.
        advisories: that are accepted; ``*`` alone for all.
        maa: Microsoft's attestation service that appraises machines; None for none.
        parts: of policies that sessions of others have.
    """

    namespace: str
    release: str
    tolerate: tuple[str, ...] = ()
    advisories: tuple[str, ...] = ()
    maa: str | None = None
    parts: tuple[PolicyPart, ...] = ()

    @property
    def shared(self) -> str:
        """The session of the secrets that services share."""
        return f"{self.namespace}/{self.release}"

    def session(self, service: str) -> str:
        """Return the session of a service."""
        return f"{self.shared}/{service}"

    @property
    def all_advisories(self) -> bool:
        """Whether every advisory is accepted."""
        return _ANY_ADVISORY in self.advisories


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshedService:
    """A service of a mesh.

    Attributes:
        name: of it in the mesh.
        image: its image, as the mesh names it.
        facts: what its image says, with what was withheld from that put back.
        measurements: of the program: that of the image, then those of versions that may go on running.
        values: of the mesh, for this service.
        secrets: that the mesh gives in place of those of the image; None for none.
        policy: what the mesh gives in place of parts of its policy; None for nothing.
        digest: of the image, where the chart is to have it; empty for its tag alone.
        chart: directory of the chart that the mesh gives for it; None for the one that is made.
    """

    name: str
    image: str
    facts: ServiceFacts
    measurements: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Mapping[str, JsonValue], ...] | None = field(default=None, repr=False)
    policy: Mapping[str, Any] | None = field(default=None, repr=False)
    digest: str = ""
    chart: Path | None = None

    @property
    def program(self) -> str:
        """What the service of its session is called: its program, without directory."""
        return _OTHER.sub("-", posixpath.basename(self.facts.program)) or "program"


def terms_of(
    manifest: MeshManifest, *, release: str | None, namespace: str | None, maa: str | None, debug: bool
) -> Terms:
    """Put together what a manifest and a command line say of all policies.

    Args:
        manifest: of the mesh.
        release: of the chart; None for what the mesh says, or else the last name of the namespace.
        namespace: in place of the manifest's.
        maa: likewise.
        debug: whether the mesh is for trying out: debuggers and simulation are accepted.

    Raises:
        InputError: the manifest asks for what is not there.
    """
    policy = manifest.policy
    parts = parts_of(manifest)
    tolerated = [each.value for each in policy.tolerate]
    if debug:
        tolerated += [Toleration.DEBUG_MODE.value, Toleration.SIMULATION.value]
    if (service := maa or policy.maa) is not None:
        # It tells nothing of the machine's state, so a session has to leave that to it.
        tolerated.append(Toleration.MAA_MANAGED_TCB.value)
    within = namespace or policy.namespace
    return Terms(
        namespace=within,
        release=release or manifest.values("").get("RELEASE") or within.rpartition("/")[2],
        tolerate=tuple(dict.fromkeys(tolerated)),
        advisories=policy.ignore_advisories,
        maa=service,
        parts=parts,
    )


def built_in_values(manifest: MeshManifest, terms: Terms) -> dict[str, str]:
    """Return the values that every mesh has: ``namespace``, ``release``, and what it says of each CAS."""
    values = {"namespace": terms.namespace, "release": terms.release}
    for cas in manifest.cas:
        for role in (cas.name, *cas.alias):
            for name in _CAS_VALUES:
                values[f"cas_{role}_{name}"] = getattr(cas, name) or ""
    return values


def variables_of(service: MeshedService) -> dict[str, str]:
    """Return the variables that a service is started with.

    Raises:
        InputError: the mesh has to set one, and does not; the message names all of them.
    """
    facts = service.facts
    found = dict(facts.environment)
    missing = []
    for name, value in facts.local.items():
        if value is not None:
            found[name] = fill(value, service.values, where=f"the variable {name} of service {service.name}")
        elif name in service.values:
            found[name] = service.values[name]
        else:
            missing.append(name)
    for name, default in facts.global_.items():
        given = service.values.get(name, default)
        if given is None:
            missing.append(name)
        else:
            found[name] = fill(given, service.values, where=f"the variable {name} of service {service.name}")
    if missing:
        raise InputError(
            f"service {service.name} needs values of {', '.join(sorted(missing))}, and the mesh has none",
            hint="set them in section env of the mesh; sconectl apply -p prints what a mesh has to set",
        )
    return found


def secrets_in_force(service: MeshedService) -> tuple[Mapping[str, JsonValue], ...]:
    """Return the secrets that a service defines: those that the mesh gives, or else those of its image.

    Raises:
        InputError: the image withholds a value, and nobody gives it.
    """
    if service.secrets is not None:
        return service.secrets
    if service.facts.withheld:
        names = ", ".join(sorted(service.facts.withheld))
        raise InputError(
            f"service {service.name}: values of the secrets {names} are not in the image, which others may read, nor "
            "known here",
            hint="name a file that has them: image_secrets in the mesh; or call this where the image was made",
        )
    return service.facts.secrets
