"""The machine that is measured on: what it is, and its caches."""

from __future__ import annotations

import os
import platform
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import cryptography

import bannock

__all__ = ["can_drop_caches", "drop_caches", "facts"]

_DROP: Final = Path("/proc/sys/vm/drop_caches")
_EVERYTHING: Final = "3"
_VERSIONS: Final = (
    ("gocryptfs", ("gocryptfs", "--version")),
    ("bindfs", ("bindfs", "--version")),
    ("fio", ("fio", "--version")),
    ("age", ("age", "--version")),
)


def can_drop_caches() -> bool:
    """Say whether the kernel lets us empty its caches."""
    try:
        drop_caches()
    except OSError:
        return False
    return True


def drop_caches() -> None:
    """Write everything to the disk, and have the kernel forget file contents, names and inodes.

    Raises:
        OSError: we may not.
    """
    os.sync()
    _DROP.write_text(_EVERYTHING, encoding="ascii")


def facts(directory: Path) -> dict[str, str]:
    """Say what machine, disk and versions these are."""
    found = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{_cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "storage": _file_system(directory),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "Bannock": f"{bannock.__version__} ({_commit()}), Python {platform.python_version()}, "
        f"cryptography {cryptography.__version__}, {ssl.OPENSSL_VERSION}",
    }
    for name, command in _VERSIONS:
        found[name] = _first_line(command) if shutil.which(command[0]) else "not installed"
    return found


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _file_system(directory: Path) -> str:
    """Say on what a directory lies, after /proc/self/mountinfo (proc(5))."""
    best = ("", "unknown")
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4]
        kind, source = rest.split()[:2]
        if directory.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, f"{kind} on {source}" if source.startswith("/") else f"{kind} (memory)")
    return best[1]


def _commit() -> str:
    """Return the commit of the source that is measured, marked where it was changed."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    return _first_line(tuple(command)) if shutil.which("git") else "unknown"


def _first_line(command: tuple[str, ...]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if lines and not done.returncode else "unknown"


if sys.platform != "linux":
    raise SystemExit("the benchmark needs Linux")
