"""What it takes to make meshes and to run them, and whether it is there."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault
from bannock.kubernetes.cluster import Cluster
from bannock.kubernetes.system import missing_daemon_sets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Prerequisite", "looked_for"]

_SECONDS: Final = 30
_REASON_CHARACTERS: Final = 200
_PAGES: Final = {
    "docker": "https://docs.docker.com/engine/install/",
    "helm": "https://helm.sh/docs/intro/install/",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prerequisite:
    """Something that was looked for.

    Attributes:
        what: it is.
        problem: what is wrong with it; empty: nothing.
        hint: what to do then.
    """

    what: str
    problem: str = ""
    hint: str = ""


def looked_for(namespace: str, environment: Mapping[str, str], *, cluster: bool) -> Iterator[Prerequisite]:
    """Look for everything, one after the other.

    Args:
        namespace: of device plugin and LAS.
        environment: of the programs.
        cluster: whether to look at a cluster.
    """
    there = {name: program for name in _PAGES if (program := shutil.which(name, path=environment.get("PATH")))}
    for name in _PAGES:
        problem = "" if name in there else "it is not in the path"
        yield Prerequisite(what=f"program {name}", problem=problem, hint=f"install it: {_PAGES[name]}")
    if "docker" in there:
        hint = "start it, or let this user use it; DOCKER_HOST names another one"
        yield Prerequisite(what="engine of containers", problem=_engine(there["docker"], environment), hint=hint)
    if cluster and "kubectl" in there:
        yield from _of_cluster(Cluster(namespace=namespace, environment=environment))


def _of_cluster(cluster: Cluster) -> Iterator[Prerequisite]:
    try:
        cluster.kubectl("get", "pods", "--output=name")
        problems = list(missing_daemon_sets(cluster))
    except EnvironmentFault as error:
        hint = "say which: KUBECONFIG, or kubectl config use-context"
        yield Prerequisite(what="cluster", problem=error.message, hint=hint)
        return
    yield Prerequisite(what="cluster")
    yield Prerequisite(
        what="device plugin and LAS", problem="; ".join(problems), hint="install them: sconectl scone_init"
    )


def _engine(program: str, environment: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [program, "version", "--format", "{{.Server.Version}}"],
            env=dict(environment),
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"docker does not answer: {type(error).__name__}"
    if done.returncode == 0:
        return ""
    return done.stderr.decode("utf-8", errors="replace").strip()[:_REASON_CHARACTERS] or "docker fails"
