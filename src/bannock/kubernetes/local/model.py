"""Pods, and what they need, as far as one machine can give it. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Claim",
    "ContainerTemplate",
    "EmptyDirectory",
    "EnvironmentOf",
    "FieldOf",
    "HostPath",
    "KeyOf",
    "Mount",
    "ObjectFiles",
    "PodTemplate",
    "PortOf",
    "Probe",
    "Security",
    "ServiceOf",
    "Variable",
    "Volume",
    "Workload",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOf:
    """A key of a Secret or a ConfigMap."""

    kind: str
    name: str
    key: str
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOf:
    """A field of the pod itself."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of a container's environment: a value, or where it comes from."""

    name: str
    value: str = field(default="", repr=False)
    source: KeyOf | FieldOf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOf:
    """All keys of a Secret or a ConfigMap as variables."""

    kind: str
    name: str
    prefix: str
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PortOf:
    """A port of a container; host 0: the machine does not show it."""

    name: str
    number: int
    protocol: str
    host: int = 0
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Where a volume is in a container."""

    volume: str
    path: str
    read_only: bool
    propagation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How one finds out whether a container is ready: ``http``, ``https``, ``tcp`` or ``exec``."""

    kind: str
    port: str = ""
    path: str = ""
    command: tuple[str, ...] = ()
    seconds: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What a container may do; None: what its image or the engine says."""

    user: int | None = None
    group: int | None = None
    not_root: bool = False
    groups: tuple[int, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    read_only: bool = False
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    seccomp: str = ""
    app_armor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerTemplate:
    """A container of a pod."""

    name: str
    image: str
    pull: str
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    directory: str
    variables: tuple[Variable | EnvironmentOf, ...]
    ports: tuple[PortOf, ...]
    mounts: tuple[Mount, ...]
    limits: Mapping[str, str]
    security: Security
    probes: tuple[Probe, ...]
    terminal: bool
    stdin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyDirectory:
    """A directory that comes and goes with its pod."""

    in_memory: bool
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPath:
    """A path of this machine."""

    path: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFiles:
    """Files with what is in a Secret or a ConfigMap; items: key → path and mode, None for all keys."""

    kind: str
    name: str
    items: Mapping[str, tuple[str, int]] | None
    mode: int
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Storage that outlives pods."""

    name: str
    read_only: bool = False


Volume: TypeAlias = EmptyDirectory | HostPath | ObjectFiles | Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTemplate:
    """What pods of one kind are."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    first: tuple[ContainerTemplate, ...]
    containers: tuple[ContainerTemplate, ...]
    volumes: Mapping[str, Volume]
    restart: str
    account: str
    hostname: str
    host_network: bool
    host_processes: bool
    host_ipc: bool
    grace: int
    file_group: int | None
    aliases: Mapping[str, str]
    sysctls: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What makes pods of a template.

    Attributes:
        kind, name: of the object.
        namespace: that it is in.
        template: of its pods.
        fingerprint: of the template as it was written: another one, other pods.
        replicas: how many pods there are.
        recreate: whether pods of a former template go before new ones come.
        together: whether pods are started without waiting for those before them.
        domain: of a stateful set's pods.
        claims: of each pod of a stateful set.
        retries: how often a job's pod is started again.
        seconds: a job may take; 0: as long as it likes.
    """

    kind: str
    name: str
    namespace: str
    template: PodTemplate
    fingerprint: str
    replicas: int = 1
    recreate: bool = False
    together: bool = True
    domain: str = ""
    claims: tuple[str, ...] = ()
    retries: int = 0
    seconds: int = 0

    @property
    def reference(self) -> str:
        """How messages and labels call it."""
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOf:
    """A name for pods.

    Attributes:
        name, namespace: of it.
        selector: labels that its pods have.
        ports: port of the service → port of the pods (a number or a name), protocol and port of this machine or None;
            0 for any.
    """

    name: str
    namespace: str
    selector: Mapping[str, str]
    ports: tuple[tuple[int, str, str, int | None], ...]

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod of these labels is one of its pods."""
        return bool(self.selector) and all(labels.get(name) == value for name, value in self.selector.items())
