"""What a node can give to containers: resources, and the devices behind them. Looks at devices, opens none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.kubernetes.device_plugin.messages import Given

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["PLATFORMS", "RESOURCES", "Resource", "found", "platforms", "resources_named"]

#: Of each device, the name that Linux gives it today before those of older drivers.
_SGX_DCAP: Final = ("/dev/sgx_enclave", "/dev/sgx/enclave", "/dev/sgx")
_SGX_IAS: Final = ("/dev/isgx",)
_SGX: Final = (*_SGX_DCAP, *_SGX_IAS)
_SGX_PROVISION: Final = ("/dev/sgx_provision", "/dev/sgx/provision")
_TDX: Final = ("/dev/tdx_guest", "/dev/tdx-guest", "/dev/tdx-attest")
_SNP: Final = ("/dev/sev-guest",)
_TPM: Final = ("/dev/tpmrm0", "/dev/tpm0")
_FUSE: Final = ("/dev/fuse",)
#: Where quotes of guests are asked for since Linux 6.7 (Documentation/ABI/testing/configfs-tsm).
_TSM: Final = "/sys/kernel/config/tsm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource.

    Attributes:
        name: that containers ask for it by.
        devices: all that it takes; of each, the names that it may have.
        optional: that it gives too where they are there.
        mounts: directories that it gives where they are there.
    """

    name: str
    devices: tuple[tuple[str, ...], ...]
    optional: tuple[tuple[str, ...], ...] = ()
    mounts: tuple[str, ...] = ()

    @property
    def socket(self) -> str:
        """The name of the socket that it is served at."""
        return f"bannock-{self.name.replace('/', '_')}.sock"


#: The first four are those of SCONE's plugin; then names that other plugins have for the same, and ours.
RESOURCES: Final = (
    Resource(name="sgx.intel.com/enclave", devices=(_SGX,)),
    Resource(name="sgx.k8s.io/sgx", devices=(_SGX,)),
    Resource(name="sgx.k8s.io/dcap", devices=(_SGX_DCAP,), optional=(_SGX_PROVISION,)),
    Resource(name="sgx.k8s.io/ias", devices=(_SGX_IAS,)),
    Resource(name="sgx.intel.com/provision", devices=(_SGX_PROVISION,)),
    Resource(name="intel.com/tdx", devices=(_TDX,), mounts=(_TSM,)),
    Resource(name="tdx.intel.com/tdx-guest", devices=(_TDX,), mounts=(_TSM,)),
    Resource(name="amd.com/sev-snp", devices=(_SNP,), mounts=(_TSM,)),
    Resource(name="bannock.dev/tpm", devices=(_TPM,)),
    Resource(name="bannock.dev/fuse", devices=(_FUSE,)),
)
#: Platform → devices by which a node has it.
PLATFORMS: Final = {"sgx": _SGX, "tdx": _TDX, "sev-snp": _SNP, "tpm": _TPM}


def resources_named(names: Iterable[str]) -> tuple[Resource, ...]:
    """Return resources by their names; all for none.

    Raises:
        InputError: there is no such resource.
    """
    known = {resource.name: resource for resource in RESOURCES}
    wanted = tuple(names)
    for name in wanted:
        if name not in known:
            raise InputError(f"there is no resource {name[:80]!r}", hint=f"there are: {', '.join(known)}")
    return tuple(known[name] for name in wanted) or RESOURCES


def found(resource: Resource, root: Path) -> Given | None:
    """Return what a node gives to who asks for a resource; None if it has not got all of it.

    Args:
        resource: what is asked for.
        root: where the names of the node's devices start.
    """
    needed = [_device(names, root) for names in resource.devices]
    if None in needed:
        return None
    more = [_device(names, root) for names in resource.optional]
    return Given(
        devices=tuple(name for name in (*needed, *more) if name is not None),
        mounts=tuple(path for path in resource.mounts if (root / path[1:]).is_dir()),
    )


def platforms(root: Path) -> frozenset[str]:
    """Return which platforms a node has a device of."""
    return frozenset(name for name, devices in PLATFORMS.items() if _device(devices, root) is not None)


def _device(names: Iterable[str], root: Path) -> str | None:
    return next((name for name in names if (root / name[1:]).is_char_device()), None)
