"""What helm makes of a chart, read: workloads, services, and the objects that they name. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError, NotFoundError
from bannock.kubernetes.local.fields import ObjectFields
from bannock.kubernetes.local.model import ServiceOf
from bannock.kubernetes.local.workloads import KINDS, parse_workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bannock.kubernetes.local.model import Workload

__all__ = ["Hook", "Rendered", "read_rendered"]

_HOOK: Final = "helm.sh/hook"
_WEIGHT: Final = "helm.sh/hook-weight"
_KEEP: Final = "helm.sh/resource-policy"
#: Objects that say what a cluster lets others do; one machine's engine asks nobody.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "PodDisruptionBudget",
        "PriorityClass", "Namespace", "NetworkPolicy", "HorizontalPodAutoscaler", "ResourceQuota", "LimitRange",
    }
)  # fmt: skip
#: Hooks that are part of no installation.
_PASSED_OVER: Final = frozenset({"test", "test-success", "test-failure", "crd-install"})
_OBJECTS: Final = ("ConfigMap", "Secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A workload that runs to its end at certain moments."""

    moments: frozenset[str]
    weight: int
    workload: Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """All objects of a release.

    Attributes:
        workloads: what runs.
        hooks: what runs before and after that.
        services: names for pods.
        data: (kind, name) → key → content of ConfigMaps and Secrets.
        claims: name → whether it stays when the release goes.
        notes: what was found and has no effect.
    """

    workloads: tuple[Workload, ...] = ()
    hooks: tuple[Hook, ...] = ()
    services: tuple[ServiceOf, ...] = ()
    data: Mapping[tuple[str, str], Mapping[str, bytes]] = field(default_factory=dict, repr=False)
    claims: Mapping[str, bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def object(self, kind: str, name: str, *, optional: bool = False) -> Mapping[str, bytes]:
        """Return what is in a ConfigMap or a Secret.

        Raises:
            NotFoundError: there is none, and it is not optional.
        """
        found = self.data.get((kind, name))
        if found is None and not optional:
            raise NotFoundError(
                f"there is no {kind} {name} in the chart", hint="objects that are not the chart's: --with FILE"
            )
        return found or {}

    def at(self, moment: str) -> list[Workload]:
        """Return the hooks of a moment, in their order."""
        return [
            hook.workload
            for hook in sorted(self.hooks, key=lambda each: (each.weight, each.workload.name))
            if moment in hook.moments
        ]


def read_rendered(documents: Iterable[Mapping[str, Any]], namespace: str) -> Rendered:
    """Read the objects of a release.

    Args:
        documents: as helm renders them.
        namespace: of the release.

    Raises:
        InputError: something is not as Kubernetes has it, or needs a cluster.
    """
    workloads, hooks, services, notes = [], [], [], []
    data: dict[tuple[str, str], dict[str, bytes]] = {}
    claims: dict[str, bool] = {}
    for document in documents:
        kind = str(document.get("kind", ""))
        fields = ObjectFields(document, f"{kind or 'an object'} {_name(document)}".strip())
        about = fields.child("metadata")
        name, annotations = about.text("name", None), about.mapping("annotations")
        place = about.text("namespace", namespace) or namespace
        if place != namespace:
            raise InputError(f"{fields.where} is of the namespace {place}, the release is of {namespace}")
        moments = frozenset(each.strip() for each in annotations.get(_HOOK, "").split(",")) - {""}
        if moments & _PASSED_OVER:
            continue
        if kind in KINDS:
            workload = parse_workload(fields, kind, name, namespace, _fingerprint(document))
            if moments:
                hooks.append(Hook(moments=moments, weight=_weight(annotations, fields.where), workload=workload))
            else:
                workloads.append(workload)
        elif kind == "Service":
            services.append(_service(fields, name, namespace))
        elif kind in _OBJECTS:
            data[kind, name] = _data(fields, kind)
        elif kind == "PersistentVolumeClaim":
            claims[name] = annotations.get(_KEEP) == "keep"
        elif kind in _WITHOUT_EFFECT:
            notes.append(f"{kind} {name} has no effect here")
        else:
            raise InputError(
                f"{fields.where}: objects of kind {kind[:80]!r} are not supported on the local engine",
                hint="for this it takes a cluster: helm install",
            )
    return Rendered(
        workloads=tuple(workloads), hooks=tuple(hooks), services=tuple(services), data=data, claims=claims,
        notes=tuple(notes),
    )  # fmt: skip


def _name(document: Mapping[str, Any]) -> str:
    about = document.get("metadata")
    return str(about.get("name", ""))[:200] if isinstance(about, dict) else ""


def _fingerprint(document: Mapping[str, Any]) -> str:
    spec = document.get("spec")
    template = spec.get("template", spec) if isinstance(spec, dict) else spec
    claims = spec.get("volumeClaimTemplates") if isinstance(spec, dict) else None
    text = json.dumps([template, claims], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:10]


def _weight(annotations: Mapping[str, str], where: str) -> int:
    try:
        return int(annotations.get(_WEIGHT, "0"))
    except ValueError:
        raise InputError(f"{where}: {_WEIGHT} is not a number") from None


def _service(fields: ObjectFields, name: str, namespace: str) -> ServiceOf:
    spec = fields.child("spec")
    kind = spec.choice("type", "ClusterIP", "NodePort", "LoadBalancer")
    ports = []
    for each in spec.children("ports"):
        each.pass_over("name", "appProtocol")
        port = each.count("port", 0)
        target = each.raw("targetPort")
        node = each.number("nodePort")
        # Who reaches a cluster from outside takes the port of the node, or that of the load balancer.
        shown = None if kind == "ClusterIP" else port if kind == "LoadBalancer" and not node else node or 0
        ports.append(
            (port, str(port if target is None else target), each.choice("protocol", "TCP", "UDP").lower(), shown)
        )
        each.done()
    return ServiceOf(name=name, namespace=namespace, selector=spec.mapping("selector"), ports=tuple(ports))


def _data(fields: ObjectFields, kind: str) -> dict[str, bytes]:
    if kind == "ConfigMap":
        plain, binary = fields.mapping("data"), fields.mapping("binaryData")
    else:
        plain, binary = {}, fields.mapping("data")
    try:
        found = {key: base64.b64decode(value, validate=False) for key, value in binary.items()}
    except binascii.Error:
        # The value is a secret, so nothing of it is told.
        raise InputError(f"{fields.where}: a value is not base64") from None
    texts = plain | (fields.mapping("stringData") if kind == "Secret" else {})
    return found | {key: value.encode("utf-8") for key, value in texts.items()}
