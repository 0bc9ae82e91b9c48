"""A host's part in a transfer: the ciphertext of a volume comes and goes. It knows no keys.

Runs in the container of a run, so it is standard library alone, and quick to start.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import PeerError
from bannock.execution.transfer.archive import Archive, Limits, unpack
from bannock.execution.transfer.directory import DirectoryStore
from bannock.execution.transfer.parts import PartSender, PartStream
from bannock.execution.transfer.presigned import PresignedStore
from bannock.execution.transfer.storage import PATIENT
from bannock.execution.transfer.transfer_sh import TransferShStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.execution.transfer.interface import Grant, Parcel, Readable
    from bannock.execution.transfer.storage import Patience, Store

__all__ = ["pull", "push"]

_FIRST: Final = "volume.fspf"
_DEFAULT_LIMITS: Final = Limits()


def _ignore(_: int) -> None:
    pass


def pull(
    parcel: Parcel,
    directory: Path,
    *,
    observer: Callable[[int], None] = _ignore,
    sized: Callable[[int], None] = _ignore,
    limits: Limits = _DEFAULT_LIMITS,
    patience: Patience = PATIENT,
) -> None:
    """Fetch a volume into a new directory; what an earlier attempt left there is removed before.

    Args:
        parcel: where it is.
        directory: in which it will be; its own directory is the caller's alone.
        observer: learns how many bytes came since it was called last.
        sized: learns, once, how many are to be expected.
        limits: what may come.
        patience: with the service.

    Raises:
        NotFoundError: it is not there (any more).
        IntegrityError: it is not what was sent.
        EnvironmentFault: the service cannot be reached, or the disk does not take it.
    """
    shutil.rmtree(directory, ignore_errors=True)
    with PartStream(_store(parcel, patience), parcel, patience=patience) as stream:
        sized(stream.size or 0)
        unpack(_Observed(stream, observer), directory, limits=limits)


def push(
    directory: Path,
    grant: Grant,
    *,
    observer: Callable[[int], None] = _ignore,
    sized: Callable[[int], None] = _ignore,
    patience: Patience = PATIENT,
) -> dict[str, Any]:
    """Bring a volume, and return the parcel that says where it is.

    Args:
        directory: with the volume; nobody changes it meanwhile.
        grant: what the client gave for it.
        observer: learns how many bytes were sent since it was called last.
        sized: learns, once, how many there are.
        patience: with the service.

    Raises:
        InputError: there is something in the directory that no volume has.
        EnvironmentFault: the service cannot be reached, or is full.
        BannockError: it does not take it.
    """
    archive = Archive(directory, first=_FIRST)
    sized(archive.size)
    with PartSender(_store(grant, patience), {"kind": grant.get("kind")}, patience=patience) as sender:
        for data in archive:
            sender.write(data)
            observer(len(data))
        return dict(sender.finish())


def _store(where: Grant | Parcel, patience: Patience) -> Store:
    match where:
        case {"kind": "transfer.sh", "base": str(base), "prefix": str(prefix), "days": int(days)}:
            return TransferShStore(base, prefix, days=days)
        case {"kind": "directory", "path": str(path), "prefix": str(prefix)}:
            return DirectoryStore(Path(path), prefix)
        case {"kind": "presigned"}:
            return PresignedStore.of(where, patience)
        case _:
            raise PeerError("the job does not say how its volumes come here; client and host are of two versions")


class _Observed:
    def __init__(self, stream: Readable, observer: Callable[[int], None]) -> None:
        self._stream = stream
        self._observer = observer

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._observer(len(data))
        return data
