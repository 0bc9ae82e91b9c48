"""``bannock k8s logs``: what pods have printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.k8s_options import add_namespace, add_place, containers_of, local_cluster, one_container
from bannock.cli.options import Parser
from bannock.kubernetes.local.place import LABEL
from bannock.kubernetes.local.printing import follow_pods, print_container

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print what a pod has printed, or all pods of a release or of a workload (deployment/NAME); with --follow also what
comes, until Ctrl-C or their end."""
_EXAMPLES: Final = """\
  bannock k8s logs pythonapp
  bannock k8s logs -f deployment/pythonapp-hello"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    parser = Parser("k8s logs", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="a pod, a release, or KIND/NAME of a workload")
    add_namespace(parser)
    parser.add_argument("-c", "--container", metavar="NAME", help="one container of the pod (all of the release's)")
    parser.add_argument("-f", "--follow", action="store_true", help="wait for more")
    parser.add_argument("--tail", type=int, metavar="N", help="the last lines only")
    add_place(parser)
    parsed = parser.parse_intermixed_args(arguments)
    cluster = local_cluster(parsed.conf)
    found = containers_of(cluster, parsed.namespace, parsed.name)
    last = None if parsed.tail is None or parsed.tail < 0 else parsed.tail
    if parsed.container is not None:
        found = [one_container(found, parsed.container)]
    shown = found if parsed.container else [each for each in found if not each.first]
    if parsed.follow:
        pods = {each.pod for each in shown}
        labels = [f"{LABEL}.namespace={parsed.namespace}", f"{LABEL}.release={shown[0].release}"]
        if len(pods) == 1:
            labels.append(f"{LABEL}.pod={shown[0].pod}")
        if parsed.container is not None:
            labels.append(f"{LABEL}.container={parsed.container}")
        follow_pods(
            cluster.pods, labels, sys.stdout.buffer, cluster.ended,
            prefix=len(shown) > 1, last=last, first=bool(parsed.container),
        )  # fmt: skip
        return 0
    for each in shown:
        if len(shown) > 1:
            sys.stdout.buffer.write(f"==> {each.pod} {each.name}\n".encode())
        print_container(cluster.pods, each, sys.stdout.buffer, last=last)
    return 0
