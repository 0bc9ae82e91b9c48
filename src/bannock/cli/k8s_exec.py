"""``bannock k8s exec``: a command in a container of a pod."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.k8s_options import add_namespace, add_place, containers_of, local_cluster, one_container
from bannock.cli.options import Parser
from bannock.errors import EnvironmentFault, InputError
from bannock.kubernetes.local.helm import find_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.kubernetes.local.engine_pods import PodContainer

__all__ = ["execute", "main"]

_DESCRIPTION: Final = """\
Run a command in a container of a pod that runs. What it is, Docker's own client does: `docker exec`."""
_EXAMPLES: Final = """\
  bannock k8s exec -it pythonapp -- sh
  bannock k8s exec pythonapp-hello-6c5f9d-x2vkq -- env"""


def main(arguments: Sequence[str]) -> int:
    """Parse, become the command."""
    parser = Parser("k8s exec", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="a pod, a release, or KIND/NAME of a workload: its newest pod")
    parser.add_argument("command", metavar="COMMAND", nargs="*", help="after --")
    add_namespace(parser)
    parser.add_argument("-c", "--container", metavar="NAME", help="of the pod (its first)")
    parser.add_argument("-i", "--stdin", action="store_true", help="hand on standard input")
    parser.add_argument("-t", "--tty", action="store_true", help="with a terminal")
    add_place(parser)
    words = list(arguments)
    own, command = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    parsed = parser.parse_intermixed_args(own)
    command = [*parsed.command, *command]
    if not command:
        raise InputError("no command is given", hint=f"bannock k8s exec {parsed.name} -- COMMAND")
    cluster = local_cluster(parsed.conf)
    container = one_container(containers_of(cluster, parsed.namespace, parsed.name), parsed.container)
    execute(container, command, stdin=parsed.stdin, tty=parsed.tty)


def execute(container: PodContainer, command: Sequence[str], *, stdin: bool, tty: bool) -> NoReturn:
    """Become ``docker exec`` of a command.

    Raises:
        EnvironmentFault: the container does not run, or there is no client of Docker.
    """
    if not container.runs:
        raise EnvironmentFault(f"the container {container.name} of {container.pod} does not run: {container.status}")
    docker = find_program("docker", os.environ)
    options = ["--interactive"] if stdin else []
    # As kubectl does: without a terminal here, there is none there.
    if tty and sys.stdin.isatty():
        options.append("--tty")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(docker, [docker, "exec", *options, container.identity, *command])  # noqa: S606 - no shell between
