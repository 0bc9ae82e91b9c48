"""Objects of Kubernetes, as far as there are such things on one machine, for those who ask as one asks a cluster."""

from __future__ import annotations

import datetime as dt
import platform
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError, NotFoundError
from bannock.kubernetes.device_plugin.resources import platforms
from bannock.kubernetes.local.listing import pods_of
from bannock.kubernetes.local.place import LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bannock.kubernetes.local.here import LocalCluster

__all__ = ["Resources", "kind_named"]

#: Kind → the other words for it, and what kubectl calls it in front of a name.
_KINDS: Final = {
    "Pod": ("pod", "pods", "po"),
    "Deployment": ("deployment.apps", "deployment", "deployments", "deploy"),
    "StatefulSet": ("statefulset.apps", "statefulset", "statefulsets", "sts"),
    "DaemonSet": ("daemonset.apps", "daemonset", "daemonsets", "ds"),
    "Job": ("job.batch", "job", "jobs"),
    "Service": ("service", "services", "svc"),
    "ConfigMap": ("configmap", "configmaps", "cm"),
    "Secret": ("secret", "secrets"),
    "PersistentVolumeClaim": ("persistentvolumeclaim", "persistentvolumeclaims", "pvc"),
    "Node": ("node", "nodes", "no"),
    "Namespace": ("namespace", "namespaces", "ns"),
    "LAS": ("las.services.scone.cloud", "las"),
    "SGXPlugin": ("sgxplugin.base.scone.cloud", "sgxplugin", "sgxplugins"),
    "CAS": ("cas.services.scone.cloud", "cas"),
}
#: Where the names of devices start.
_ROOT: Final = Path("/")
_LAS_PORT: Final = 18766
_CAS_PORT: Final = 8081
_HEALTHY: Final = "HEALTHY"
_SECONDS: Final = 1.0


def kind_named(word: str) -> str:
    """Return a kind by any word for it.

    Raises:
        InputError: there is none here.
    """
    for kind, words in _KINDS.items():
        if word.lower() in (kind.lower(), *words):
            return kind
    raise InputError(
        f"there are no {word[:80]!r} on the local engine",
        hint=f"there are: {', '.join(words[-1] if len(words) == 1 else words[1] for words in _KINDS.values())}",
    )


class Resources:
    """All objects of one machine.

    Args:
        cluster: what stands for a cluster.
        aliases: names of others → addresses.
    """

    def __init__(self, cluster: LocalCluster, aliases: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._aliases = aliases

    def find(
        self, kind: str, namespace: str | None, name: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return the objects of a kind.

        Args:
            kind: of them.
            namespace: that they are in; None: any.
            name: of the only one that is wanted.
            labels: that they have.

        Raises:
            NotFoundError: there is none of that name.
        """
        special: dict[str, Callable[[str | None, str | None], Iterator[dict[str, Any]]]] = {
            "Pod": self._pods, "Node": self._nodes, "Namespace": self._namespaces,
            "LAS": self._las, "SGXPlugin": self._plugins, "CAS": self._cas,
        }  # fmt: skip
        made = special[kind](namespace, name) if kind in special else self._of_charts(kind, namespace)
        found = []
        for document in made:
            about = document["metadata"]
            has = about.get("labels") or {}
            if name in (None, about["name"]) and all(has.get(key) == value for key, value in (labels or {}).items()):
                found.append(document)
        if name is not None and not found:
            raise NotFoundError(f"{_KINDS[kind][0]} {name[:200]!r} not found", hint="kubectl get lists what there is")
        return found

    def reference(self, document: Mapping[str, Any]) -> str:
        """Return an object's name with what kubectl writes in front of it."""
        return f"{_KINDS[document['kind']][0]}/{document['metadata']['name']}"

    def _pods(self, namespace: str | None, name: str | None) -> Iterator[dict[str, Any]]:
        labels = [] if namespace is None else [f"{LABEL}.namespace={namespace}"]
        if name is not None:
            labels.append(f"{LABEL}.pod={name}")
        for pod in pods_of(self._cluster, *labels):
            age = pod.age(dt.datetime.now(dt.UTC))
            yield pod.document() | {"row": [pod.name, pod.counted, pod.status, str(pod.restarts), age]}

    def _of_charts(self, kind: str, namespace: str | None) -> Iterator[dict[str, Any]]:
        for release in self._cluster.book.all(namespace):
            for document in release.documents:
                if document.get("kind") != kind:
                    continue
                about = {**document["metadata"], "namespace": release.namespace}
                row = [str(about["name"])]
                status: dict[str, Any] = {}
                if kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
                    status = self._counted(f"{kind.lower()}/{about['name']}", release.namespace)
                    wanted = document.get("spec", {}).get("replicas", 1)
                    row.append(f"{status['readyReplicas']}/{wanted}")
                elif kind == "Service":
                    ports = document.get("spec", {}).get("ports", [])
                    row.append(",".join(str(each.get("port")) for each in ports))
                yield {**document, "metadata": about, "status": status, "row": row}

    def _counted(self, workload: str, namespace: str) -> dict[str, Any]:
        pods = list(pods_of(self._cluster, f"{LABEL}.namespace={namespace}", f"{LABEL}.workload={workload}"))
        ready = sum(pod.ready for pod in pods)
        return {
            "replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready, "numberReady": ready,
            "succeeded": sum(pod.phase == "Succeeded" for pod in pods),
        }  # fmt: skip

    def _nodes(self, _namespace: str | None, _name: str | None) -> Iterator[dict[str, Any]]:
        name = platform.node()
        here = platforms(_ROOT)
        yield {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {f"bannock.dev/{each}": "true" for each in here}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            "row": [name, "Ready", "this machine, by bannock k8s"],
        }

    def _namespaces(self, _namespace: str | None, name: str | None) -> Iterator[dict[str, Any]]:
        # They need not be made: who names one has it.
        for each in sorted(
            {"default", *(release.namespace for release in self._cluster.book.all()), name or "default"}
        ):
            yield {
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each}, "status": {"phase": "Active"},
                "row": [each, "Active"],
            }  # fmt: skip

    def _plugins(self, _namespace: str | None, _name: str | None) -> Iterator[dict[str, Any]]:
        devices = ", ".join(sorted(platforms(_ROOT))) or "no devices"
        yield _service("SGXPlugin", "local", "", _HEALTHY, f"bannock k8s gives pods what this machine has: {devices}")

    def _las(self, _namespace: str | None, _name: str | None) -> Iterator[dict[str, Any]]:
        if _answers("127.0.0.1", _LAS_PORT):
            yield _service("LAS", "las", "", _HEALTHY, f"port {_LAS_PORT} of this machine")

    def _cas(self, namespace: str | None, _name: str | None) -> Iterator[dict[str, Any]]:
        for release in self._cluster.book.all(namespace):
            for document in release.documents:
                if document.get("kind") == "StatefulSet" and _is_cas(document):
                    name = str(document["metadata"]["name"])
                    labels = (f"{LABEL}.namespace={release.namespace}", f"{LABEL}.workload=statefulset/{name}")
                    pods = list(pods_of(self._cluster, *labels))
                    running = pods and all(pod.phase == "Running" for pod in pods)
                    yield _service("CAS", name, release.namespace, _HEALTHY if running else "UNHEALTHY", "pods")
        for alias, address in self._aliases.items():
            name, _, place = alias.partition(".")
            if place and namespace in (None, place):
                host = "127.0.0.1" if address == "host" else address
                state = _HEALTHY if _answers(host, _CAS_PORT) else "UNHEALTHY"
                yield _service("CAS", name, place, state, f"alias of {address}")


def _service(kind: str, name: str, namespace: str, state: str, what: str) -> dict[str, Any]:
    return {
        "apiVersion": "services.scone.cloud/v1beta1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "status": {"state": state},
        "row": [name, state, what],
    }


def _is_cas(document: Mapping[str, Any]) -> bool:
    labels = document.get("metadata", {}).get("labels") or {}
    return str(labels.get("app.kubernetes.io/name", "")) == "cas" or str(labels.get("helm.sh/chart", "")).startswith(
        "cas-"
    )


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError:
        return False
    return True
