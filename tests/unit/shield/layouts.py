"""What a commit is made on, for the crash matrix: volumes of several protections, and a file of several regions."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self

from bannock.shield.fspf import Fspf, encrypt_fspf
from bannock.shield.regions import Protection, Region
from bannock.shield.volume import PROTECTION_FILE, Volume
from bannock.values import FSPF_KEY_BYTES, FspfKey
from tests.unit.shield.support import KEY, deterministic, look, ticking

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.shield.volume import TagKeeper
    from bannock.values import FspfTag
    from tests.unit.shield.support import Seen

__all__ = ["AUTHENTICATED", "ENCRYPTED", "REGIONS", "Layout", "Opened"]

_MAIN: Final = "main.fspf"
_REGIONS: Final = ("one", "two")
#: Makes the key of a main protection file the same each time.
_KEY_SEED: Final = b"key"


class Opened:
    """Open volumes that share their states, a context manager.

    Attributes:
        volumes: where in the directory each has its files, and itself.
    """

    def __init__(self, volumes: dict[str, Volume], whole: Volume | Fspf) -> None:
        self.volumes = volumes
        self._whole = whole

    @property
    def volume(self) -> Volume:
        """The first one."""
        return next(iter(self.volumes.values()))

    def commit(self) -> FspfTag:
        """Commit all."""
        return self._whole.commit()

    def look(self) -> dict[bytes, Seen]:
        """Read everything."""
        return {
            place.encode() + path: seen
            for place, volume in self.volumes.items()
            for path, seen in look(volume).items()
        }

    def ciphertext(self) -> set[bytes]:
        """Return the paths of all files in the storage that the state has a use for, but for the protection file."""
        return {path for place, volume in self.volumes.items() for path in _ciphertext(volume, place.encode())}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all; what was not committed is lost."""
        with ExitStack() as closing:
            closing.callback(self._whole.close)
            for volume in self.volumes.values():
                closing.callback(volume.close)


def _ciphertext(volume: Volume, place: bytes) -> set[bytes]:
    used, pending = set(), [volume.root]
    while pending:
        for entry in volume.names.entries(pending.pop()):
            if stat.S_ISDIR(entry.kind):
                pending.append(entry.ino)
            elif (inode := volume.inodes.get(entry.ino)).slots:
                used.add(place + inode.backing)
    return used


class Layout(Protocol):
    """How protected files are laid out in a directory."""

    @property
    def protection_file(self) -> bytes:
        """Where the protection file is."""

    def prepare(self, directory: Path, seed: bytes) -> FspfTag | None:
        """Do what has to be done before a service starts, and return the state that it starts in."""

    def open(
        self,
        directory: Path,
        tag: FspfTag | None,
        *,
        keeper: TagKeeper | None,
        seed: bytes | None,
        writable: bool = True,
    ) -> Opened:
        """Open the state that a tag names; without tag, with a keeper: make it anew; with neither: open the newest."""


class _OfVolume(NamedTuple):
    """A volume of its own."""

    protection: Protection
    protection_file: bytes = PROTECTION_FILE.encode()

    def prepare(self, directory: Path, seed: bytes) -> None:
        pass

    def open(
        self,
        directory: Path,
        tag: FspfTag | None,
        *,
        keeper: TagKeeper | None,
        seed: bytes | None,
        writable: bool = True,
    ) -> Opened:
        random, clock = (os.urandom if seed is None else deterministic(seed)), ticking()
        if tag is None and keeper is not None:
            volume = Volume.create(
                directory, KEY, keeper=keeper, protection=self.protection, random=random, clock=clock
            )
        else:
            volume = Volume.open(directory, KEY, tag, keeper=keeper, writable=writable, random=random, clock=clock)
        return Opened({"": volume}, volume)


class _OfRegions(NamedTuple):
    """A main protection file with two regions, whose files are in directories of their own."""

    protection_file: bytes = _MAIN.encode()

    def prepare(self, directory: Path, seed: bytes) -> FspfTag | None:
        path, random = directory / _MAIN, deterministic(seed)
        for region in _REGIONS:
            (directory / region).mkdir(parents=True)
        Fspf.create(path, random=random)
        with Fspf.open(path, random=random) as fspf:
            for region in _REGIONS:
                fspf.add_region(Region(path=f"/{region}", protection=Protection.ENCRYPTED, kernel=f"/{region}"))
            fspf.commit()
        tag, _ = encrypt_fspf(path, random=deterministic(_KEY_SEED))
        return tag

    def open(
        self,
        directory: Path,
        tag: FspfTag | None,
        *,
        keeper: TagKeeper | None,
        seed: bytes | None,
        writable: bool = True,
    ) -> Opened:
        random = os.urandom if seed is None else deterministic(seed + b"open")
        fspf = Fspf.open(directory / _MAIN, self._key(), tag, writable=writable, keeper=keeper, random=random)
        return Opened({f"{name}/": fspf.open_region(f"/{name}", directory / name) for name in _REGIONS}, fspf)

    @staticmethod
    def _key() -> FspfKey:
        return FspfKey(deterministic(_KEY_SEED)(FSPF_KEY_BYTES))


ENCRYPTED: Final = _OfVolume(Protection.ENCRYPTED)
AUTHENTICATED: Final = _OfVolume(Protection.AUTHENTICATED)
REGIONS: Final = _OfRegions()
