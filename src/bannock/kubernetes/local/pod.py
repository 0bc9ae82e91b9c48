"""One pod: a name, the template that it is made by, and all around it that its containers depend on. Pure."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.kubernetes.local.place import LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.kubernetes.local.model import ContainerTemplate, Workload
    from bannock.kubernetes.local.place import Place
    from bannock.kubernetes.local.rendered import Rendered

__all__ = ["Pod", "Surroundings"]

_SPACE: Final = uuid.UUID("0b9cf0f4-3cf3-4a3c-8f0d-5a2a1d0f6c11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the pods of a release have in common.

    Attributes:
        place: whose they are.
        release, namespace: of them.
        rendered: the objects that they name.
        node: name of this machine.
        host: address of this machine in their network.
        aliases: names of others → addresses.
    """

    place: Place
    release: str
    namespace: str
    rendered: Rendered
    node: str
    host: str
    aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod that is to be.

    Attributes:
        name: of it.
        workload: that it is of.
        number: of it among the pods of its workload.
        surroundings: of it.
    """

    name: str
    workload: Workload
    number: int
    surroundings: Surroundings

    @property
    def uid(self) -> str:
        """A name that no other pod has."""
        return str(uuid.uuid5(_SPACE, f"{self.surroundings.place.name}/{self.surroundings.namespace}/{self.name}"))

    @property
    def labels(self) -> dict[str, str]:
        """The labels that it has in Kubernetes."""
        made = dict(self.workload.template.labels)
        if self.workload.kind == "Deployment":
            made["pod-template-hash"] = self.workload.fingerprint
        elif self.workload.kind == "StatefulSet":
            made["statefulset.kubernetes.io/pod-name"] = self.name
        elif self.workload.kind == "Job":
            made |= {"job-name": self.workload.name, "batch.kubernetes.io/job-name": self.workload.name}
        return made

    def container_name(self, container: ContainerTemplate) -> str:
        """Return the name of a container on the engine."""
        return self.surroundings.place.container(self.surroundings.namespace, self.name, container.name)

    def container_labels(self, container: ContainerTemplate, *, first: bool) -> dict[str, str]:
        """Return the labels of a container on the engine."""
        here = self.surroundings
        return here.place.labels(here.namespace, here.release) | {
            f"{LABEL}.pod": self.name,
            f"{LABEL}.container": container.name,
            f"{LABEL}.workload": self.workload.reference,
            f"{LABEL}.template": self.workload.fingerprint,
            f"{LABEL}.names": " ".join(self.names()),
            f"{LABEL}.first": "true" if first else "false",
            f"{LABEL}.labels": json.dumps(self.labels, sort_keys=True),
        }

    def names(self) -> list[str]:
        """Return all names that it has in the network."""
        here = self.surroundings
        found = here.place.domains(self.workload, self.name)
        for service in here.rendered.services:
            if service.selects(self.labels):
                found += here.place.names(service.name, here.namespace)
        return found
