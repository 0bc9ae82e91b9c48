"""The regions and volumes of a service, under the paths that the application sees.

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
from bannock.runtime.places import make_mount_points, open_places
from bannock.runtime.settings import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bannock.policy.configuration import Configuration
    from bannock.runtime.keepers import Keepers
    from bannock.runtime.places import Place
    from bannock.runtime.root import PrivateRoot
    from bannock.shield.fuse import FuseServer
    from bannock.shield.memory import MemoryVolume
    from bannock.shield.volume import Volume
    from bannock.values import FspfTag

__all__ = ["Shields"]

_log = logging.getLogger("bannock.runtime")

_FUSE_POINT: Final = Path("/.bannock/volumes")
_SCRATCH: Final = Path("/.bannock/scratch")
_ROOT: Final = "/"
#: How the main protection file is called in a record, where volumes have names.
_FSPF: Final = "fspf"
#: More of them wait for the memory, and not for each other.
_PROCESSES_MAX: Final = 4


class Shields:
    """The open regions and volumes of one run.

    Attributes:
        kind: how they are mounted.
        before: the state that each was found in; None where it was made now.
    """

    def __init__(self, kind: Mount, places: Sequence[Place]) -> None:
        self.kind = kind
        self._places = places
        self.before = self._states()
        self._fuse: FuseServer | None = None
        self._mounted: list[Path] = []
        self._memory: list[MemoryVolume] = []

    @classmethod
    def open(
        cls,
        configuration: Configuration,
        directories: Mapping[str, Path],
        keepers: Keepers,
        host: Path,
        wanted: Mount,
    ) -> Shields:
        """Open everything in the state that the configuration names; nothing is visible to the application yet.

        Args:
            configuration: of the service.
            directories: volume → directory of its ciphertext.
            keepers: who remembers the states.
            host: the root that ``/`` of a region means.
            wanted: how to mount.

        Raises:
            InputError: no directory was given for a volume, or the regions do not fit together.
            RollbackError, IntegrityError: something is not in the state that is expected.
            EnvironmentFault: something cannot be read, or FUSE is asked for and not to be had.
        """
        shielded = bool(configuration.volumes) or configuration.fspf is not None
        _SCRATCH.mkdir(mode=0o700)
        kind = _choose(wanted) if shielded else Mount.MEMORY
        with ExitStack() as undo:
            places = open_places(configuration, directories, keepers, host, _SCRATCH, undo)
            undo.pop_all()
        return cls(kind, places)

    def require_no_root(self) -> None:
        """Refuse a region that is the application's root, where that is a file-system image.

        Raises:
            InputError: there is one; the host's root, as it is, is none.
        """
        for place in self._places:
            if place.path == _ROOT and place.directory != Path(_ROOT):
                raise InputError(
                    "the root is a file-system image (SCONE_EXTENSIONS_PATH), and the main protection file has a "
                    "region / as well",
                    hint="protect other paths than /, or leave out the image",
                )

    def mount(self, root: PrivateRoot, more: Iterable[tuple[str, bool]]) -> None:
        """Put everything under the application's paths.

        Args:
            root: of the application.
            more: paths that something else is mounted on later, and whether each is a directory.

        Raises:
            IntegrityError: in memory: a file is damaged.
            EnvironmentFault: the kernel refuses.
        """
        make_mount_points(self._places, more)
        try:
            if self.kind is Mount.FUSE:
                self._mount_fuse(root)
            else:
                self._mount_memory(root)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot mount: {error.strerror}", hint="run with --mount memory, or give the right to mount"
            ) from error

    def finish(self) -> Mapping[str, FspfTag | None]:
        """Take everything away, commit what changed, and return the states that there are now.

        Raises:
            BannockError: the last changes of a volume could not be kept (of all volumes, the first that failed).
        """
        failures: list[BannockError] = []
        if self._fuse is not None:
            _try(self._flush_kernel, failures)
            self._fuse.stop()
        for memory in self._memory:
            _try(memory.stop, failures)
        for volume in self._volumes():
            if volume.failure is not None:
                failures.append(volume.failure)
            elif volume.changed:
                _try(volume.commit, failures)
        for volume in self._volumes():
            volume.close()
        if failures:
            raise failures[0]
        return self._states()

    def _volumes(self) -> list[Volume]:
        return [place.volume for place in self._places if place.volume is not None]

    def _states(self) -> dict[str, FspfTag | None]:
        return {
            place.name or _FSPF: place.volume.tag
            for place in self._places
            if place.volume is not None and (place.name is not None or not place.volume.region.ephemeral)
        }

    def _mount_fuse(self, root: PrivateRoot) -> None:
        # Imported here: it is not needed where nothing is shielded.
        from bannock.shield.fuse import FuseServer  # noqa: PLC0415

        shown: dict[str, Path] = {}
        volumes = [(place.path.rstrip("/"), place.volume) for place in self._places if place.volume is not None]
        if volumes:
            # In our own root, whatever the application's is.
            point = _FUSE_POINT
            point.mkdir()
            self._fuse = FuseServer(point, volumes)
            self._fuse.start()
            shown = {path or _ROOT: point / str(index) for index, (path, _) in enumerate(volumes)}
        self._show(root, shown)
        if self._fuse is not None:
            linux.unmount(_FUSE_POINT)
            self._fuse.moved()

    def _show(self, root: PrivateRoot, shown: Mapping[str, Path]) -> None:
        for place in self._places:
            source = shown.get(place.path) or place.directory
            self._show_plainly(root, place.path, source)
            if place.volume is not None:
                self._mounted.append(root.outer(Path(place.path)))

    def _mount_memory(self, root: PrivateRoot) -> None:
        from bannock.shield.memory import MemoryVolume  # noqa: PLC0415 # not needed with FUSE

        processes = min(len(os.sched_getaffinity(0)), _PROCESSES_MAX)
        loaded = []
        for place in self._places:
            if place.volume is None:
                self._show_plainly(root, place.path, place.directory)
                continue
            if place.path == _ROOT:
                root.use_top(None)
            else:
                root.memory(Path(place.path))
            where = root.outer(Path(place.path))
            memory = MemoryVolume(place.path, place.volume, where, processes=processes)
            memory.load()
            loaded.append(memory)
            if place.path == _ROOT:
                root.show_kernel_trees()
        # Only now, since they have threads.
        for memory in loaded:
            self._memory.append(memory)
            memory.start()
        if self._memory:
            _log.warning("volumes are in memory: they are written back every few seconds and at the end, not at fsync")

    @staticmethod
    def _show_plainly(root: PrivateRoot, where: str, source: Path | None) -> None:
        """Show a directory at a path, or memory."""
        path = Path(where)
        if where == _ROOT:
            if source != path:
                root.use_top(source)
                root.show_kernel_trees()
        elif source is None:
            root.memory(path)
        elif source != path or root.top is not None:
            root.show(source, path)

    def _flush_kernel(self) -> None:
        """Have the kernel hand over what was changed through memory maps."""
        try:
            for place in self._mounted:
                descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    sync_file_system(descriptor)
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise EnvironmentFault(f"cannot flush the volumes: {error.strerror}") from error


def _choose(wanted: Mount) -> Mount:
    if wanted is Mount.MEMORY:
        return wanted
    why = _why_no_fuse()
    if why is None:
        return Mount.FUSE
    if wanted is Mount.FUSE:
        raise EnvironmentFault(
            f"FUSE is not to be had: {why}",
            hint="run with --mount memory; in a container, give it --device /dev/fuse, or BANNOCK_MOUNT=memory",
        )
    _log.info("no FUSE (%s): volumes are opened into memory", why)
    return Mount.MEMORY


def _why_no_fuse() -> str | None:
    # Imported here: it is not needed where nothing is shielded.
    from bannock.shield.fuse import try_mount  # noqa: PLC0415

    try:
        try_mount(_SCRATCH)
    except OSError as error:
        return error.strerror
    return None


def _try(action: Callable[[], object], failures: list[BannockError]) -> None:
    try:
        action()
    except BannockError as error:
        failures.append(error)
