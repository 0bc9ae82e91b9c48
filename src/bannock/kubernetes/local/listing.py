"""Pods as ``kubectl get pods`` tells them, and as Kubernetes' own objects."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bannock.kubernetes.local.probing import is_ready

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bannock.kubernetes.local.engine_pods import PodContainer
    from bannock.kubernetes.local.here import LocalCluster

__all__ = ["PodStatus", "pods_of"]

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStatus:
    """A pod, and how it is."""

    name: str
    namespace: str
    release: str
    workload: str
    labels: Mapping[str, str]
    phase: str
    status: str
    ready: bool
    containers: Sequence[PodContainer]
    created: str

    @property
    def counted(self) -> str:
        """How many of its containers are ready."""
        return f"{sum(each.runs for each in self.containers) if self.ready else 0}/{len(self.containers)}"

    @property
    def restarts(self) -> int:
        """How often its containers were started anew."""
        return sum(each.restarts for each in self.containers)

    def age(self, now: dt.datetime) -> str:
        """How old it is, as people read it."""
        try:
            made = dt.datetime.fromisoformat(self.created.partition(".")[0].rstrip("Z")).replace(tzinfo=dt.UTC)
        except ValueError:
            return "?"
        seconds = max(0, int((now - made).total_seconds()))
        for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
            if seconds >= 2 * size:
                return f"{seconds // size}{unit}"
        return f"{seconds}s"

    def document(self) -> dict[str, Any]:
        """Return it as an object of Kubernetes."""
        statuses = [
            {
                "name": each.name,
                "image": each.image,
                "imageID": each.image_identity,
                "containerID": f"docker://{each.identity}",
                "ready": self.ready and each.runs,
                "started": each.runs,
                "restartCount": each.restarts,
                "state": _state(each),
            }
            for each in self.containers
        ]
        address = next((each.address for each in self.containers if each.address), "")
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": dict(self.labels),
                "creationTimestamp": f"{self.created.partition('.')[0].rstrip('Z')}Z",
            },
            "spec": {"containers": [{"name": each.name, "image": each.image} for each in self.containers]},
            "status": {
                "phase": self.phase,
                "podIP": address,
                "conditions": [{"type": "Ready", "status": "True" if self.ready else "False"}],
                "containerStatuses": statuses,
            },
        }


def pods_of(cluster: LocalCluster, *labels: str) -> Iterator[PodStatus]:
    """Return the pods whose containers have some labels, by namespace and name."""
    found: dict[tuple[str, str], list[PodContainer]] = {}
    for each in cluster.pods.containers(*labels):
        found.setdefault((each.namespace, each.pod), []).append(each)
    for (namespace, name), containers in found.items():
        shown = [each for each in containers if not each.first]
        sample = containers[0]
        ready = is_ready(containers, cluster.workload_of(sample), cluster.pods)
        phase, status = _phase(containers, shown)
        yield PodStatus(
            name=name, namespace=namespace, release=sample.release, workload=sample.workload, labels=sample.labels,
            phase=phase, status=status, ready=ready, containers=shown, created=sample.created,
        )  # fmt: skip


def _phase(containers: Sequence[PodContainer], shown: Sequence[PodContainer]) -> tuple[str, str]:
    """Return the phase of a pod, and what is told of it."""
    if not shown:
        failed = [each for each in containers if each.ended and each.exit_code]
        return ("Pending", "Init:Error") if failed else ("Pending", "Init")
    if any(each.status == "restarting" for each in shown):
        return "Running", "CrashLoopBackOff"
    if all(each.ended for each in shown):
        bad = [each for each in shown if each.exit_code]
        if not bad:
            return "Succeeded", "Completed"
        return "Failed", "OOMKilled" if any(each.out_of_memory for each in bad) else "Error"
    if all(each.runs for each in shown):
        return "Running", "Running"
    return "Pending", "ContainerCreating"


def _state(container: PodContainer) -> dict[str, Any]:
    if container.runs:
        return {"running": {"startedAt": container.started}}
    if container.ended:
        return {
            "terminated": {"exitCode": container.exit_code, "reason": "Error" if container.exit_code else "Completed"}
        }
    return {"waiting": {"reason": "CrashLoopBackOff" if container.restarts else "ContainerCreating"}}
