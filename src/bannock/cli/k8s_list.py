"""``bannock k8s list``: releases and their pods."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.k8s_options import add_namespace, add_place, local_cluster
from bannock.cli.options import Parser
from bannock.kubernetes.local.listing import pods_of
from bannock.kubernetes.local.place import LABEL, require_name

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["columns", "main"]

_DESCRIPTION: Final = """\
List the pods of releases that `bannock k8s run` started on this machine, and releases without pods."""
_EXAMPLES: Final = """\
  bannock k8s list
  bannock k8s list -A --json"""
_HEAD: Final = ("NAMESPACE", "RELEASE", "POD", "READY", "STATUS", "RESTARTS", "AGE")


def main(arguments: Sequence[str]) -> int:
    """Parse, print a line for each pod."""
    parser = Parser("k8s list", _DESCRIPTION, _EXAMPLES)
    add_namespace(parser, every=True)
    parser.add_argument("--json", action="store_true", dest="as_json", help="print them as JSON")
    add_place(parser)
    parsed = parser.parse_args(arguments)
    cluster = local_cluster(parsed.conf)
    namespace = None if parsed.all_namespaces else require_name(parsed.namespace, "a namespace")
    pods = list(pods_of(cluster, *([] if namespace is None else [f"{LABEL}.namespace={namespace}"])))
    releases = cluster.book.all(namespace)
    if parsed.as_json:
        documents = [
            {
                "release": each.name,
                "namespace": each.namespace,
                "chart": each.chart,
                "revision": each.revision,
                "status": each.status,
                "updated": each.updated,
                "pods": [
                    {
                        "pod": pod.name,
                        "workload": pod.workload,
                        "status": pod.status,
                        "ready": pod.ready,
                        "restarts": pod.restarts,
                        "containers": {container.name: container.image for container in pod.containers},
                    }
                    for pod in pods
                    if (pod.namespace, pod.release) == (each.namespace, each.name)
                ],
            }
            for each in releases
        ]
        sys.stdout.write(f"{json.dumps(documents, indent=2)}\n")
        return 0
    now = dt.datetime.now(dt.UTC)
    rows = [
        (pod.namespace, pod.release, pod.name, pod.counted, pod.status, str(pod.restarts), pod.age(now))
        for pod in pods
    ]
    there = {(pod.namespace, pod.release) for pod in pods}
    rows += [
        (each.namespace, each.name, "-", "-", each.status, "-", "-")
        for each in releases
        if (each.namespace, each.name) not in there
    ]
    if rows:
        sys.stdout.write(columns([_HEAD, *sorted(rows)]))
    return 0


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Write rows under each other, each column as wide as it has to be."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
