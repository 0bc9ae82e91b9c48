"""``bannock k8s device-plugin``: give containers of this node the devices by which they are attested."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.logs import log_to_stderr
from bannock.cli.options import Parser
from bannock.errors import InputError
from bannock.kubernetes.device_plugin.plugin import DIRECTORY, POLL_SECONDS, DevicePlugin
from bannock.kubernetes.device_plugin.resources import RESOURCES, resources_named
from bannock.kubernetes.node_labels import NodeLabels

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_PODS: Final = 110
#: The kubelet gets the list of all devices in one message of 4 MiB at most.
_PODS_MAX: Final = 10_000

_NAMES: Final = "\n".join(f"  {resource.name}" for resource in RESOURCES)
_DESCRIPTION: Final = f"""\
Be the device plugin of this node: offer the kubelet, by its protocol v1beta1, each of these resources that the node
has a device for, so that containers get the device without privilege. The chart `sgxdevplugin` runs this on every
node.

resources:
{_NAMES}"""
_EXAMPLES: Final = """\
  bannock k8s device-plugin --max-pods 20
  bannock k8s device-plugin --resource bannock.dev/fuse"""


def main(arguments: Sequence[str]) -> int:
    """Parse, serve until SIGINT or SIGTERM."""
    parser = Parser("k8s device-plugin", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "--max-pods", type=int, default=_PODS, metavar="N", help=f"containers that may have a device at once ({_PODS})"
    )
    parser.add_argument(
        "--resource", action="append", default=[], metavar="NAME", help="offer this resource (repeatable; all)"
    )
    parser.add_argument(
        "--directory", type=Path, default=Path(DIRECTORY), metavar="DIR", help=f"of the kubelet ({DIRECTORY})"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="where the node's /dev and /sys are (/)"
    )
    parser.add_argument("--label-node", action="store_true", help="give the node labels by what it has")
    parser.add_argument("--node", metavar="NAME", help="name of the node ($NODE_NAME)")
    parser.add_argument(
        "--poll-seconds",
        type=float,
        default=POLL_SECONDS,
        metavar="S",
        help=f"how often it looks for devices and for the kubelet ({POLL_SECONDS:g})",
    )
    parsed = parser.parse_args(arguments)
    if not 1 <= parsed.max_pods <= _PODS_MAX:
        raise InputError(f"--max-pods is from 1 to {_PODS_MAX}, found {parsed.max_pods}")
    if parsed.poll_seconds <= 0:
        raise InputError(f"--poll-seconds is above 0, found {parsed.poll_seconds:g}")
    log_to_stderr()
    plugin = DevicePlugin(
        directory=parsed.directory,
        root=parsed.root,
        count=parsed.max_pods,
        resources=resources_named(parsed.resource),
        labeller=NodeLabels.of_pod(parsed.node, os.environ) if parsed.label_node else None,
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    plugin.run(ended, parsed.poll_seconds)
    return 0
