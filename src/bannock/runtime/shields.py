"""The volumes of a service, opened in the state that CAS names and put under the application's paths.

Chooses between FUSE and memory; what is chosen is said in the log. Not responsible for keys, tags or the process.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock import linux
from bannock.errors import BannockError, EnvironmentFault, InputError
from bannock.files import sync_file_system
from bannock.runtime.settings import Mount
from bannock.shield.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bannock.policy.configuration import VolumeMount
    from bannock.runtime.root import PrivateRoot
    from bannock.shield.fuse import FuseServer
    from bannock.shield.memory import MemoryVolume
    from bannock.shield.volume import TagKeeper
    from bannock.values import FspfTag

__all__ = ["Shields"]

_log = logging.getLogger("bannock.runtime")

_DEVICE: Final = Path("/dev/fuse")
_FUSE_POINT: Final = Path("/.bannock/volumes")


class Shields:
    """The open volumes of one run.

    Attributes:
        kind: how they are mounted.
        before: the state that each volume was found in; None where it was made now.
    """

    def __init__(self, kind: Mount, opened: Mapping[str, Volume]) -> None:
        self.kind = kind
        self._opened = opened
        self.before = {name: volume.tag for name, volume in opened.items()}
        self._fuse: FuseServer | None = None
        self._places: list[Path] = []
        self._memory: list[MemoryVolume] = []

    @classmethod
    def open(
        cls,
        mounts: Sequence[VolumeMount],
        directories: Mapping[str, Path],
        keeper: Callable[[str], TagKeeper],
        wanted: Mount,
    ) -> Shields:
        """Open every volume in the state that its mount names; nothing is visible to the application yet.

        Args:
            mounts: what the configuration says.
            directories: volume → directory of its ciphertext.
            keeper: gives who remembers the state of a volume.
            wanted: how to mount.

        Raises:
            InputError: no directory was given for a volume.
            RollbackError, IntegrityError: a volume is not in the state that CAS names.
            EnvironmentFault: it cannot be read, or FUSE is asked for and not to be had.
        """
        kind = _choose(wanted) if mounts else Mount.MEMORY
        with ExitStack() as undo:
            opened: dict[str, Volume] = {}
            for mount in mounts:
                opened[mount.name] = undo.enter_context(_open(mount, directories, keeper(mount.name)))
            undo.pop_all()
        return cls(kind, opened)

    def mount(self, root: PrivateRoot, mounts: Sequence[VolumeMount]) -> None:
        """Put the volumes under the application's paths.

        Raises:
            IntegrityError: in memory: a file in a volume is damaged.
            EnvironmentFault: the kernel refuses.
        """
        if self.kind is Mount.FUSE:
            self._mount_fuse(root, mounts)
        else:
            self._mount_memory(root, mounts)

    def finish(self) -> Mapping[str, FspfTag | None]:
        """Take the volumes away, commit what changed, and return the states that they are in.

        Raises:
            BannockError: the last changes of a volume could not be kept (of all volumes, the first that failed).
        """
        failures: list[BannockError] = []
        if self._fuse is not None:
            _try(self._flush_kernel, failures)
            self._fuse.stop()
        for memory in self._memory:
            _try(memory.stop, failures)
        for volume in self._opened.values():
            if volume.failure is None:
                _try(volume.commit, failures)
            else:
                failures.append(volume.failure)
            volume.close()
        if failures:
            raise failures[0]
        return {name: volume.tag for name, volume in self._opened.items()}

    def _mount_fuse(self, root: PrivateRoot, mounts: Sequence[VolumeMount]) -> None:
        # Imported here: it is slow to import, and not installed where there is no libfuse.
        from bannock.shield.fuse import FuseServer  # noqa: PLC0415

        point = root.directory(_FUSE_POINT)
        self._fuse = FuseServer(point, [(mount.path, self._opened[mount.name]) for mount in mounts])
        try:
            self._fuse.start()
            for index, mount in enumerate(mounts):
                place = root.directory(Path(mount.path))
                self._places.append(place)
                linux.mount(point / str(index), place, None, linux.MS_BIND)
            linux.unmount(point)
            self._fuse.moved()
        except OSError as error:
            raise EnvironmentFault(
                f"cannot mount by FUSE: {error.strerror}", hint="run with --mount memory, or give the right to mount"
            ) from error

    def _flush_kernel(self) -> None:
        """Have the kernel hand over what was changed through memory maps."""
        try:
            for place in self._places:
                descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    sync_file_system(descriptor)
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise EnvironmentFault(f"cannot flush the volumes: {error.strerror}") from error

    def _mount_memory(self, root: PrivateRoot, mounts: Sequence[VolumeMount]) -> None:
        from bannock.shield.memory import MemoryVolume  # noqa: PLC0415 # not needed with FUSE

        for mount in mounts:
            target = root.memory(Path(mount.path))
            memory = MemoryVolume(mount.path, self._opened[mount.name], target)
            memory.start()
            self._memory.append(memory)
        if mounts:
            _log.warning("volumes are in memory: they are written back every few seconds and at the end, not at fsync")


def _choose(wanted: Mount) -> Mount:
    if wanted is Mount.MEMORY:
        return wanted
    why = _why_no_fuse()
    if why is None:
        return Mount.FUSE
    if wanted is Mount.FUSE:
        raise EnvironmentFault(f"FUSE is not to be had: {why}", hint="run with --mount memory")
    _log.info("no FUSE (%s): volumes are opened into memory", why)
    return Mount.MEMORY


def _why_no_fuse() -> str | None:
    if not _DEVICE.exists():
        return f"there is no {_DEVICE}"
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return f"{_DEVICE} may not be opened"
    try:
        import pyfuse3  # noqa: PLC0415, F401 # asked here because it is slow to import
    except ImportError as error:
        return f"pyfuse3 is not installed ({error})"
    return None


def _open(mount: VolumeMount, directories: Mapping[str, Path], keeper: TagKeeper) -> Volume:
    directory = directories.get(mount.name)
    if directory is None:
        raise InputError(
            f"the session has a volume {mount.name!r} (at {mount.path}), and no directory was given for it",
            hint=f"add --volume {mount.name}=DIRECTORY",
        )
    if mount.tag is None:
        return Volume.create(directory, mount.key, keeper=keeper)
    return Volume.open(directory, mount.key, mount.tag, keeper=keeper)


def _try(action: Callable[[], object], failures: list[BannockError]) -> None:
    try:
        action()
    except BannockError as error:
        failures.append(error)
