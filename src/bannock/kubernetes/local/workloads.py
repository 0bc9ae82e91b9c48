"""Reading what makes pods: deployments, stateful and daemon sets, jobs, and pods that stand alone. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.kubernetes.local.model import Workload
from bannock.kubernetes.local.pod_templates import parse_template

if TYPE_CHECKING:
    from bannock.kubernetes.local.fields import ObjectFields

__all__ = ["KINDS", "parse_workload"]

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "Job", "Pod")
_ALWAYS: Final = ("Always",)
_JOBS: Final = ("Never", "OnFailure")
_ANY: Final = ("Always", "OnFailure", "Never")
_RETRIES: Final = 6
#: How controllers tell that what they made is there, and for how long they remember.
_OF_CONTROLLERS: Final = ("selector", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds", "paused")


def parse_workload(fields: ObjectFields, kind: str, name: str, namespace: str, fingerprint: str) -> Workload:
    """Read an object that makes pods.

    Args:
        fields: of the object.
        kind: of it, one of :data:`KINDS`.
        name: of it.
        namespace: that it is in.
        fingerprint: of the template of its pods.

    Raises:
        InputError: it is none, or has something that one machine does not do.
    """
    if kind == "Pod":
        template = parse_template(fields, restart=_ANY)
        return Workload(kind=kind, name=name, namespace=namespace, template=template, fingerprint=fingerprint)
    spec = fields.child("spec")
    spec.pass_over(*_OF_CONTROLLERS)
    if kind == "Job":
        return _job(spec, name, namespace, fingerprint)
    template = parse_template(spec.child("template"), restart=_ALWAYS)
    replicas, recreate, together, domain, claims = 1, False, True, "", list[str]()
    if kind == "Deployment":
        strategy = spec.child("strategy")
        recreate = strategy.choice("type", "RollingUpdate", "Recreate") == "Recreate"
    if kind == "DaemonSet":
        spec.pass_over("updateStrategy")
        recreate = True
    else:
        replicas = spec.count("replicas", 1)
    if kind == "StatefulSet":
        spec.pass_over("updateStrategy", "persistentVolumeClaimRetentionPolicy")
        recreate = True
        domain = spec.text("serviceName")
        together = spec.choice("podManagementPolicy", "OrderedReady", "Parallel") == "Parallel"
        claims = [each.child("metadata").text("name", None) for each in spec.children("volumeClaimTemplates")]
    spec.done()
    return Workload(
        kind=kind, name=name, namespace=namespace, template=template, fingerprint=fingerprint, replicas=replicas,
        recreate=recreate, together=together, domain=domain, claims=tuple(claims),
    )  # fmt: skip


def _job(spec: ObjectFields, name: str, namespace: str, fingerprint: str) -> Workload:
    spec.pass_over("ttlSecondsAfterFinished", "manualSelector", "podReplacementPolicy")
    for field in ("parallelism", "completions"):
        if spec.count(field, 1) != 1:
            raise InputError(f"{spec.where}: {field} other than 1 is not supported on the local engine")
    spec.choice("completionMode", "NonIndexed")
    job = Workload(
        kind="Job",
        name=name,
        namespace=namespace,
        template=parse_template(spec.child("template"), restart=_JOBS),
        fingerprint=fingerprint,
        retries=spec.count("backoffLimit", _RETRIES),
        seconds=spec.count("activeDeadlineSeconds", 0),
    )
    spec.done()
    return job
