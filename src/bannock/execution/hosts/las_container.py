"""The LAS of a host as a container. It measures processes of the host, so it shares their numbers and network."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import BannockError, EnvironmentFault
from bannock.evidence.las_client import LAS_PORT, LasClient
from bannock.images.containers import Containers
from bannock.images.engine import Engine
from bannock.images.references import ImageName
from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.execution.hosts.machine import Machine
    from bannock.images.model import Image

__all__ = ["start_las", "stop_las"]

_LABEL: Final = "dev.bannock.las"
_DIRECTORY: Final = "/var/lib/bannock"
_START_SECONDS: Final = 30.0
_STEP_SECONDS: Final = 0.1
_LAS_SECONDS: Final = 5.0
#: What attests a machine; given to the container where the host has it.
_DEVICES: Final = (
    "/dev/sgx_enclave",
    "/dev/sgx_provision",
    "/dev/tdx_guest",
    "/dev/sev-guest",
    "/dev/tpmrm0",
)


def start_las(machine: Machine, image: str, open_image: Callable[[str], Image]) -> str:
    """Start a LAS on a host if none answers there, and return what it attests for.

    Args:
        machine: the host.
        image: a name; the host's own if it has it, else one of this machine's, which is sent.
        open_image: opens an image of this machine.

    Raises:
        EnvironmentFault: it does not start, or the connection is lost.
        NotFoundError: there is no such image.
    """
    try:
        return _platform(machine)
    except EnvironmentFault:
        pass
    containers, engine = Containers(machine.engine), Engine(machine.engine)
    name = ImageName.parse(image)
    if not engine.has(name.familiar):
        engine.store(open_image(image), name)
    stop_las(machine)
    container = containers.create(_settings(machine, name.familiar), _name(machine))
    try:
        containers.start(container)
        return _wait(machine, containers, container)
    except BaseException:
        containers.remove(container)
        raise


def stop_las(machine: Machine) -> bool:
    """Remove the LAS that was started on a host, and return whether there was one; its key stays there.

    Raises:
        EnvironmentFault: the connection is lost.
    """
    containers = Containers(machine.engine)
    found = [container for container, port in containers.labelled(_LABEL).items() if port == _port(machine)]
    for container in found:
        containers.remove(container)
    return bool(found)


def _settings(machine: Machine, image: str) -> dict[str, Any]:
    there = machine.run("ls", "-d", *_DEVICES).out.decode(errors="replace").split()
    return {
        "Image": image,
        # For containers of this host alone.
        "Cmd": ["--listen", f"127.0.0.1:{_port(machine)}"],
        "Labels": {_LABEL: _port(machine)},
        "HostConfig": {
            "NetworkMode": "host",
            "PidMode": "host",
            "CapAdd": ["SYS_PTRACE", "SYS_ADMIN"],
            "Binds": [f"{_name(machine)}:{_DIRECTORY}"],
            "Devices": [
                {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rw"}
                for path in _DEVICES
                if path in there
            ],
            "RestartPolicy": {"Name": "unless-stopped"},
        },
    }


def _port(machine: Machine) -> str:
    return str(Address.parse(machine.las, default_port=LAS_PORT).port)


def _name(machine: Machine) -> str:
    """Return what the container is called, and the volume that has its key."""
    return f"bannock-las-{_port(machine)}"


def _wait(machine: Machine, containers: Containers, container: str) -> str:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            return _platform(machine)
        except BannockError as error:
            ended = not containers.state(container).is_running
            if ended or time.monotonic() > end:
                raise EnvironmentFault(
                    f"the LAS on host {machine.name} does not start",
                    reasons=containers.output(container).splitlines()[-5:],
                    hint="is it the image `las`?",
                ) from error
            time.sleep(_STEP_SECONDS)


def _platform(machine: Machine) -> str:
    with LasClient(machine.las_from_here, timeout=_LAS_SECONDS) as client:
        return str(client.platform())
