"""What is mounted where in the application's root: regions of the main protection file, and the session's volumes.

Opens them in the states that the configuration names, and mounts nothing.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import ConflictError, InputError, RollbackError
from bannock.policy.configuration import UpdatePolicy
from bannock.shield.fspf import Fspf
from bannock.shield.mount_points import make_mount_point
from bannock.shield.volume import PROTECTION_FILE, Volume
from bannock.values import FSPF_KEY_BYTES, FspfKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import ExitStack

    from bannock.policy.configuration import Configuration, MainFspf, VolumeMount
    from bannock.runtime.keepers import Keepers
    from bannock.shield.regions import Region
    from bannock.shield.volume import TagKeeper

__all__ = ["Place", "make_mount_points", "open_places"]

_log = logging.getLogger("bannock.runtime")

_ROOT: Final = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Something that is mounted.

    Attributes:
        path: where the application sees it.
        name: of a session's volume; None for a region.
        volume: what the shield shows there; None: a directory or memory, as the kernel does.
        directory: of the host, if it is shown as it is.
    """

    path: str
    name: str | None = None
    volume: Volume | None = None
    directory: Path | None = None


def open_places(
    configuration: Configuration,
    directories: Mapping[str, Path],
    keepers: Keepers,
    host: Path,
    scratch: Path,
    undo: ExitStack,
) -> list[Place]:
    """Open what the configuration names; the shortest path comes first, so that they can be mounted in this order.

    Args:
        configuration: of the service.
        directories: volume → directory of its ciphertext.
        keepers: who remembers the states.
        host: the root that ``/`` of a region means.
        scratch: a directory in memory, for what is not kept.
        undo: closes what was opened.

    Raises:
        InputError: no directory was given for a volume, or the regions do not fit together.
        RollbackError, IntegrityError: something is not in the state that is expected.
        EnvironmentFault: something cannot be read.
    """
    places = []
    if configuration.fspf is not None:
        mutable = configuration.environment.get("SCONE_FSPF_MUTABLE", "0") not in ("", "0")
        places += _open_regions(configuration.fspf, keepers.fspf, host, scratch, undo, mutable=mutable)
    for mount in configuration.volumes:
        volume = undo.enter_context(_open_volume(mount, directories, keepers.volume(mount.name), scratch))
        places.append(Place(path=mount.path, name=mount.name, volume=volume))
    places.sort(key=lambda place: len(place.path.rstrip("/")))
    return places


def make_mount_points(places: Sequence[Place], more: Iterable[tuple[str, bool]]) -> None:
    """Let there be something to mount on in regions that may not be changed later.

    Args:
        places: what is mounted.
        more: further paths, and whether each is a directory.
    """
    wanted = [*more, *((place.path, True) for place in places)]
    for index, place in enumerate(places):
        if place.volume is None:
            continue
        prefix = place.path.rstrip("/") + "/"
        for path, is_directory in wanted:
            nested = any(path == other.path or path.startswith(f"{other.path}/") for other in places[index + 1 :])
            is_place = any(path == other.path for other in places[index + 1 :])
            if path.startswith(prefix) and path != place.path and (is_place or not nested):
                make_mount_point(place.volume, path[len(prefix) :], directory=is_directory)


def _open_regions(
    wanted: MainFspf, keeper: TagKeeper | None, host: Path, scratch: Path, undo: ExitStack, *, mutable: bool
) -> list[Place]:
    path = Path(wanted.path)
    with Fspf.open(path, wanted.key, wanted.tags, writable=False) as fspf:
        regions = fspf.regions
    if len(regions) > 1 and regions[0].path != _ROOT:
        raise InputError(
            f"{path} has {len(regions)} regions, and none for /",
            hint="add one: scone fspf addr FILE / --not-protected --kernel /",
        )
    # The root does not change unless that is asked for; a file that nothing is to be written to needs no lock.
    changing = [region for region in regions if region.kept and (mutable or region.path != _ROOT)]
    if wanted.update_policy is UpdatePolicy.EPHEMERAL:
        return _open_unchanging(wanted, regions, host, scratch, undo)
    fspf = undo.enter_context(
        Fspf.open(
            path,
            wanted.key,
            wanted.tags,
            writable=bool(changing),
            keeper=keeper,
            ordered=wanted.update_policy is UpdatePolicy.NO_ROLLBACK_PROTECTION,
        )
    )
    _require_newest(fspf, keeper, path)
    if not fspf.encrypted:
        _log.warning("%s is not encrypted: whoever can write it decides what is in it", path)
    return [_open_region(fspf, region, host, scratch, undo, writable=region in changing) for region in regions]


def _open_unchanging(
    wanted: MainFspf, regions: Sequence[Region], host: Path, scratch: Path, undo: ExitStack
) -> list[Place]:
    """Open regions whose changes are forgotten at the end; the storage is only read, and may be read-only."""
    fspf = undo.enter_context(Fspf.open(Path(wanted.path), wanted.key, wanted.tags, writable=False))
    return [_open_region(fspf, region, host, scratch, undo, writable=True, forgotten=True) for region in regions]


def _require_newest(fspf: Fspf, keeper: TagKeeper | None, path: Path) -> None:
    """Refuse to start from the first state where a later one of this very copy was acknowledged.

    Whether it was, the keeper knows: it moves from a state to the same state only if that is one in force.
    """
    if keeper is None or (newer := fspf.protection.newer) is None:
        return
    try:
        keeper.advance(newer, newer)
    except ConflictError:
        return
    raise RollbackError(
        f"{path} has the state {newer}, which was confirmed, and another copy of it has moved on since",
        hint="start with the copy that was changed last, or put the first state back as a whole",
    )


def _open_region(
    fspf: Fspf,
    region: Region,
    host: Path,
    scratch: Path,
    undo: ExitStack,
    *,
    writable: bool,
    forgotten: bool = False,
) -> Place:
    if region.ephemeral:
        if not region.protected:
            return Place(path=region.path)
        return Place(path=region.path, volume=undo.enter_context(_new_in_memory(region, scratch)))
    directory = Path(region.kernel or _ROOT)
    if not region.protected:
        return Place(path=region.path, directory=directory)
    if writable and not forgotten:
        directory.mkdir(parents=True, exist_ok=True)
    where = host if region.kernel == _ROOT else directory
    volume = fspf.open_region(region.path, where, writable=writable, scratch=scratch if forgotten else None)
    return Place(path=region.path, volume=volume)


def _open_volume(mount: VolumeMount, directories: Mapping[str, Path], keeper: TagKeeper, scratch: Path) -> Volume:
    directory = directories.get(mount.name)
    if directory is None:
        raise InputError(
            f"the session has a volume {mount.name!r} (at {mount.path}), and no directory was given for it",
            hint=f"add --volume {mount.name}=DIRECTORY",
        )
    if mount.update_policy is UpdatePolicy.NO_ROLLBACK_PROTECTION:
        if (directory / PROTECTION_FILE).exists():
            return Volume.open(directory, mount.key, None, keeper=keeper)
        return Volume.create(directory, mount.key, keeper=keeper, ordered=True)
    if mount.update_policy is UpdatePolicy.EPHEMERAL:
        if mount.tag is None:
            raise InputError(
                f"volume {mount.name!r} has no content yet, and this service may not initialise it",
                hint="run a service first that mounts it with update_policy rollback_protected",
            )
        return Volume.open(directory, mount.key, mount.tag, scratch=scratch)
    if mount.tag is None:
        return Volume.create(directory, mount.key, keeper=keeper)
    return Volume.open(directory, mount.key, mount.tag, keeper=keeper)


def _new_in_memory(region: Region, scratch: Path) -> Volume:
    """Make an empty volume whose ciphertext is in memory, under a key that nobody else ever has."""
    directory = scratch / f"region{len(list(scratch.iterdir()))}"
    return Volume.create(
        directory, FspfKey(os.urandom(FSPF_KEY_BYTES)),
        protection=region.protection, chunk_bytes=region.chunk_bytes, key_bytes=region.key_bytes,
    )  # fmt: skip
