"""``bannock k8s run``: the pods of a chart on the container engine of this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.cli.k8s_options import add_namespace, add_place, aliases_of, local_cluster, tell
from bannock.cli.options import Parser
from bannock.errors import EnvironmentFault, InputError
from bannock.files import read_bounded
from bannock.kubernetes.local.helm import ChartRequest, objects_in, render
from bannock.kubernetes.local.here import rendered_release
from bannock.kubernetes.local.place import require_name
from bannock.kubernetes.local.printing import follow_pods

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bannock.kubernetes.local.here import LocalCluster
    from bannock.kubernetes.local.releases import Release

__all__ = ["deploy", "main"]

_DESCRIPTION: Final = """\
Run the pods of a chart on the Docker engine of this machine, where there is no cluster: helm renders the chart, and
deployments, stateful and daemon sets, jobs and pods in it become containers, with their variables, volumes, ports,
restarts, security contexts and devices. What the engine cannot do is an error that says so.

Without --detach, it follows what the pods print, and takes the release away at its end, also after Ctrl-C. The same
command again brings a release that runs to what the chart says now: pods whose template did not change stay.

Services are names in the network of the pods: NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc.cluster.local. NodePort,
LoadBalancer and hostPort are ports of 127.0.0.1. A CAS that runs on this machine and not in a pod is reached by
--alias cas.scone-system=host; it has to listen at an address that containers reach (--listen 0.0.0.0:8081)."""
_EXAMPLES: Final = """\
  bannock k8s run target/helm --release pythonapp
      run it, show what it prints, take it away with Ctrl-C
  bannock k8s run charts/las --release las --set mode=sim --set useSGXDevPlugin=none --detach
  bannock k8s run target/helm --release pythonapp --alias cas.scone-system=host --detach --wait"""
_FILE_BYTES_MAX: Final = 16 << 20
_SECONDS: Final = 120
#: Whoever has pressed Ctrl-C does not want to wait long.
_GRACE_SECONDS: Final = 5


def main(arguments: Sequence[str]) -> int:
    """Parse, run the release, follow it."""
    parser = Parser("k8s run", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("chart", metavar="CHART", help="directory or archive of a chart, or what else helm takes")
    parser.add_argument("-r", "--release", metavar="NAME", help="name of the release (that of the chart's directory)")
    add_namespace(parser)
    for option in ("--set", "--set-string", "--set-file"):
        parser.add_argument(option, action="append", default=[], metavar="PARAMETER=VALUE", help="of the chart")
    parser.add_argument("-f", "--values", action="append", default=[], metavar="FILE", help="parameters of the chart")
    parser.add_argument(
        "--with", dest="beside", action="append", type=Path, default=[], metavar="FILE",
        help="objects beside those of the chart, as a Secret that it names (YAML)",
    )  # fmt: skip
    parser.add_argument(
        "--alias", action="append", default=[], metavar="NAME=ADDRESS",
        help="a name for something that is no pod; the address `host` is this machine ($BANNOCK_K8S_ALIASES)",
    )  # fmt: skip
    parser.add_argument(
        "-d", "--detach", action="store_true", help="leave the pods running, and print nothing of them"
    )
    parser.add_argument("--wait", action="store_true", help="wait until all pods are ready")
    parser.add_argument(
        "--timeout", type=int, default=_SECONDS, metavar="S", help=f"how long a pod may take for that ({_SECONDS})"
    )
    add_place(parser)
    parsed = parser.parse_args(arguments)
    cluster = local_cluster(parsed.conf)
    release = _rendered(parsed, cluster)
    if parsed.detach:
        done = cluster.install(release, wait=parsed.wait, seconds=parsed.timeout)
        tell(f"release {done.name} of {done.namespace}: revision {done.revision} runs; bannock k8s list")
        return 0
    return _attended(cluster, release, parsed)


def deploy(
    request: ChartRequest,
    aliases: dict[str, str],
    beside: Sequence[Path] = (),
) -> Release:
    """Have helm render a chart, and return the release that it makes.

    Raises:
        InputError: the chart or an object beside it is none.
    """
    documents, values = render(request, os.environ)
    extra: list[dict[str, Any]] = []
    for path in beside:
        extra += objects_in(read_bounded(path, _FILE_BYTES_MAX), str(path))
    return rendered_release(request.release, request.namespace, request.chart, [*extra, *documents], values, aliases)


def _rendered(parsed: argparse.Namespace, cluster: LocalCluster) -> Release:
    name = parsed.release or Path(parsed.chart).resolve().name.partition(".")[0]
    require_name(name, "a release")
    require_name(parsed.namespace, "a namespace")
    if parsed.timeout <= 0:
        raise InputError(f"--timeout is above 0, found {parsed.timeout}")
    options = [word for path in parsed.values for word in ("--values", path)]
    for option in ("set", "set_string", "set_file"):
        options += [word for each in getattr(parsed, option) for word in (f"--{option.replace('_', '-')}", each)]
    request = ChartRequest(
        chart=parsed.chart,
        release=name,
        namespace=parsed.namespace,
        options=options,
        upgrade=cluster.book.find(parsed.namespace, name) is not None,
    )
    return deploy(request, aliases_of(parsed.alias, os.environ), parsed.beside)


def _attended(cluster: LocalCluster, release: Release, parsed: argparse.Namespace) -> int:
    begun = False

    def fresh() -> None:
        nonlocal begun
        begun = True

    code = 0
    try:
        cluster.install(release, wait=parsed.wait, seconds=parsed.timeout, fresh=fresh)
        tell("Ctrl-C takes the release away")
        labels = cluster.place.of_release(release.namespace, release.name)
        follow_pods(cluster.pods, labels, sys.stdout.buffer, cluster.ended, prefix=True)
        failed = [each for each in cluster.pods.containers(*labels) if each.exit_code and each.ended]
        if failed:
            names = ", ".join(f"{each.pod} ({each.exit_code})" for each in failed)
            raise EnvironmentFault(f"pods of the release {release.name} have failed: {names}")
    finally:
        cluster.ended.set()
        if begun:
            left = cluster.stop(release.namespace, release.name, grace=_GRACE_SECONDS)
            tell(f"release {release.name} of {release.namespace} is gone")
            if left:
                again = f"bannock k8s stop {release.name} -n {release.namespace} --volumes"
                tell(f"claims are left: {', '.join(left)}; to remove them: {again}")
    return code
