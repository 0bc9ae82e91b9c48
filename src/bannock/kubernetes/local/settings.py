"""What the engine is told of a container of a pod (Docker Engine API 1.41, ``/containers/create``).

Looks at devices of this machine, opens none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import EnvironmentFault, InputError
from bannock.kubernetes.device_plugin.resources import RESOURCES, found
from bannock.kubernetes.local.environment import environment_of, expanded
from bannock.kubernetes.local.quantities import billionths_of, bytes_of
from bannock.kubernetes.local.volumes import CREATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.kubernetes.local.model import ContainerTemplate, PortOf
    from bannock.kubernetes.local.pod import Pod

__all__ = ["container_settings", "published"]

_LOOPBACK: Final = "127.0.0.1"
_RESTART: Final = {"Always": "unless-stopped", "OnFailure": "on-failure", "Never": "no"}
#: Runs of a container that has to end before others start.
_FIRST_RETRIES: Final = 5
#: Limits that the engine has no name for, and that protect the node from the pod.
_WITHOUT_EFFECT: Final = ("ephemeral-storage",)


def container_settings(
    pod: Pod,
    container: ContainerTemplate,
    mounts: list[dict[str, Any]],
    *,
    first: bool = False,
    beside: str = "",
    ports: Mapping[str, list[tuple[str, int]]] | None = None,
    root: Path = Path("/"),
) -> dict[str, Any]:
    """Say what a container is.

    Args:
        pod: that it is of.
        container: of the pod.
        mounts: of its volumes, as the engine takes them.
        first: whether it ends before the others start.
        beside: another container of the pod, whose network it has; empty: its own.
        ports: port and protocol → addresses and ports of this machine.
        root: where the names of devices start.

    Raises:
        InputError: something in it cannot be done here.
        EnvironmentFault: this machine has not got a device that it is to have.
    """
    template = pod.workload.template
    variables = environment_of(pod, container)
    # Only in this older form does the engine make directories.
    binds = [_bind(each) for each in mounts if each.get(CREATED)]
    host: dict[str, Any] = {
        "RestartPolicy": _restart(pod, first=first),
        "Mounts": [each for each in mounts if not each.pop(CREATED, False)],
        "Binds": binds,
        "GroupAdd": [str(group) for group in _groups(pod, container)],
        "Sysctls": dict(template.sysctls) if not beside else {},
        **_security(container),
        **_limits(pod, container, root),
        **_network(pod, beside),
    }
    host["Mounts"] += host.pop("DeviceMounts")
    if template.host_processes:
        host["PidMode"] = "host"
    if template.host_ipc:
        host["IpcMode"] = "host"
    settings: dict[str, Any] = {
        "Image": container.image,
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": pod.container_labels(container, first=first),
        "Tty": container.terminal,
        "OpenStdin": container.stdin,
        "StopTimeout": template.grace,
        "HostConfig": host,
    }
    if container.command:
        settings["Entrypoint"] = [expanded(word, variables) for word in container.command]
    if container.arguments:
        settings["Cmd"] = [expanded(word, variables) for word in container.arguments]
    if container.directory:
        settings["WorkingDir"] = container.directory
    if container.security.user is not None:
        settings["User"] = f"{container.security.user}:{container.security.group or 0}"
    elif container.security.group is not None:
        settings["User"] = f"0:{container.security.group}"
    if ports:
        settings["ExposedPorts"] = {port: {} for port in ports}
        host["PortBindings"] = {
            port: [{"HostIp": address, "HostPort": str(number) if number else ""} for address, number in places]
            for port, places in ports.items()
        }
    if not beside and not template.host_network:
        settings["Hostname"] = (template.hostname or pod.name)[:63].rstrip("-.")
        aliases = [] if first else pod.names()
        settings["NetworkingConfig"] = {"EndpointsConfig": {pod.surroundings.place.network: {"Aliases": aliases}}}
    return settings


def _bind(mount: dict[str, Any]) -> str:
    options = ["ro" if mount["ReadOnly"] else "rw", mount.get("BindOptions", {}).get("Propagation", "")]
    return f"{mount['Source']}:{mount['Target']}:{','.join(filter(None, options))}"


def published(pod: Pod) -> dict[str, list[tuple[str, int]]]:
    """Return which ports of a pod this machine is to show: port and protocol → addresses and ports of the machine.

    Raises:
        InputError: a service gives its pods another port than they have.
    """
    shown: dict[str, list[tuple[str, int]]] = {}
    template = pod.workload.template
    if template.host_network:
        return shown
    ports = [port for container in template.containers for port in container.ports]
    for port in ports:
        if port.host:
            shown.setdefault(f"{port.number}/{port.protocol}", []).append((port.address or _LOOPBACK, port.host))
    for service in pod.surroundings.rendered.services:
        if not service.selects(pod.labels):
            continue
        for number, target, protocol, host in service.ports:
            there = _numbered(ports, target, service.name)
            if there != number:
                raise InputError(
                    f"the service {service.name} has port {number} for port {there} of its pods, and the local engine "
                    "gives pods a name, not other ports",
                    hint="give both the same port",
                )
            if host is not None:
                shown.setdefault(f"{there}/{protocol}", []).append((_LOOPBACK, host))
    return shown


def _numbered(ports: list[PortOf], target: str, service: str) -> int:
    if target.isascii() and target.isdigit():
        return int(target)
    number = next((port.number for port in ports if port.name == target), None)
    if number is None:
        raise InputError(f"the service {service} has a port {target[:40]!r} that its pods have not got")
    return number


def _restart(pod: Pod, *, first: bool) -> dict[str, Any]:
    if first:
        return {"Name": "on-failure", "MaximumRetryCount": _FIRST_RETRIES}
    if pod.workload.kind == "Job":
        # A job makes another pod where Kubernetes does; here it is the same one again.
        retries = pod.workload.retries
        return {"Name": "on-failure", "MaximumRetryCount": retries} if retries else {"Name": "no"}
    return {"Name": _RESTART[pod.workload.template.restart]}


def _groups(pod: Pod, container: ContainerTemplate) -> list[int]:
    group = pod.workload.template.file_group
    return [*container.security.groups, *([] if group is None else [group])]


def _security(container: ContainerTemplate) -> dict[str, Any]:
    security = container.security
    options = []
    if security.no_new_privileges:
        options.append("no-new-privileges")
    # Kubernetes filters system calls only where it is told to; engines do so where they are not told not to.
    if security.seccomp != "RuntimeDefault" and not security.privileged:
        options.append("seccomp=unconfined")
    if security.app_armor:
        options.append(f"apparmor={security.app_armor}")
    return {
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.read_only,
        "CapAdd": list(security.add),
        "CapDrop": list(security.drop),
        "SecurityOpt": options,
    }


def _limits(pod: Pod, container: ContainerTemplate, root: Path) -> dict[str, Any]:
    """Turn limits into those of the engine, and devices that a device plugin would give into devices."""
    settings: dict[str, Any] = {"Devices": [], "DeviceMounts": []}
    known = {resource.name: resource for resource in RESOURCES}
    where = f"pod {pod.name}: container {container.name}"
    for name, amount in container.limits.items():
        if name == "cpu":
            settings["NanoCpus"] = billionths_of(amount, where)
        elif name == "memory":
            settings["Memory"] = bytes_of(amount, where)
        elif name in known:
            given = found(known[name], root)
            if given is None:
                raise EnvironmentFault(
                    f"{where} is to have {name}, and this machine has no device for it",
                    hint="the chart's value useSGXDevPlugin=none asks for none (on platform sim nothing vouches for "
                    "services); bannock k8s device-plugin lists what there is",
                )
            settings["Devices"] += [
                {"PathOnHost": device, "PathInContainer": device, "CgroupPermissions": "rw"}
                for device in given.devices
            ]
            settings["DeviceMounts"] += [
                {"Type": "bind", "Source": path, "Target": path, "ReadOnly": False} for path in given.mounts
            ]
        elif name not in _WITHOUT_EFFECT:
            raise InputError(
                f"{where}: the resource {name[:80]} is not supported on the local engine",
                hint=f"those that are: cpu, memory, {', '.join(known)}",
            )
    return settings


def _network(pod: Pod, beside: str) -> dict[str, Any]:
    here, template = pod.surroundings, pod.workload.template
    if beside:
        return {"NetworkMode": f"container:{beside}"}
    entries = {**here.aliases, **template.aliases}
    hosts = {"ExtraHosts": [f"{name}:{address}" for name, address in entries.items()]}
    if template.host_network:
        return {"NetworkMode": "host", **hosts}
    zone = f"{here.namespace}.svc.cluster.local"
    return {
        "NetworkMode": here.place.network,
        "DnsSearch": [zone, "svc.cluster.local", "cluster.local"],
        # Names with a dot are asked for as they are first: nobody outside is asked for those of pods.
        "DnsOptions": ["ndots:1"],
        **hosts,
    }
