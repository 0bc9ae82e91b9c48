"""The private root: what the application sees as ``/``, in a mount namespace that nobody else looks into.

The host's files appear in it as they are; volumes, bound directories and injected files are put over them without a
trace on the host. Files that were measured are replaced by copies in memory, so that what was measured is what runs.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from bannock import linux
from bannock.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = ["KERNEL_TREES", "PrivateRoot"]

#: Where the new root is put together; one of these directories is on every system, and the last one in every image.
_WORKSHOPS: Final = ("/tmp", "/run", "/var", "/mnt", "/usr", "/opt")  # noqa: S108 # only as a mount point, in our namespace
_STORE: Final = Path("/.bannock")
#: Where the application's root is, if it has one of its own.
_TOP: Final = Path("/.bannock/root")
#: What the kernel makes up and nobody stores.
KERNEL_TREES: Final = (Path("/proc"), Path("/dev"), Path("/sys"))
_TMPFS: Final = "mode=0755"
#: Memory that processes share, by System V's ways and by those of POSIX, is the application's own.
_OWN: Final = linux.CLONE_NEWNS | linux.CLONE_NEWIPC
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 # another one is mounted there
_MAX_COPY_BYTES: Final = 2 << 30
_CLOSED: Final = 0o551
_COPY_BYTES: Final = 64 << 20
#: A file system that has no sendfile(2).
_NOT_HERE: Final = frozenset({errno.EINVAL, errno.ENOSYS})


class PrivateRoot:
    """The root of this process and its children, from :meth:`enter` on.

    The application may get another one, below it (:meth:`use_top`); paths are then those that the application sees.

    Attributes:
        host: the root of the host, or of the container: new names in ``/`` are made there, and not in memory.
    """

    def __init__(self, host: int) -> None:
        self.host = Path(f"/proc/self/fd/{host}")
        self._copies = 0
        self._frozen: dict[str, Path] = {}
        self._top: int | None = None

    @property
    def top(self) -> Path | None:
        """Where the application's root is, if it has one of its own."""
        return None if self._top is None else _TOP

    def use_top(self, source: Path | None) -> None:
        """Give the application a root of its own: a directory, or memory.

        Raises:
            EnvironmentFault: the kernel refuses.
        """
        try:
            _TOP.mkdir()
            if source is None:
                linux.mount("bannock", _TOP, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, _TMPFS)
            else:
                linux.mount(source, _TOP, None, linux.MS_BIND)
            self._top = os.open(_TOP, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentFault(f"cannot make the application's root: {error.strerror}") from error

    def show_kernel_trees(self) -> None:
        """Show what the kernel makes up in the application's own root, if it has one.

        Raises:
            OSError: the kernel refuses.
        """
        for tree in KERNEL_TREES if self._top is not None else ():
            if tree.is_dir():
                self.show(tree, tree)

    def show(self, source: Path, target: Path) -> None:
        """Show a directory or a file of this process's root at a path of the application's, as it is.

        Raises:
            OSError: the kernel refuses.
        """
        if source.is_dir():
            self.directory(target)
        else:
            self._make_file(target)
        with self._at(target) as place:
            linux.mount(source, place, None, linux.MS_BIND | linux.MS_REC)

    @contextmanager
    def _at(self, path: Path) -> Iterator[Path]:
        """Give a path of ours for one that the application sees."""
        if self._top is None:
            yield path
            return
        descriptor = linux.open_in_root(self._top, path, os.O_PATH)
        try:
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)

    @classmethod
    def enter(cls) -> PrivateRoot:
        """Move this process, which must have one thread, into a private mount namespace with a root of its own.

        Raises:
            EnvironmentFault: the kernel or the container does not allow it.
        """
        directory = Path.cwd()
        host = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _new_namespaces()
            _assemble()
            _own_shared_memory()
        except OSError as error:
            raise EnvironmentFault(
                f"cannot make a private root for the application: {error.strerror}",
                hint="run as root with CAP_SYS_ADMIN, or allow unprivileged user namespaces "
                "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0)",
            ) from error
        with suppress(OSError):
            os.chdir(directory)
        return cls(host)

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
        with suppress(FileNotFoundError), self._at(path) as place:
            if place.is_dir():
                return path
            if place.exists() or path.is_symlink():
                raise InputError(f"{path} is to be a directory, and something else stands there")
        try:
            if self._top is None:
                self._make_room(path.parent)
                path.mkdir()
            else:
                self.directory(path.parent)
                with self._at(path.parent) as parent:
                    (parent / path.name).mkdir()
        except OSError as error:
            raise EnvironmentFault(f"cannot make {path} in the private root: {error.strerror}") from error
        return path

    def memory(self, path: Path, *, size: int | None = None) -> Path:
        """Mount memory that is never written to disk at a path, and return it.

        Raises:
            EnvironmentFault: the kernel refuses.
        """
        self.directory(path)
        options = "mode=0700" + (f",size={size}" if size is not None else ",size=90%")
        try:
            with self._at(path) as place:
                _mount_memory(place, options)
        except OSError as error:
            raise EnvironmentFault(f"cannot mount memory at {path}: {error.strerror}") from error
        return self.outer(path)

    def outer(self, path: Path) -> Path:
        """Return the path of ours for one that the application sees, if no link is on the way."""
        return path if self._top is None else _TOP / path.relative_to("/")

    def place(self, path: Path, content: bytes, mode: int) -> Path:
        """Let a file appear that exists in memory only; return where its content is kept, for who changes it.

        Raises:
            EnvironmentFault: the kernel refuses.
        """
        try:
            self._make_file(path)
            copy = self._copy(content, mode)
            self._cover(path, copy)
        except OSError as error:
            raise EnvironmentFault(f"cannot place {path}: {error.strerror}") from error
        return copy

    def freeze(self, paths: Iterable[str], closed: Collection[str] = ()) -> Mapping[str, Path]:
        """Replace files by copies in memory: nobody changes them between their measurement and their use.

        Returns where the copy of each is.

        Args:
            paths: canonical paths of the files.
            closed: those of them that only their owner reads, and everybody runs.

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
                    mode = _CLOSED if name in closed else stat.S_IMODE(status.st_mode) & ~0o222
                    copy = self._copy(file, mode)
                self._frozen[name] = copy
                self._cover(path, copy)
        except OSError as error:
            raise EnvironmentFault(f"cannot keep {error.filename} in memory: {error.strerror}") from error
        return self._frozen

    def freeze_top(self, links: Mapping[str, str]) -> None:
        """Put what is frozen over what was mounted since, under its other names as well.

        That is into a root of the application's own, and into a region that the program happens to be in.

        Args:
            links: other name → path of a frozen file.

        Raises:
            EnvironmentFault: the kernel refuses.
        """
        others = {name: self._frozen[path] for name, path in links.items()}
        try:
            for name, copy in {**self._frozen, **others}.items():
                if not self._is(Path(name), copy):
                    self._make_file(Path(name))
                    self._cover(Path(name), copy)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot put {error.filename} into the application's root: {error.strerror}"
            ) from error

    def _copy(self, content: bytes | BinaryIO, mode: int) -> Path:
        self._copies += 1
        copy = _STORE / str(self._copies)
        with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                _copy_file(content, file)
        copy.chmod(mode)
        return copy

    def _cover(self, path: Path, copy: Path) -> None:
        with self._at(path) as place:
            linux.mount(copy, place, None, linux.MS_BIND)

    def _is(self, path: Path, copy: Path) -> bool:
        with suppress(FileNotFoundError), self._at(path) as place:
            return os.path.samestat(place.stat(), copy.stat())
        return False

    def _make_file(self, path: Path) -> None:
        """Let there be a file to mount on."""
        with suppress(FileNotFoundError), self._at(path) as place:
            if place.exists():
                return
        self.directory(path.parent)
        if self._top is None:
            self._make_room(path.parent)
            path.touch(mode=0o400)
        else:
            with self._at(path.parent) as parent:
                (parent / path.name).touch(mode=0o400)

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


def _copy_file(source: BinaryIO, target: BinaryIO) -> None:
    """Copy a file from its start, within the kernel where it can do that."""
    try:
        while os.sendfile(target.fileno(), source.fileno(), None, _COPY_BYTES):
            pass
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        target.write(source.read())


def _mount_memory(place: Path, options: str) -> None:
    flags = linux.MS_NOSUID | linux.MS_NODEV
    # noswap came with Linux 6.4; before that, a host with swap may page it out.
    with suppress(OSError):
        linux.mount("bannock", place, "tmpfs", flags, f"{options},noswap")
        return
    linux.mount("bannock", place, "tmpfs", flags, options)


def _own_shared_memory() -> None:
    """Mount memory as large as the one that the container has, which everybody in it can read."""
    if not _SHARED_MEMORY.is_dir():
        return
    there = os.statvfs(_SHARED_MEMORY)
    _mount_memory(_SHARED_MEMORY, f"mode=1777,size={there.f_blocks * there.f_frsize}")


def _new_namespaces() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        with suppress(OSError):
            linux.unshare(_OWN)
            return
    linux.unshare(linux.CLONE_NEWUSER | _OWN)
    # The files below are root's as long as this process is hidden. Nothing is known yet that would have to be hidden.
    hidden = linux.is_hidden()
    linux.show_memory()
    with suppress(FileNotFoundError):
        Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1\n")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1\n")
    if hidden:
        linux.hide_memory()


def _assemble() -> None:
    """Put a root in memory together from the entries of the old one, and go there."""
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    workshop = next((Path(name) for name in _WORKSHOPS if Path(name).is_dir()), None)
    if workshop is None:
        raise OSError(errno.ENOENT, f"none of {', '.join(_WORKSHOPS)} is a directory")
    linux.mount("bannock", workshop, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, _TMPFS)
    old, new = workshop / "old", workshop / "new"
    old.mkdir()
    new.mkdir()
    linux.mount("/", old, None, linux.MS_BIND | linux.MS_REC)
    # What the workshop covers is to be seen there.
    linux.unmount(old / workshop.relative_to("/"))
    linux.mount("bannock", new, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, _TMPFS)
    _mirror(old, new)
    (new / ".bannock").mkdir(mode=0o700)
    linux.enter_root(str(new))


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
