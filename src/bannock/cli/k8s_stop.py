"""``bannock k8s stop``: take releases away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.cli.k8s_options import add_namespace, add_place, local_cluster, tell
from bannock.cli.options import Parser
from bannock.errors import InputError
from bannock.kubernetes.local.place import require_name

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Take releases away: their pods, with what these have kept, and the claims that came with the chart. Claims of stateful
sets stay, as they do in a cluster, unless --volumes says otherwise."""
_EXAMPLES: Final = """\
  bannock k8s stop pythonapp
  bannock k8s stop --all --volumes"""


def main(arguments: Sequence[str]) -> int:
    """Parse, take them away."""
    parser = Parser("k8s stop", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("release", metavar="RELEASE", nargs="*", help="its name")
    add_namespace(parser)
    parser.add_argument("--all", action="store_true", help="all releases of all namespaces")
    parser.add_argument("--volumes", action="store_true", help="remove what stateful sets have kept, too")
    parser.add_argument("--grace", type=int, metavar="S", help="seconds that pods get to end, at most")
    add_place(parser)
    parsed = parser.parse_intermixed_args(arguments)
    if parsed.all == bool(parsed.release):
        raise InputError("name the releases, or say --all", hint="bannock k8s list -A tells which there are")
    cluster = local_cluster(parsed.conf)
    wanted = [(parsed.namespace, name) for name in parsed.release]
    if parsed.all:
        running = {(each.namespace, each.release) for each in cluster.pods.containers()}
        wanted = sorted({(each.namespace, each.name) for each in cluster.book.all()} | running)
    for namespace, name in wanted:
        left = cluster.stop(
            require_name(namespace, "a namespace"),
            require_name(name, "a release"),
            volumes=parsed.volumes,
            grace=parsed.grace,
        )
        tell(f"release {name} of {namespace} is gone")
        if left:
            again = f"bannock k8s stop {name} -n {namespace} --volumes"
            tell(f"claims are left: {', '.join(left)}; to remove them: {again}")
    if parsed.all and parsed.volumes:
        cluster.drop_all_claims()
    return 0
