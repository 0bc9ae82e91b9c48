"""What attests programs on this machine, and whether this user may use it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.doctor.finding import Finding, State
from bannock.execution.hosts.facts import TEE_DEVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["look_at_devices"]

_TSM: Final = Path("sys/kernel/config/tsm/report")
_FLAGS: Final = {"sgx": "sgx", "tdx_guest": "tdx", "sev_snp": "sev-snp"}
_GROUPS: Final = {"sgx": "sgx", "tpm": "tss"}


def look_at_devices(root: Path = Path("/")) -> Iterator[Finding]:
    """Look at devices.

    Args:
        root: where their names start.
    """
    found: set[str] = set()
    for name, kind in TEE_DEVICES.items():
        path = root / name[1:]
        if kind in found or not path.exists():
            continue
        found.add(kind)
        usable = os.access(path, os.R_OK | os.W_OK)
        group = _GROUPS.get(kind)
        yield Finding.judged(
            kind, name if usable else f"{name} is there, and this user may not use it", good=usable,
            hint=f"usermod -aG {group} $USER, and log in again" if group else "run the LAS as root",
        )  # fmt: skip
    for kind in sorted(found & {"tdx", "sev-snp"}):
        there = (root / _TSM).is_dir()
        yield Finding.judged(
            "quotes", f"/{_TSM}" if there else f"{kind}: there is no /{_TSM}", good=there,
            hint="Linux 6.7 or newer, with configfs: mount -t configfs none /sys/kernel/config",
        )  # fmt: skip
    for kind in sorted(_of_processor(root) - found):
        yield Finding(
            what=kind,
            state=State.WARNING,
            found="the processor has it, and there is no device",
            hint="the kernel's driver is missing, or the firmware has it switched off",
        )
    if not found:
        yield Finding(
            what="attestation",
            state=State.WARNING,
            found="no device of sgx, tdx, sev-snp or tpm: platform sim, which protects nothing from whoever owns this",
            hint="fine for trying things out; docs/platforms.md says what protects",
        )


def _of_processor(root: Path) -> set[str]:
    """Return the platforms that the processor says it has."""
    try:
        lines = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return {kind for flag, kind in _FLAGS.items() if flag in flags}
