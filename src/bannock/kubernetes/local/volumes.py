"""Volumes of a pod on the engine: made, filled before anything starts, and given back.

A kubelet writes files of ConfigMaps and Secrets, and gives directories their owners and modes. Here they go through
the engine's own interface into volumes, so that nobody has to be root of this machine: a container that never runs has
them mounted for that.
"""

from __future__ import annotations

import io
import secrets
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError, NotFoundError
from bannock.images.containers import Containers, Volumes
from bannock.kubernetes.local.model import Claim, EmptyDirectory, HostPath, ObjectFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.images.engine_socket import EngineSocket
    from bannock.kubernetes.local.model import ContainerTemplate, Volume
    from bannock.kubernetes.local.pod import Pod

__all__ = ["CREATED", "PodVolumes"]

#: Of mounts of directories that are made where they are not there; not of the engine.
CREATED: Final = "bannock-created"

_OPEN: Final = 0o777
_CLAIMED: Final = 0o755
#: What the group of files gets beside what files have: it is set on what comes new, too.
_GROUP_DIRECTORY: Final = 0o2070
_GROUP_READ: Final = 0o040
_PLACE: Final = PurePosixPath("/bannock-volumes")
_DIRECTORY_TYPES: Final = frozenset({"DirectoryOrCreate", ""})


@dataclass(frozen=True, slots=True)
class _Made:
    """A volume of the engine, with what is to be written into it at first."""

    name: str
    mode: int
    files: Mapping[str, tuple[int, bytes]]


class PodVolumes:
    """The volumes of a pod.

    Args:
        engine: its socket.
        pod: whose they are.
    """

    def __init__(self, engine: EngineSocket, pod: Pod) -> None:
        self._volumes = Volumes(engine)
        self._containers = Containers(engine)
        self._pod = pod
        self._sources: dict[str, str] = {}

    def make(self) -> None:
        """Make and fill them; claims that are there stay as they are.

        Raises:
            NotFoundError: an object or a claim is not there.
            InputError: a path of this machine is not what it is said to be.
        """
        here = self._pod.surroundings
        labels = here.place.labels(here.namespace, here.release)
        fresh: dict[str, _Made] = {}
        there = set(self._volumes.labelled(here.place.label))
        for name, volume in self._all().items():
            match volume:
                case HostPath():
                    _require_host_path(volume)
                    continue
                case EmptyDirectory(in_memory=True):
                    continue
                case Claim():
                    made = _Made(here.place.claim(here.namespace, volume.name), _CLAIMED, {})
                    marks = labels | {"dev.bannock.k8s.claim": volume.name}
                case EmptyDirectory():
                    made = _Made(here.place.volume(here.namespace, self._pod.name, name), _OPEN, {})
                    marks = labels | {"dev.bannock.k8s.pod": self._pod.name}
                case ObjectFiles():
                    files = self._files(volume)
                    made = _Made(here.place.volume(here.namespace, self._pod.name, name), _CLAIMED, files)
                    marks = labels | {"dev.bannock.k8s.pod": self._pod.name}
            self._sources[name] = made.name
            if made.name not in there:
                fresh[name] = made
                self._volumes.create(made.name, marks)
        self._fill(list(fresh.values()))

    def mounts(self, container: ContainerTemplate) -> list[dict[str, Any]]:
        """Return the mounts of a container, as the engine takes them.

        Raises:
            InputError: it mounts a volume that the pod has not got.
        """
        volumes, found = self._all(), []
        for mount in container.mounts:
            volume = volumes.get(mount.volume)
            entry: dict[str, Any] = {"Target": mount.path, "ReadOnly": mount.read_only}
            match volume:
                case None:
                    raise InputError(
                        f"container {container.name} mounts a volume {mount.volume[:80]!r}, and there is none"
                    )
                case HostPath():
                    entry |= {"Type": "bind", "Source": volume.path}
                    # The engine makes it, as a kubelet does: whoever asks for it may not be allowed to.
                    entry[CREATED] = volume.type in _DIRECTORY_TYPES
                    if mount.propagation:
                        entry["BindOptions"] = {"Propagation": mount.propagation}
                case EmptyDirectory(in_memory=True):
                    entry |= {"Type": "tmpfs", "TmpfsOptions": {"SizeBytes": volume.size, "Mode": _OPEN}}
                    del entry["ReadOnly"]
                case _:
                    entry |= {
                        "Type": "volume",
                        "Source": self._sources[mount.volume],
                        "VolumeOptions": {"NoCopy": True},
                    }
                    entry["ReadOnly"] = entry["ReadOnly"] or isinstance(volume, ObjectFiles)
            found.append(entry)
        return found

    def _all(self) -> dict[str, Volume]:
        """Return all volumes; a stateful set's claims are of each pod."""
        workload = self._pod.workload
        claimed: dict[str, Volume] = {name: Claim(name=f"{name}-{self._pod.name}") for name in workload.claims}
        return {**workload.template.volumes, **claimed}

    def _files(self, volume: ObjectFiles) -> dict[str, tuple[int, bytes]]:
        content = self._pod.surroundings.rendered.object(volume.kind, volume.name, optional=volume.optional)
        if volume.items is None:
            return {key: (volume.mode, value) for key, value in content.items()}
        found = {}
        for key, (path, mode) in volume.items.items():
            if ".." in PurePosixPath(path).parts or PurePosixPath(path).is_absolute():
                raise InputError(f"{volume.kind} {volume.name}: {path[:80]!r} is no path in a volume")
            if key in content:
                found[path] = (mode, content[key])
            elif not volume.optional:
                raise NotFoundError(f"there is no key {key[:80]} in the {volume.kind} {volume.name}")
        return found

    def _fill(self, made: list[_Made]) -> None:
        """Write files into volumes that are new, and give them modes and owners."""
        if not made:
            return
        group = self._pod.workload.template.file_group
        mounts = [
            {
                "Type": "volume", "Source": each.name, "Target": str(_PLACE / each.name),
                "VolumeOptions": {"NoCopy": True},
            }
            for each in made
        ]  # fmt: skip
        settings = {
            "Image": self._pod.workload.template.containers[0].image,
            # It never runs, but an image without a command has to be given one.
            "Cmd": ["/"],
            "Labels": self._pod.surroundings.place.labels(
                self._pod.surroundings.namespace, self._pod.surroundings.release
            )
            | {"dev.bannock.k8s.filling": self._pod.name},
            "HostConfig": {"Mounts": mounts},
        }
        name = f"{self._pod.surroundings.place.network}.filling.{secrets.token_hex(4)}"
        container = self._containers.create(settings, name)
        try:
            self._containers.put(container, _tar(made, group), str(_PLACE))
        finally:
            self._containers.remove(container)


def _tar(made: list[_Made], group: int | None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for each in made:
            mode = each.mode if group is None else each.mode | _GROUP_DIRECTORY
            _add(archive, each.name, mode, group, None)
            parents = {str(parent) for path in each.files for parent in PurePosixPath(path).parents} - {"."}
            for parent in sorted(parents):
                _add(archive, f"{each.name}/{parent}", mode, group, None)
            for path, (file_mode, content) in each.files.items():
                _add(
                    archive,
                    f"{each.name}/{path}",
                    file_mode if group is None else file_mode | _GROUP_READ,
                    group,
                    content,
                )
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, mode: int, group: int | None, content: bytes | None) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid, entry.mtime = mode, 0, group or 0, int(time.time())
    if content is None:
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    else:
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


def _require_host_path(volume: HostPath) -> None:
    path = Path(volume.path)
    if volume.type in _DIRECTORY_TYPES and ":" in volume.path:
        raise InputError(f"a pod mounts {path} of this machine, and the engine takes no path with a colon")
    fits = {
        "Directory": path.is_dir, "File": path.is_file, "Socket": path.is_socket,
        "CharDevice": path.is_char_device, "BlockDevice": path.is_block_device,
    }.get(volume.type)  # fmt: skip
    try:
        good = fits is None or fits()
    except PermissionError:
        # The engine may look there.
        good = True
    if not good:
        raise InputError(f"a pod mounts {path} of this machine, which is no {volume.type or 'path'}")
