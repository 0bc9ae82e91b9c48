"""The messages of the kubelet's protocol for device plugins, v1beta1: those that a plugin sends and gets. Pure.

Field numbers are those of ``api.proto`` in ``k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.kubernetes.device_plugin.wire import fields, number_field, text_field, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "EMPTY",
    "KUBELET_SOCKET",
    "REGISTER",
    "SERVICE",
    "VERSION",
    "Given",
    "Registration",
    "asked",
    "devices",
    "given",
]

VERSION: Final = "v1beta1"
#: In the directory of the kubelet.
KUBELET_SOCKET: Final = "kubelet.sock"
REGISTER: Final = "/v1beta1.Registration/Register"
SERVICE: Final = "v1beta1.DevicePlugin"
#: A message without fields, and the one whose fields are all at their defaults: no option is needed.
EMPTY: Final = b""

_HEALTHY: Final = "Healthy"
_UNHEALTHY: Final = "Unhealthy"
#: What a container may do with a device: read and write; not make one (cgroup-v1 device controller).
_PERMISSIONS: Final = "rw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a plugin tells the kubelet of itself.

    Attributes:
        endpoint: name of its socket, in the kubelet's directory.
        resource: name of what it gives.
    """

    endpoint: str
    resource: str

    def to_bytes(self) -> bytes:
        """Encode a ``RegisterRequest``."""
        return text_field(1, VERSION) + text_field(2, self.endpoint) + text_field(3, self.resource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one container gets.

    Attributes:
        devices: paths, the same on the node and in the container.
        mounts: directories, likewise.
    """

    devices: tuple[str, ...]
    mounts: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Encode a ``ContainerAllocateResponse``."""
        mounts = b"".join(
            text_field(2, text_field(1, path) + text_field(2, path) + number_field(3, 0)) for path in self.mounts
        )
        return mounts + b"".join(
            text_field(3, text_field(1, path) + text_field(2, path) + text_field(3, _PERMISSIONS))
            for path in self.devices
        )


def devices(names: Iterable[str], *, healthy: bool) -> bytes:
    """Encode a ``ListAndWatchResponse``: all devices of a resource."""
    health = text_field(2, _HEALTHY if healthy else _UNHEALTHY)
    return b"".join(text_field(1, text_field(1, name) + health) for name in names)


def asked(data: bytes) -> tuple[tuple[str, ...], ...]:
    """Decode an ``AllocateRequest``: of each container, which devices it is to get.

    Raises:
        PeerError: it is none.
    """
    return tuple(
        tuple(text_of(name) for number, name in fields(container) if number == 1)
        for number, container in fields(data)
        if number == 1
    )


def given(containers: Sequence[Given]) -> bytes:
    """Encode an ``AllocateResponse``, in the order of the request."""
    return b"".join(text_field(1, each.to_bytes()) for each in containers)
