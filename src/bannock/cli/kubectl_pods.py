"""Verbs of kubectl about pods, for the stand-in: logs, exec, delete, port-forward, wait."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from bannock.cli.k8s_exec import execute
from bannock.cli.k8s_options import containers_of, one_container
from bannock.cli.kubectl_options import kubectl_parser, labels_of, named, namespace_of, resources, seconds_of
from bannock.errors import EnvironmentFault, InputError, NotFoundError
from bannock.kubernetes.local.place import LABEL
from bannock.kubernetes.local.printing import follow_pods, print_container
from bannock.kubernetes.stand_in.forward import forward_port

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from bannock.kubernetes.local.engine_pods import PodContainer
    from bannock.kubernetes.local.here import LocalCluster

__all__ = ["run"]

_POLL_SECONDS: Final = 0.5
_EXAMPLES: Final = "  kubectl logs pod/hello-6c5f9d-x2vkq\n  kubectl exec -it hello-6c5f9d-x2vkq -- sh"


def run(verb: str, words: Sequence[str]) -> int:
    """Do one of these verbs."""
    verbs: dict[str, Callable[[Sequence[str]], int]] = {
        "logs": _logs, "exec": _exec, "delete": _delete, "port-forward": _forward, "wait": _wait,
    }  # fmt: skip
    return verbs[verb](words)


def _logs(words: Sequence[str]) -> int:
    parser = kubectl_parser("logs", "Print what a container of a pod has printed.", _EXAMPLES)
    parser.add_argument("name", nargs="?", metavar="POD", help="a pod, or KIND/NAME")
    parser.add_argument("more", nargs="?", metavar="CONTAINER", help="of the pod")
    parser.add_argument("-l", "--selector", metavar="LABELS", help="of pods")
    parser.add_argument("-c", "--container", metavar="NAME", help="of the pod (its first)")
    parser.add_argument("-f", "--follow", action="store_true", help="wait for more")
    parser.add_argument("--tail", type=int, default=-1, metavar="N", help="the last lines only")
    parser.add_argument("--all-containers", action="store_true", help="all containers of the pod")
    parser.add_argument("--prefix", action="store_true", help="say before each line whose it is")
    parsed = parser.parse_intermixed_args(words)
    cluster, _ = resources()
    last = None if parsed.tail < 0 else parsed.tail
    found = _selected(cluster, parsed)
    chosen = found if parsed.all_containers else [one_container(found, parsed.container or parsed.more)]
    if parsed.selector and not parsed.all_containers:
        chosen = [each for each in found if not each.first]
    if parsed.follow:
        one = chosen[0]
        labels = [f"{LABEL}.namespace={one.namespace}", f"{LABEL}.pod={one.pod}"]
        if not parsed.all_containers:
            labels.append(f"{LABEL}.container={one.name}")
        follow_pods(
            cluster.pods, labels, sys.stdout.buffer, cluster.ended, prefix=parsed.prefix, last=last, first=True
        )
        return 0
    for each in chosen:
        print_container(cluster.pods, each, sys.stdout.buffer, last=last)
    return 0


def _exec(words: Sequence[str]) -> int:
    parser = kubectl_parser("exec", "Run a command in a container.", _EXAMPLES)
    parser.add_argument("name", metavar="POD", help="a pod, or KIND/NAME")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="after --")
    parser.add_argument("-c", "--container", metavar="NAME", help="of the pod (its first)")
    parser.add_argument("-i", "--stdin", action="store_true", help="hand on standard input")
    parser.add_argument("-t", "--tty", action="store_true", help="with a terminal")
    rest = list(words)
    own, command = (rest[: rest.index("--")], rest[rest.index("--") + 1 :]) if "--" in rest else (rest, [])
    parsed = parser.parse_intermixed_args(own)
    command = [*parsed.command, *command]
    if not command:
        raise InputError("no command is given", hint="kubectl exec POD -- COMMAND")
    cluster, _ = resources()
    container = one_container(containers_of(cluster, namespace_of(parsed), parsed.name), parsed.container)
    execute(container, command, stdin=parsed.stdin, tty=parsed.tty)


def _delete(words: Sequence[str]) -> int:
    parser = kubectl_parser("delete", "Remove a pod; what made it makes another one.", "  kubectl delete pod NAME")
    parser.add_argument("words", nargs="+", metavar="pod NAME", help="the pods")
    parser.add_argument("-l", "--selector", metavar="LABELS", help="of pods")
    parser.add_argument("--grace-period", type=int, metavar="S", help="seconds that a pod gets to end, at most")
    parser.add_argument("--now", action="store_true", help="one second")
    for option in ("--wait", "--timeout", "--cascade"):
        parser.add_argument(option, nargs="?", metavar="X", help="means nothing here")
    for option in ("--force", "--ignore-not-found"):
        parser.add_argument(option, action="store_true", help="means nothing here")
    parsed = parser.parse_intermixed_args(words)
    cluster, every = resources()
    place = namespace_of(parsed)
    if parsed.selector:
        found = every.find("Pod", place, None, labels_of(parsed.selector))
        wanted = [("Pod", str(each["metadata"]["name"])) for each in found]
    else:
        wanted = named(parsed.words)
    for kind, name in wanted:
        if kind != "Pod":
            raise InputError(
                f"only pods can be deleted here, not the {kind} {name[:80]}",
                hint="helm uninstall takes a release away",
            )
        containers = cluster.pods.containers(f"{LABEL}.namespace={place}", f"{LABEL}.pod={name}")
        if not containers:
            raise NotFoundError(f'pods "{name[:200]}" not found', hint=f"kubectl get pods -n {place}")
        grace = 1 if parsed.now else parsed.grace_period
        cluster.replace_pod(containers, grace=None if grace is None or grace < 0 else grace)
        sys.stdout.write(f'pod "{name}" deleted from {place} namespace\n')
    return 0


def _forward(words: Sequence[str]) -> int:
    parser = kubectl_parser(
        "port-forward", "Give ports of a pod to this machine.", "  kubectl port-forward service/cas 8081"
    )
    parser.add_argument("name", metavar="KIND/NAME", help="a pod, a service, or a workload")
    parser.add_argument("port", metavar="[HERE:]THERE", help="port of this machine, and port of the pod")
    parser.add_argument("--address", default="127.0.0.1", metavar="ADDRESS", help="where to listen (127.0.0.1)")
    parsed = parser.parse_intermixed_args(words)
    before, colon, after = parsed.port.partition(":")
    there = after if colon else before
    if not there.isdigit() or (before and not before.isdigit()):
        raise InputError(f"a port is [HERE:]THERE, found {parsed.port[:40]!r}")
    cluster, _ = resources()
    found = _behind(cluster, namespace_of(parsed), parsed.name)
    pod = one_container(found, None).pod
    # Of a pod's containers, one has the network that the others share; a pod may have that of the machine.
    address = next((each.address for each in found if each.pod == pod and each.address and each.runs), "127.0.0.1")
    listening = "127.0.0.1" if parsed.address == "localhost" else parsed.address

    def ready(port: int) -> None:
        sys.stdout.write(f"Forwarding from {listening}:{port} -> {there}\n")
        sys.stdout.flush()

    here = (listening, int(before or 0) if colon else int(there))
    forward_port(here, (address, int(there)), cluster.ended, ready)
    return 0


def _wait(words: Sequence[str]) -> int:
    parser = kubectl_parser("wait", "Wait until pods are ready.", "  kubectl wait --for=condition=Ready pod/NAME")
    parser.add_argument("words", nargs="+", metavar="pod/NAME", help="the pods")
    parser.add_argument("--for", dest="condition", default="condition=Ready", metavar="WHAT", help="condition=Ready")
    parser.add_argument("-l", "--selector", metavar="LABELS", help="of pods")
    parser.add_argument("--timeout", default="30s", metavar="S", help="how long (30s)")
    parsed = parser.parse_intermixed_args(words)
    if parsed.condition.lower() != "condition=ready":
        raise InputError(f"--for {parsed.condition[:80]} is not understood here", hint="condition=Ready is")
    _, every = resources()
    place, labels = namespace_of(parsed), labels_of(parsed.selector)
    names = [None] if parsed.selector else [name for _, name in named(parsed.words)]
    end = time.monotonic() + seconds_of(parsed.timeout)
    while True:
        pods = [pod for name in names for pod in every.find("Pod", place, name, labels)]
        late = [pod for pod in pods if pod["status"]["conditions"][0]["status"] != "True"]
        if pods and not late:
            sys.stdout.writelines(f"{every.reference(pod)} condition met\n" for pod in pods)
            return 0
        if time.monotonic() > end:
            names_late = ", ".join(str(pod["metadata"]["name"]) for pod in late) or "no pods"
            raise EnvironmentFault(f"not ready within {parsed.timeout}: {names_late}")
        time.sleep(_POLL_SECONDS)


def _selected(cluster: LocalCluster, parsed: argparse.Namespace) -> list[PodContainer]:
    place = namespace_of(parsed)
    if not parsed.selector:
        if not parsed.name:
            raise InputError("no pod is named", hint="kubectl logs POD")
        return containers_of(cluster, place, parsed.name)
    labels = labels_of(parsed.selector)
    found = [
        each
        for each in cluster.pods.containers(f"{LABEL}.namespace={place}")
        if all(each.labels.get(name) == value for name, value in labels.items())
    ]
    if not found:
        raise NotFoundError(f"no pod of {place} has the labels {parsed.selector[:200]}")
    return found


def _behind(cluster: LocalCluster, namespace: str, name: str) -> list[PodContainer]:
    """Return the containers behind a service, or as they are named."""
    kind, slash, last = name.rpartition("/")
    if not slash or kind not in ("service", "services", "svc"):
        return containers_of(cluster, namespace, name)
    wanted = cluster.place.names(last, namespace)[0]
    found = [
        each for each in cluster.pods.containers(f"{LABEL}.namespace={namespace}") if wanted in each.names.split()
    ]
    if not found:
        raise NotFoundError(f"there is no pod behind a service {last[:80]} in the namespace {namespace}")
    return found
