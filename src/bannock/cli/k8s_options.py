"""Options that the verbs of ``bannock k8s`` share, and what they work on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import conf_directory, pairs
from bannock.errors import InputError, NotFoundError
from bannock.images.engine_socket import EngineSocket
from bannock.kubernetes.local.here import LocalCluster
from bannock.kubernetes.local.place import LABEL, require_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from bannock.kubernetes.local.engine_pods import PodContainer

__all__ = [
    "ALIASES",
    "NAMESPACE",
    "add_namespace",
    "add_place",
    "aliases_of",
    "containers_of",
    "local_cluster",
    "one_container",
    "tell",
]

NAMESPACE: Final = "default"
#: Aliases for commands that cannot be given any, as ``helm`` cannot.
ALIASES: Final = "BANNOCK_K8S_ALIASES"


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add ``--conf``."""
    parser.add_argument(
        "--conf", type=Path, metavar="DIR", help="where releases are kept ($BANNOCK_HOME or ~/.config/bannock)"
    )


def add_namespace(parser: argparse.ArgumentParser, *, every: bool = False) -> None:
    """Add ``--namespace``, and ``--all-namespaces`` where it makes sense."""
    parser.add_argument("-n", "--namespace", default=NAMESPACE, metavar="NS", help=f"namespace ({NAMESPACE})")
    if every:
        parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")


def local_cluster(conf: Path | None, observer: Callable[[str], None] | None = None) -> LocalCluster:
    """Return what stands for a cluster."""
    return LocalCluster(
        directory=conf_directory(conf, os.environ),
        engine=EngineSocket.of(os.environ),
        environment=os.environ,
        observer=observer or tell,
    )


def aliases_of(texts: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Read aliases: those of the environment, and then those that are given.

    Raises:
        InputError: one is none.
    """
    found = pairs(ALIASES, environment.get(ALIASES, "").replace(",", " ").split()) | pairs("--alias", texts)
    for name, address in found.items():
        host, colon, port = address.rpartition(":")
        if colon and port.isdigit() and ":" not in host:
            raise InputError(
                f"the alias {name} has a port: an alias gives a host a name, and leaves ports alone",
                hint=f"--alias {name}={host or 'host'}, and have it serve at the port that pods ask for",
            )
    return found


def containers_of(cluster: LocalCluster, namespace: str, name: str) -> list[PodContainer]:
    """Return the containers of a pod, or of all pods of a release or of a workload (``KIND/NAME``).

    Raises:
        NotFoundError: there is none of that name.
    """
    require_name(namespace, "a namespace")
    kind, slash, last = name.rpartition("/")
    labels = ["pod", "release"] if not slash else ["pod"] if kind in ("pod", "pods", "po") else ["workload"]
    wanted = f"{_KINDS.get(kind, kind)}/{last}" if labels == ["workload"] else last
    for label in labels:
        found = cluster.pods.containers(f"{LABEL}.namespace={namespace}", f"{LABEL}.{label}={wanted}")
        if found:
            return found
    raise NotFoundError(
        f"there is no pod and no release {name[:80]} in the namespace {namespace}",
        hint="bannock k8s list -A tells which there are",
    )


def one_container(found: list[PodContainer], name: str | None) -> PodContainer:
    """Return one container of those: that of a name, or the first that is not only for the start.

    Raises:
        NotFoundError: there is none of that name.
    """
    if name is None:
        # Of several pods, the newest is what one means.
        newest = max((each for each in found if not each.first), key=lambda each: each.created, default=found[0])
        return next((each for each in found if each.pod == newest.pod and not each.first), newest)
    for each in found:
        if each.name == name:
            return each
    names = ", ".join(sorted({each.name for each in found}))
    raise NotFoundError(f"the pod has no container {name[:80]}", hint=f"it has: {names}")


def tell(line: str) -> None:
    """Say what happens, beside what scripts read."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


_KINDS: Final = {"deploy": "deployment", "deployments": "deployment", "sts": "statefulset", "ds": "daemonset",
                 "statefulsets": "statefulset", "daemonsets": "daemonset", "jobs": "job"}  # fmt: skip
