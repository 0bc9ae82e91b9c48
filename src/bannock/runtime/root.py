"""The private root: what the application sees as ``/``, in a mount namespace that nobody else looks into.

The host's files appear in it as they are; volumes, bound directories and injected files are put over them without a
trace on the host. Files that were measured are replaced by copies in memory, so that what was measured is what runs.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock import linux
from bannock.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PrivateRoot"]

#: Where the new root is put together; one of these directories is on every system.
_WORKSHOPS: Final = ("/tmp", "/run", "/var", "/mnt", "/usr")  # noqa: S108 # only as a mount point, in our namespace
_STORE: Final = Path("/.bannock")
_TMPFS: Final = "mode=0755"
_MAX_COPY_BYTES: Final = 2 << 30


class PrivateRoot:
    """The root of this process and its children, from :meth:`enter` on."""

    def __init__(self) -> None:
        self._copies = 0

    @classmethod
    def enter(cls) -> PrivateRoot:
        """Move this process, which must have one thread, into a private mount namespace with a root of its own.

        Raises:
            EnvironmentFault: the kernel or the container does not allow it.
        """
        directory = Path.cwd()
        try:
            _new_namespaces()
            _assemble()
        except OSError as error:
            raise EnvironmentFault(
                f"cannot make a private root for the application: {error.strerror}",
                hint="run as root with CAP_SYS_ADMIN, or allow unprivileged user namespaces "
                "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0)",
            ) from error
        with suppress(OSError):
            os.chdir(directory)
        return cls()

    def bind(self, source: Path, target: Path) -> None:
        """Show a directory of the host at another place, unchangeable from there.

        Raises:
            InputError: there is no such directory.
        """
        if not source.is_dir():
            raise InputError(f"cannot bind {source}: there is no such directory")
        descriptor = os.open(source, os.O_PATH | os.O_DIRECTORY)
        try:
            place = self.directory(target)
            linux.mount(f"/proc/self/fd/{descriptor}", place, None, linux.MS_BIND | linux.MS_REC)
            flags = linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | linux.flags_in_force(place)
            linux.mount(None, place, None, flags)
        except OSError as error:
            raise EnvironmentFault(f"cannot bind {source} to {target}: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def directory(self, path: Path) -> Path:
        """Return a directory to mount on, made in the private root if it is not there.

        Raises:
            InputError: something else than a directory stands there.
            EnvironmentFault: the kernel refuses.
        """
        if path.is_dir():
            return path
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} is to be a directory, and something else stands there")
        try:
            self._make_room(path.parent)
            path.mkdir()
        except OSError as error:
            raise EnvironmentFault(f"cannot make {path} in the private root: {error.strerror}") from error
        return path

    def memory(self, path: Path, *, size: int | None = None) -> Path:
        """Mount memory that is never written to disk at a path, and return it.

        Raises:
            EnvironmentFault: the kernel refuses.
        """
        place = self.directory(path)
        options = "mode=0700" + (f",size={size}" if size is not None else ",size=90%")
        flags = linux.MS_NOSUID | linux.MS_NODEV
        try:
            # noswap came with Linux 6.4; before that, a host with swap may page it out.
            with suppress(OSError):
                linux.mount("bannock", place, "tmpfs", flags, f"{options},noswap")
                return place
            linux.mount("bannock", place, "tmpfs", flags, options)
        except OSError as error:
            raise EnvironmentFault(f"cannot mount memory at {path}: {error.strerror}") from error
        return place

    def place(self, path: Path, content: bytes, mode: int) -> None:
        """Let a file appear that exists in memory only.

        Raises:
            EnvironmentFault: the kernel refuses.
        """
        try:
            if not path.exists():
                self.directory(path.parent)
                self._make_room(path.parent)
                path.touch(mode=0o400)
            self._cover(path, content, mode)
        except OSError as error:
            raise EnvironmentFault(f"cannot place {path}: {error.strerror}") from error

    def freeze(self, paths: Iterable[str]) -> None:
        """Replace files by copies in memory: nobody changes them between their measurement and their use.

        Raises:
            EnvironmentFault: a file cannot be read, or the memory does not suffice.
        """
        try:
            for name in paths:
                path = Path(name)
                with path.open("rb") as file:
                    status = os.fstat(file.fileno())
                    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_COPY_BYTES:
                        raise InputError(f"{path} is no file that can be measured")
                    self._cover(path, file.read(), stat.S_IMODE(status.st_mode) & ~0o222)
        except OSError as error:
            raise EnvironmentFault(f"cannot keep {error.filename} in memory: {error.strerror}") from error

    def _cover(self, path: Path, content: bytes, mode: int) -> None:
        self._copies += 1
        copy = _STORE / str(self._copies)
        with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        copy.chmod(mode)
        linux.mount(copy, path, None, linux.MS_BIND)

    def _make_room(self, directory: Path) -> None:
        """Let names be made in a directory without making them on the host: a directory in memory takes its place."""
        if not directory.exists():
            self._make_room(directory.parent)
            directory.mkdir()
        if directory.stat().st_dev == Path("/").stat().st_dev:
            return
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self._copies += 1
            instead = _STORE / str(self._copies)
            instead.mkdir()
            _mirror(Path(f"/proc/self/fd/{descriptor}"), instead)
            linux.mount(instead, directory, None, linux.MS_BIND | linux.MS_REC)
        finally:
            os.close(descriptor)


def _new_namespaces() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        with suppress(OSError):
            linux.unshare(linux.CLONE_NEWNS)
            return
    linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
    with suppress(FileNotFoundError):
        Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1\n")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1\n")


def _assemble() -> None:
    """Put a root in memory together from the entries of the old one, and go there."""
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    workshop = next((Path(name) for name in _WORKSHOPS if Path(name).is_dir()), None)
    if workshop is None:
        raise OSError(errno.ENOENT, f"none of {', '.join(_WORKSHOPS)} is a directory")
    linux.mount("bannock", workshop, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, _TMPFS)
    os.chdir(workshop)
    Path("old").mkdir()
    linux.pivot_root(".", "old")
    os.chdir("/")
    Path("new").mkdir()
    linux.mount("bannock", "/new", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, _TMPFS)
    _mirror(Path("/old"), Path("/new"))
    Path("/new/.bannock").mkdir(mode=0o700)
    os.chdir("/new")
    linux.pivot_root(".", ".")
    linux.unmount(".")
    os.chdir("/")


def _mirror(source: Path, target: Path) -> None:
    """Let every entry of a directory appear in another one."""
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        status = entry.lstat()
        if stat.S_ISLNK(status.st_mode):
            place.symlink_to(entry.readlink())
            continue
        if stat.S_ISDIR(status.st_mode):
            place.mkdir()
        else:
            place.touch()
        linux.mount(entry, place, None, linux.MS_BIND | linux.MS_REC)
