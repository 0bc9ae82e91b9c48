"""The system calls that Python 3.11 does not offer: namespaces, mounts, process attributes.

Thin: a call, and OSError with what was tried. Constants are those of the kernel's headers.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "CLONE_NEWIPC",
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
    "attach_mount",
    "change_root",
    "die_with_parent",
    "enter_root",
    "exit_code",
    "flags_in_force",
    "foreign_owners",
    "hide_memory",
    "is_hidden",
    "keep_hidden",
    "mount",
    "named_thread",
    "open_in_root",
    "pivot_root",
    "show_memory",
    "unmount",
    "unreadable_mount",
    "unshare",
]

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWIPC: Final = 0x08000000
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
#: What exit codes of shells begin with where a signal was the end (POSIX says: above 128).
_SIGNAL_BASE: Final = 128
_PR_SET_PDEATHSIG: Final = 1
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_GET_NAME: Final = 16
_PR_SET_CHILD_SUBREAPER: Final = 36
#: Numbers of system calls; those from 424 on are the same everywhere.
_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_OPENAT2: Final = 437
_SYS_MOUNT_SETATTR: Final = 442
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_OPEN_TREE_CLONE: Final = 1
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_MOUNT_ATTR_IDMAP: Final = 0x00100000
_RESOLVE_IN_ROOT: Final = 0x10
_SYS_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
#: Machine → its number for audit and seccomp(2), and those of prctl(2) and seccomp(2).
_FILTERED: Final = {"x86_64": (0xC000003E, 157, 317), "aarch64": (0xC00000B7, 167, 277)}
_BPF_LOAD: Final = 0x20
_BPF_EQUAL: Final = 0x15
_BPF_RETURN: Final = 0x06
_SECCOMP_SET_MODE_FILTER: Final = 1
#: A filter that is for nothing but this is no reason to make everything slower (spectre, kernels before 5.16).
_SECCOMP_SPEC_ALLOW: Final = 4
_SECCOMP_RET_ERRNO: Final = 0x00050000
_SECCOMP_RET_ALLOW: Final = 0x7FFF0000


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


def foreign_owners() -> int:
    """Return a user namespace in which the files of this process's user 0 are nobody's, for :func:`unreadable_mount`.

    Raises:
        OSError: the kernel refuses.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = os.fork()
        if process == 0:
            try:
                # Not in a namespace that anything is to be seen in, for it is shown for a moment.
                unshare(CLONE_NEWUSER | CLONE_NEWNS)
                show_memory()
                for name, text in (("setgroups", "deny"), ("uid_map", "1 0 1\n"), ("gid_map", "1 0 1\n")):
                    with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - as little as can be
                        file.write(text)
                socket.send_fds(theirs, [b"+"], [os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)])
            except OSError as error:
                theirs.send(str(error.errno).encode())
            finally:
                os._exit(0)
        theirs.close()
        try:
            told, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
        finally:
            os.waitpid(process, 0)
    if not descriptors:
        number = int(told or errno.EPERM)
        raise OSError(number, f"make a user namespace: {os.strerror(number)}")
    os.set_inheritable(descriptors[0], False)  # noqa: FBT003 # it takes no name
    return descriptors[0]


def unreadable_mount(file: str | Path, namespace: int) -> int:
    """Return a mount of a file by which nobody is its owner or has its group, whatever rights he has.

    The kernel gives the rights of others alone there: a program without theirs to read is started, and not read. Who
    starts it has a memory that is closed (would_dump() in fs/exec.c): to who has no CAP_SYS_PTRACE, also over a user
    namespace that is his own. It takes Linux 6.3 for files in memory.

    Raises:
        OSError: the kernel refuses.
    """
    path = os.fsencode(file)
    mount = _descriptor(_libc().syscall(_SYS_OPEN_TREE, _AT_FDCWD, path, _OPEN_TREE_CLONE | os.O_CLOEXEC), "open_tree")
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_IDMAP, 0, 0, namespace)
    size = ctypes.sizeof(attributes)
    try:
        _check(
            _libc().syscall(_SYS_MOUNT_SETATTR, mount, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size),
            "mount_setattr",
        )
    except OSError:
        os.close(mount)
        raise
    return mount


def attach_mount(mount: int, target: str | Path) -> None:
    """Put a mount that is nowhere yet at its place (move_mount(2))."""
    result = _libc().syscall(_SYS_MOVE_MOUNT, mount, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    _check(result, f"move_mount to {target}")


def _descriptor(result: int, what: str) -> int:
    if result < 0:
        _check(result, what)
    return int(result)


def exit_code(returned: int) -> int:
    """Give what a shell would say of how a child ended: 128 + n for signal n.

    Args:
        returned: as Python has it, -n for signal n.
    """
    return returned if returned >= 0 else _SIGNAL_BASE - returned


def die_with_parent(signal: int) -> None:
    """Receive a signal when the parent's thread that made this process ends."""
    _check(_libc().prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _check(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def hide_memory() -> None:
    """Keep this process's memory from core dumps and from tracers without CAP_SYS_PTRACE."""
    _check(_libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def is_hidden() -> bool:
    """Whether this process's memory is kept so."""
    return bool(_libc().prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 1)


def keep_hidden() -> None:
    """Have this process, and all that it starts, keep the memory as hidden as it is.

    Servers that change their user show it again, so that they can be debugged. That call does nothing from now on, and
    succeeds. It takes CAP_SYS_ADMIN over this process's user namespace.

    Raises:
        OSError: the kernel refuses.
    """
    audit, prctl, seccomp = _FILTERED[os.uname().machine]
    lines = (
        (_BPF_LOAD, 0, 0, 4),  # struct seccomp_data: arch
        (_BPF_EQUAL, 0, 7, audit),
        (_BPF_LOAD, 0, 0, 0),  # nr
        (_BPF_EQUAL, 0, 5, prctl),
        (_BPF_LOAD, 0, 0, 16),  # args[0]
        (_BPF_EQUAL, 0, 3, _PR_SET_DUMPABLE),
        (_BPF_LOAD, 0, 0, 24),  # args[1]
        (_BPF_EQUAL, 1, 0, 0),
        (_BPF_RETURN, 0, 0, _SECCOMP_RET_ERRNO),
        (_BPF_RETURN, 0, 0, _SECCOMP_RET_ALLOW),
    )
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    program = struct.pack("@HP", len(lines), ctypes.addressof(kept := ctypes.create_string_buffer(code, len(code))))
    _check(_libc().syscall(seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_SPEC_ALLOW, program), "seccomp")
    del kept


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
