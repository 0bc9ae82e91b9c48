"""What every cluster needs of Bannock before services run there: the device plugin and a LAS on every node."""

from __future__ import annotations

import json
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.charts.services import service_chart
from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.kubernetes.cluster import Cluster
    from bannock.values import Secret

__all__ = ["DAEMON_SETS", "NAMESPACE", "PullSecret", "initialise", "missing_daemon_sets"]

NAMESPACE: Final = "scone"
#: Release → chart; with the names that the daemon sets get by them, which scripts look for.
_RELEASES: Final = {"sgxplugin-sample": "sgxdevplugin", "las": "las"}
DAEMON_SETS: Final = ("sgxplugin-sample-sgxdevplugin", "las")
_READY_SECONDS: Final = 300
#: Helm's own waiting ends before ours does.
_GRACE_SECONDS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSecret:
    """What nodes pull images with.

    Attributes:
        name: of the secret.
        server: registry.
        user: of it.
        token: of that user.
        email: of that user.
    """

    name: str
    server: str
    user: str
    token: Secret
    email: str

    def to_document(self, namespace: str) -> dict[str, Any]:
        """Give the secret as Kubernetes takes it."""
        token = self.token.reveal().decode("utf-8")
        entry = {
            "username": self.user,
            "password": token,
            "email": self.email,
            "auth": b64encode(f"{self.user}:{token}".encode()).decode("ascii"),
        }
        config = json.dumps({"auths": {self.server: entry}}).encode("utf-8")
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "namespace": namespace},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": b64encode(config).decode("ascii")},
        }


def initialise(
    cluster: Cluster, *, images: str, version: str | None, devices: str, secret: PullSecret | None, wait: bool
) -> None:
    """Install both in the namespace, which is made if it is not there; what is there already is brought up to date.

    Args:
        cluster: the namespace.
        images: what names of images begin with.
        version: of the images.
        devices: word of ``useSGXDevPlugin`` for the LAS.
        secret: that nodes pull images with.
        wait: until all of them run.

    Raises:
        EnvironmentFault: the cluster does not take it, or they do not come up.
    """
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}}
    ]
    if secret is not None:
        documents.append(secret.to_document(cluster.namespace))
    for document in documents:
        cluster.kubectl("apply", "--filename", "-", stdin=json.dumps(document))
    with tempfile.TemporaryDirectory(prefix="bannock-chart-") as directory:
        for release, name in _RELEASES.items():
            chart = service_chart(name).write(Path(directory))
            words = ["--set", f"image={images}-{name}{f':{version}' if version else ''}"]
            if name == "las":
                words += ["--set", f"useSGXDevPlugin={devices}"]
            if secret is not None:
                words += ["--set", f"imagePullSecrets[0].name={secret.name}"]
            if wait:
                words += ["--wait", "--timeout", f"{_READY_SECONDS}s"]
            seconds = _READY_SECONDS + _GRACE_SECONDS
            cluster.helm("upgrade", "--install", release, str(chart), *words, seconds=seconds)


def missing_daemon_sets(cluster: Cluster) -> Iterator[str]:
    """Yield what is wrong with either, in words.

    Raises:
        EnvironmentFault: the cluster is not to be reached.
    """
    for name in DAEMON_SETS:
        told = cluster.kubectl("get", "daemonset", name, "--ignore-not-found", "--output=json")
        if not told.strip():
            yield f"there is no daemon set {name} in the namespace {cluster.namespace}"
            continue
        try:
            status = json.loads(told)["status"]
            wanted, ready = int(status["desiredNumberScheduled"]), int(status["numberReady"])
        except (ValueError, KeyError, TypeError):
            raise EnvironmentFault(f"kubectl does not tell the status of the daemon set {name}") from None
        if not wanted:
            yield f"the daemon set {name} is for no node"
        elif ready < wanted:
            yield f"the daemon set {name} is ready on {ready} of {wanted} nodes"
