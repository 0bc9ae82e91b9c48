"""Which way ciphertext goes, by what the user named: a table from kinds to backends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError, PeerError
from bannock.execution.transfer.directory import DirectoryStore
from bannock.execution.transfer.parts import PartSender, PartStream, forget_parts
from bannock.execution.transfer.placed import PlacedBackend
from bannock.execution.transfer.s3 import S3Account, S3Store
from bannock.execution.transfer.storage import PATIENT
from bannock.execution.transfer.transfer_sh import TransferShStore
from bannock.execution.transfer.web import parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.execution.transfer.interface import Backend, Grant, Incoming, Parcel, Place, Sender
    from bannock.execution.transfer.storage import Patience

__all__ = ["SSH", "DirectoryBackend", "S3Backend", "TransferShBackend", "backend_for", "shared_directory"]

#: Through the connection to the host itself, which is the default.
SSH: Final = "ssh"
_DIRECTORY: Final = "dir:"
#: As long as signatures can hold; a run and its user may need as long.
_DAYS: Final = 7


def backend_for(
    transfer: str,
    *,
    environment: Mapping[str, str],
    place: Place | None = None,
    days: int = _DAYS,
    patience: Patience = PATIENT,
) -> Backend:
    """Find the way that a user named.

    Args:
        transfer: ``ssh``, ``s3://BUCKET[/PREFIX]``, ``dir:PATH``, or a transfer.sh service by URL or name.
        environment: with credentials, for S3.
        place: the files of the container on the host, for ``ssh``.
        days: how long services are asked to keep files, and signatures hold.
        patience: with services.

    Raises:
        InputError: it is none of these, or credentials are missing.
    """
    if transfer == SSH:
        if place is None:
            raise InputError("the way by ssh needs a host with a container engine", hint="name a transfer service")
        return PlacedBackend(place)
    if transfer.startswith("s3://"):
        return S3Backend(S3Account.of(transfer, environment), days=days, patience=patience)
    if (shared := shared_directory(transfer)) is not None:
        return DirectoryBackend(Path(shared), patience=patience)
    # transfer.sh itself is named without a scheme.
    url = transfer if "://" in transfer else f"https://{transfer}"
    parse_url(url)
    return TransferShBackend(url, days=days, patience=patience)


def shared_directory(transfer: str) -> str | None:
    """Return the directory that client and host both see, if that is the way."""
    return transfer.removeprefix(_DIRECTORY) if transfer.startswith(_DIRECTORY) else None


class TransferShBackend:
    """A service in the manner of transfer.sh (:class:`bannock.execution.transfer.interface.Backend`)."""

    places: Final = False

    def __init__(self, url: str, *, days: int, patience: Patience) -> None:
        self._url = url
        self._days = days
        self._patience = patience
        self.name = TransferShStore(url).name

    def sender(self, run: str, what: str) -> Sender:
        """Begin a stream to the host."""
        store = TransferShStore(self._url, f"{run}-{what}-", days=self._days)
        return PartSender(store, self.grant(run, what), patience=self._patience)

    def grant(self, run: str, what: str) -> Grant:
        """Let the host bring a stream: whoever knows the service may."""
        return {"kind": "transfer.sh", "base": self._url, "prefix": f"{run}-{what}-", "days": self._days}

    def open(self, run: str, parcel: Parcel) -> Incoming:
        """Open a stream from the host."""
        del run
        return PartStream(TransferShStore(self._url), parcel, patience=self._patience)

    def forget(self, run: str, parcel: Parcel) -> None:
        """Delete a stream."""
        del run
        forget_parts(TransferShStore(self._url), parcel, patience=self._patience)

    def sweep(self, run: str) -> None:
        """Nothing: the service cannot be asked which files it has; they expire."""


class DirectoryBackend:
    """A directory that client and host both see (:class:`bannock.execution.transfer.interface.Backend`)."""

    places: Final = False

    def __init__(self, directory: Path, *, patience: Patience) -> None:
        if not directory.is_absolute() or not directory.is_dir():
            raise InputError(
                f"{directory} is not a directory that both sides see", hint="give dir: and its full path, on both"
            )
        self._directory = directory
        self._patience = patience
        self.name = f"dir:{directory}"

    def sender(self, run: str, what: str) -> Sender:
        """Begin a stream to the host."""
        return PartSender(self._store(run, f"{what}-"), self.grant(run, what), patience=self._patience)

    def grant(self, run: str, what: str) -> Grant:
        """Let the host bring a stream: whoever sees the directory may."""
        self._store(run, "").make()
        return {"kind": "directory", "path": str(self._directory / run), "prefix": f"{what}-"}

    def open(self, run: str, parcel: Parcel) -> Incoming:
        """Open a stream from the host."""
        return PartStream(self._store(run, ""), parcel, patience=self._patience)

    def forget(self, run: str, parcel: Parcel) -> None:
        """Delete a stream."""
        forget_parts(self._store(run, ""), parcel, patience=self._patience)

    def sweep(self, run: str) -> None:
        """Delete all streams of a run."""
        self._store(run, "").delete_all()

    def _store(self, run: str, prefix: str) -> DirectoryStore:
        return DirectoryStore(self._directory / run, prefix)


class S3Backend:
    """A bucket; hosts get URLs that are signed for them (:class:`bannock.execution.transfer.interface.Backend`)."""

    places: Final = False

    def __init__(self, account: S3Account, *, days: int, patience: Patience) -> None:
        self._account = account
        self._days = days
        self._patience = patience
        self.name = account.name

    def sender(self, run: str, what: str) -> Sender:
        """Begin a stream to the host."""
        kind = {"kind": "presigned", "name": self.name}
        return PartSender(self._store(run, f"{what}-"), kind, patience=self._patience)

    def grant(self, run: str, what: str) -> Grant:
        """Sign places for a stream of the host; their list is an object of its own."""
        grants = self._store(run, f"{what}-").grants(self._patience)
        return {"kind": "presigned", "name": self.name, "prefix": f"{what}-", "grants": grants}

    def open(self, run: str, parcel: Parcel) -> Incoming:
        """Open a stream from the host."""
        return PartStream(self._store(run, ""), parcel, patience=self._patience)

    def forget(self, run: str, parcel: Parcel) -> None:
        """Delete a stream: all objects whose names begin as that of its index does."""
        index = parcel.get("index")
        name = (index.get("deletion") or index.get("at")) if isinstance(index, dict) else None
        if not isinstance(name, str) or not name.endswith("-index"):
            raise PeerError("the host does not say where its volume is")
        self._store(run, "").delete_all(name.removesuffix("index"), self._patience)

    def sweep(self, run: str) -> None:
        """Delete all streams of a run."""
        self._store(run, "").delete_all("", self._patience)

    def _store(self, run: str, prefix: str) -> S3Store:
        return S3Store(self._account, run, prefix, days=self._days)
