"""Whether pods are ready: their containers run, and what their probes ask for is answered from here."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.kubernetes.local.engine_pods import EnginePods, PodContainer
    from bannock.kubernetes.local.model import ContainerTemplate, Probe, Workload

__all__ = ["is_ready"]

_OK: Final = range(200, 400)
_LOOPBACK: Final = "127.0.0.1"


def is_ready(containers: Sequence[PodContainer], workload: Workload | None, pods: EnginePods) -> bool:
    """Whether a pod is ready.

    Args:
        containers: all of it.
        workload: by whose template it was made; without one, it is ready if it runs.
        pods: of the engine.
    """
    running = [each for each in containers if not each.first]
    if not running or not all(each.runs for each in running):
        return False
    if workload is None:
        return True
    templates = {each.name: each for each in workload.template.containers}
    # The others have the network of the first.
    address = (
        _LOOPBACK if workload.template.host_network else next((each.address for each in running if each.address), "")
    )
    return all(
        _answers(probe, templates[each.name], address, each, pods)
        for each in running
        if each.name in templates
        for probe in templates[each.name].probes
    )


def _answers(
    probe: Probe, template: ContainerTemplate, address: str, container: PodContainer, pods: EnginePods
) -> bool:
    if probe.kind == "exec":
        try:
            return pods.execute(container, probe.command, max(probe.seconds, 1)) == 0
        except BannockError:
            return False
    port = next((each.number for each in template.ports if each.name == probe.port), 0)
    if probe.port.isascii() and probe.port.isdigit():
        port = int(probe.port)
    try:
        if probe.kind == "tcp":
            socket.create_connection((address, port), timeout=probe.seconds).close()
            return True
        return _status(probe, address, port) in _OK
    except (OSError, http.client.HTTPException):
        return False


def _status(probe: Probe, address: str, port: int) -> int:
    connection: http.client.HTTPConnection
    if probe.kind == "https":
        # As a kubelet does: it asks whether something answers, not who.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(address, port, timeout=probe.seconds, context=context)
    else:
        connection = http.client.HTTPConnection(address, port, timeout=probe.seconds)
    try:
        connection.request("GET", probe.path)
        return connection.getresponse().status
    finally:
        connection.close()
