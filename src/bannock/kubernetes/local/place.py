"""What stands for a cluster on this machine: a network and names of containers and volumes on the engine.

Whatever is made carries labels of one place, so that the pods of two users, or of two tests, do not meet.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.kubernetes.local.model import Workload

__all__ = ["LABEL", "Place", "require_name"]

#: Of all that is made here; its value is the name of the place.
LABEL: Final = "dev.bannock.k8s"
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,51}[a-z0-9])?")


def require_name(name: str, what: str) -> str:
    """Return a name of a release or a namespace.

    Raises:
        InputError: Kubernetes has no such names.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{what} is lower-case letters, digits and - in between, at most 53, found {name[:80]!r}")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place.

    Attributes:
        name: of it.
    """

    name: str

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Return the place of who keeps state in a directory."""
        return cls(name=hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:8])

    @property
    def network(self) -> str:
        """The network of its pods."""
        return f"bannock-k8s-{self.name}"

    @property
    def label(self) -> str:
        """What all that is its own is found by."""
        return f"{LABEL}={self.name}"

    def container(self, namespace: str, pod: str, container: str) -> str:
        """Return the name of a container."""
        return f"{self.network}.{namespace}.{pod}.{container}"

    def volume(self, namespace: str, pod: str, volume: str) -> str:
        """Return the name of a volume that goes with its pod."""
        return f"{self.network}.{namespace}.{pod}.{volume}"

    def claim(self, namespace: str, claim: str) -> str:
        """Return the name of a volume that outlives pods."""
        return f"{self.network}.{namespace}.claim.{claim}"

    def labels(self, namespace: str, release: str) -> dict[str, str]:
        """Return the labels of what belongs to a release."""
        return {LABEL: self.name, f"{LABEL}.namespace": namespace, f"{LABEL}.release": release}

    def of_release(self, namespace: str, release: str) -> list[str]:
        """Return what all that belongs to a release is found by."""
        return [f"{name}={value}" for name, value in self.labels(namespace, release).items()]

    def domains(self, workload: Workload, pod: str) -> list[str]:
        """Return names of a pod of a stateful set in the network."""
        return _names(f"{pod}.{workload.domain}", workload.namespace) if workload.domain else []

    def names(self, service: str, namespace: str) -> list[str]:
        """Return names of a service in the network."""
        return _names(service, namespace)


def _names(name: str, namespace: str) -> list[str]:
    return [f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local"]
