"""What a container would have to be started with so that a runtime in it can do its work.

Asks the kernel about this process, and says it in the words of ``docker run``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["missing_options"]

_SYS_ADMIN: Final = 1 << 21
_FILTERED: Final = "2"
_FUSE: Final = Path("/dev/fuse")
_PROFILE: Final = Path("/proc/self/attr/current")


def missing_options(status: Path = Path("/proc/self/status"), profile: Path = _PROFILE, fuse: Path = _FUSE) -> str:
    """Return the options that are missing for volumes with FUSE, and those for volumes in memory.

    Args:
        status: what the kernel says of this process.
        profile: what a security module says of it.
        fuse: the device.
    """
    fields = _fields(status)
    allowed = int(fields.get("CapBnd", "0"), 16) & _SYS_ADMIN
    unconfined = [] if not _confined(profile) else ["--security-opt apparmor=unconfined"]
    device = [] if fuse.exists() else ["--device /dev/fuse"]
    # A filter that is gone gives less away than a capability, which everything in the container then has.
    filtered = fields.get("Seccomp") == _FILTERED
    rights = [] if allowed else ["--security-opt seccomp=unconfined" if filtered else "--cap-add SYS_ADMIN"]
    with_fuse = " ".join([*device, *rights, *unconfined])
    memory = " ".join([*rights, *unconfined])
    if not memory:
        return "allow mounts in this container (its capabilities are there)"
    choice = f"docker run {with_fuse} …"
    if memory != with_fuse:
        choice += f", or with volumes in memory docker run {memory} …"
    return choice


def _fields(status: Path) -> dict[str, str]:
    try:
        lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}


def _confined(profile: Path) -> bool:
    try:
        return "(enforce)" in profile.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
