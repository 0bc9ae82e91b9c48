"""The system calls that Python 3.11 does not offer: namespaces, mounts, process attributes.

Thin: a call, and OSError with what was tried. Constants are those of the kernel's headers.
"""

from __future__ import annotations

import ctypes
import functools
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "CLONE_NEWNS",
    "CLONE_NEWUSER",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "adopt_orphans",
    "change_root",
    "die_with_parent",
    "enter_root",
    "flags_in_force",
    "hide_memory",
    "mount",
    "named_thread",
    "open_in_root",
    "pivot_root",
    "show_memory",
    "unmount",
    "unshare",
]

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
_MS_MOVE: Final = 8192
_MS_RELATIME: Final = 1 << 21
_MNT_DETACH: Final = 2
#: The flags that statvfs(3) and mount(2) number alike.
_SAME_FLAGS: Final = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_GET_NAME: Final = 16
_PR_SET_CHILD_SUBREAPER: Final = 36
_SYS_OPENAT2: Final = 437
_RESOLVE_IN_ROOT: Final = 0x10
_SYS_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones (unshare(2))."""
    _check(_libc().unshare(flags), "unshare")


def mount(source: str | Path | None, target: str | Path, kind: str | None, flags: int, options: str = "") -> None:
    """Mount (mount(2))."""
    result = _libc().mount(
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(result, f"mount {kind or source} on {target}")


def flags_in_force(target: str | Path) -> int:
    """Return the flags of a mount; in a user namespace, those of the host cannot be taken away by a remount."""
    flags = os.statvfs(target).f_flag
    return (flags & _SAME_FLAGS) | (_MS_RELATIME if flags & os.ST_RELATIME else 0)


def unmount(target: str | Path) -> None:
    """Take a mount out of the tree; it ends when nothing uses it any more."""
    _check(_libc().umount2(os.fsencode(target), _MNT_DETACH), f"unmount {target}")


def pivot_root(new: str | Path, old: str | Path) -> None:
    """Make ``new`` the root and put the old root at ``old`` (pivot_root(2))."""
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _check(_libc().syscall(number, os.fsencode(new), os.fsencode(old)), "pivot_root")


def open_in_root(root: int, path: str | Path, flags: int) -> int:
    """Open a path as it is seen by who has the directory ``root`` as ``/``, links included (openat2(2))."""
    how = (ctypes.c_uint64 * 3)(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    result = _libc().syscall(_SYS_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(path))
    return int(result)


def change_root(new: str) -> None:
    """Have a mount for ``/``, in a mount namespace of this process's own, and let go of the root that was."""
    unshare(CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    enter_root(new)


def enter_root(new: str) -> None:
    """Have a mount for ``/``, and let go of the root that was; the mounts of this namespace are private.

    Container engines filter pivot_root(2) out also where mounting is allowed. There the old root stays, below the new
    one, where no path leads.
    """
    os.chdir(new)
    try:
        pivot_root(".", ".")
    except PermissionError:
        mount(".", "/", None, _MS_MOVE)
        os.chroot(".")
    else:
        unmount(".")
    os.chdir("/")


def die_with_parent(signal: int) -> None:
    """Receive a signal when the parent's thread that made this process ends."""
    _check(_libc().prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _check(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def hide_memory() -> None:
    """Keep this process's memory from core dumps and from tracers without CAP_SYS_PTRACE."""
    _check(_libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


@contextmanager
def named_thread(name: str) -> Iterator[None]:
    """Have this thread go by another name, of at most 15 bytes, for a while."""
    before = ctypes.create_string_buffer(16)
    _check(_libc().prctl(_PR_GET_NAME, before, 0, 0, 0), "prctl(PR_GET_NAME)")
    _check(_libc().prctl(_PR_SET_NAME, name.encode("ascii"), 0, 0, 0), "prctl(PR_SET_NAME)")
    try:
        yield
    finally:
        _check(_libc().prctl(_PR_SET_NAME, before, 0, 0, 0), "prctl(PR_SET_NAME)")


def show_memory() -> None:
    """Let this process be looked into by others of its user, which a change of user ends (PR_SET_DUMPABLE)."""
    _check(_libc().prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")
