"""The machine: kernel, memory, clock, limits, and whether the kernel lets programs be shielded."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.doctor.finding import Finding, State
from bannock.errors import EnvironmentFault
from bannock.runtime.root import PrivateRoot
from bannock.shield.fuse.device import try_mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["found_out", "look_at_machine", "parsed_version", "synchronised"]

#: Below it, nobody has tried. 6.3 lets root in a container be kept from what an application sees (docs/images.md).
_KERNEL: Final = (5, 10)
_KERNEL_WANTED: Final = (6, 3)
_ARCHITECTURES: Final = ("x86_64",)
_MEMORY_WANTED: Final = 1 << 30
_FILES_WANTED: Final = 1024
_MEBI: Final = 1 << 20
#: adjtimex(2): the return value, and the flag, that say that nobody sets the clock.
_TIME_ERROR: Final = 5
_STA_UNSYNC: Final = 0x40
_STATUS_OFFSET: Final = 40
_TIMEX_BYTES: Final = 512
#: No machine of today has an earlier one.
_EPOCH_SECONDS: Final = 1_760_000_000
#: What a trial says that has not failed.
_DONE: Final = b"\0"


def look_at_machine(now: float) -> Iterator[Finding]:
    """Look at the machine.

    Args:
        now: the time, in seconds of Unix.
    """
    yield _system()
    yield _kernel(platform.release())
    yield _memory()
    yield _clock(now, synchronised())
    yield _files()
    yield from _shielding()


def parsed_version(text: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with."""
    numbers: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def _system() -> Finding:
    machine = platform.machine()
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        name = "Linux"
    return Finding.judged(
        "system", f"{name}, {machine}, {os.cpu_count()} processors",
        good=machine in _ARCHITECTURES, hint=f"Bannock is tried on {', '.join(_ARCHITECTURES)} alone",
    )  # fmt: skip


def _kernel(release: str) -> Finding:
    version = parsed_version(release)
    if version < _KERNEL:
        return Finding(
            what="kernel", state=State.PROBLEM, found=f"Linux {release}", hint="Linux 5.10 or newer is needed"
        )
    return Finding.judged(
        "kernel", f"Linux {release}", good=version >= _KERNEL_WANTED,
        hint="from Linux 6.3 on, /proc of a protected container tells its root nothing of the application",
    )  # fmt: skip


def _memory() -> Finding:
    free = _meminfo().get("MemAvailable")
    if free is None:
        return Finding(what="memory", state=State.WARNING, found="unknown", hint="mount /proc")
    return Finding.judged(
        "memory", f"{free / _MEBI:.0f} MiB are available", good=free >= _MEMORY_WANTED,
        hint="images are built, and volumes without FUSE opened, in memory: 1 GiB should be there",
    )  # fmt: skip


def _meminfo() -> dict[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    values = (line.partition(":") for line in lines)
    return {name: int(value.split()[0]) * 1024 for name, _, value in values if value.split()[:1]}


def _clock(now: float, kept: bool | None) -> Finding:  # noqa: FBT001 - a fact that was found
    hint = "install and start what sets it: systemd-timesyncd or chrony"
    if now < _EPOCH_SECONDS:
        return Finding(what="clock", state=State.PROBLEM, found="is years behind, so certificates fail", hint=hint)
    if kept is None:
        return Finding(what="clock", state=State.OK, found="is set; who keeps it right is not known here")
    found = "is kept right by a time service" if kept else "nobody keeps it right, as far as the kernel knows"
    return Finding.judged("clock", found, good=kept, hint=hint)


def synchronised() -> bool | None:
    """Ask the kernel whether somebody keeps its clock right (adjtimex(2)); None where it does not say."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    status = ctypes.c_int.from_buffer(buffer, _STATUS_OFFSET).value
    return state != _TIME_ERROR and not status & _STA_UNSYNC


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    known = "without limit" if soft == resource.RLIM_INFINITY else f"{soft} at once"
    return Finding.judged(
        "open files", known, good=soft in (resource.RLIM_INFINITY, max(soft, _FILES_WANTED)),
        hint=f"ulimit -n {_FILES_WANTED if hard == resource.RLIM_INFINITY else hard}: each client takes one",
    )  # fmt: skip


def _shielding() -> Iterator[Finding]:
    """Try what a runtime does first, in a process that ends at once."""
    refused = found_out(_enter)
    yield Finding.judged(
        "private root", refused or "programs get a root of their own", good=not refused, otherwise=State.PROBLEM,
        hint="run as root with CAP_SYS_ADMIN, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, "
        "user.max_user_namespaces above 0, kernel.apparmor_restrict_unprivileged_userns=0",
    )  # fmt: skip
    if not refused:
        refused = found_out(_mount)
        yield Finding.judged(
            "fuse", f"{refused}: volumes are opened in memory, and have to fit" if refused else "volumes are mounted",
            good=not refused, hint="modprobe fuse; in a container: --device /dev/fuse",
        )  # fmt: skip


def _enter() -> None:
    PrivateRoot.enter()


def _mount() -> None:
    root = PrivateRoot.enter()
    try:
        try_mount(root.directory(Path(tempfile.gettempdir()) / "bannock-doctor"))
    except OSError as error:
        raise EnvironmentFault(error.strerror or str(error)) from error


def found_out(act: Callable[[], None]) -> str:
    """Do something in a process of its own, which ends; return why it failed, nothing if it did not.

    The caller must have one thread.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = _DONE
        try:
            act()
        except EnvironmentFault as error:
            told = error.message.encode()
        except BaseException as error:  # noqa: BLE001 - the end of a process of ours
            told = f"{type(error).__name__}".encode()
        finally:
            os.write(writing, told)
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:  # noqa: PTH123 - a descriptor
        told = stream.read()
    os.waitpid(child, 0)
    return "" if told == _DONE else told.decode() or "what was tried has ended without a word"
