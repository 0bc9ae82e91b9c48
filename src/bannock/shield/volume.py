"""A protected volume: one region of a protection file, opened at exactly the state that is expected.

A volume of its own is a directory with the protection file ``volume.fspf`` and one region, whose files are beside it.
Not thread-safe.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, Final, Self

from bannock.files import make_durable_directory
from bannock.shield.chores import Chores
from bannock.shield.format.backing import Backing
from bannock.shield.format.inodes import Changes, Inodes
from bannock.shield.format.names import Names
from bannock.shield.format.records import orphan_key, range_of
from bannock.shield.format.slots import Scratch
from bannock.shield.format.storage import Storage
from bannock.shield.protection import Opening, ProtectionFile, TagKeeper, present, storage_faults
from bannock.shield.regions import CHUNK_BYTES, Protection, Region

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from bannock.errors import BannockError
    from bannock.shield.format.seal import RandomBytes
    from bannock.shield.protection import Commit
    from bannock.values import FspfKey, FspfTag

__all__ = ["PROTECTION_FILE", "TagKeeper", "Volume", "add_region"]

#: The protection file's name in the directory of a volume.
PROTECTION_FILE: Final = "volume.fspf"
_NAME: Final = os.fsencode(PROTECTION_FILE)
_PATH: Final = "/"


class Volume:
    """An open region; use :meth:`create`, :meth:`open`, or :meth:`bannock.shield.fspf.Fspf.open_region`.

    A context manager. Where a protection file has several regions, they share their states: a commit of one is one of
    all.

    Attributes:
        inodes, names: the content (:class:`Inodes`, :class:`Names`).
        tree: the records of both.
        storage: what the contents of files are kept with.
        root: the number of the topmost directory's inode.
        region: how it is protected.
        backing: the directory with its files.
        writable: whether its files may be changed; those of a volume with a scratch directory may, without commits.
        keeps: whether changes become states; if not, they are forgotten at the end.
        adopting: its files are recorded where they are, and never written to or removed.
        chores: work around commits that can be done in parts.
    """

    def __init__(
        self,
        protection: ProtectionFile,
        region: Region,
        root: int,
        backing: Backing,
        *,
        writable: bool,
        scratch: Path | None = None,
        adopting: bool = False,
    ) -> None:
        self._protection = protection
        self._scratch = None if scratch is None else Scratch(scratch)
        self.storage = Storage(
            protection.tree, region, root, backing, protection.how.random,
            scratch=self._scratch, adopting=adopting,
        )  # fmt: skip
        self.region = region
        self.root = root
        self.backing = backing
        self.writable = writable
        self.keeps = protection.how.writable and scratch is None
        self.adopting = adopting
        self.chores = Chores(self.storage)
        self.inodes = Inodes(self.storage, protection.numbers, protection.how.clock, Changes(protection))
        self.names = Names(protection.tree, self.inodes)
        self.tree = protection.tree
        if self.keeps:
            protection.attach(self)
            if not adopting:
                self._recover()

    @classmethod
    def create(
        cls,
        directory: Path,
        key: FspfKey,
        *,
        keeper: TagKeeper | None = None,
        protection: Protection = Protection.ENCRYPTED,
        chunk_bytes: int = CHUNK_BYTES,
        key_bytes: int = 32,
        adopting: bool = False,
        ordered: bool = False,
        random: RandomBytes = os.urandom,
        clock: Callable[[], int] = time.time_ns,
    ) -> Volume:
        """Make an empty volume in a directory that has none; it exists from the first commit.

        With a keeper, who then knows no state of the volume, what a first commit left that was never confirmed is
        written over.

        Raises:
            InputError: there is a volume already.
            ConflictError: somebody else is making one.
            EnvironmentFault: the directory cannot be written.
        """
        region = Region(
            path=_PATH, protection=protection, kernel="", chunk_bytes=chunk_bytes, key_bytes=key_bytes
        )  # fmt: skip
        how = Opening(key=key, keeper=keeper, ordered=ordered, random=random, clock=clock)
        with storage_faults(f"cannot make a volume in {directory}"):
            make_durable_directory(directory)
            backing = Backing(directory, writable=True)
            try:
                made = ProtectionFile.create(backing, _NAME, how, where=str(directory))
            except BaseException:
                backing.close()
                raise
        return add_region(made, region, backing, adopting=adopting)

    @classmethod
    def open(
        cls,
        directory: Path,
        key: FspfKey,
        tag: FspfTag | None,
        *,
        keeper: TagKeeper | None = None,
        writable: bool = True,
        scratch: Path | None = None,
        random: RandomBytes = os.urandom,
        clock: Callable[[], int] = time.time_ns,
    ) -> Self:
        """Open a volume in the state that ``tag`` names, and in no other; None: in the newest that is authentic.

        Args:
            directory: with the volume's files.
            key: of the volume.
            tag: of the state. Without it, whoever has the storage chooses the state.
            keeper: learns of new states.
            writable: whether it may be changed.
            scratch: a directory for changes that are forgotten at the end; the volume's own files are only read.
            random: where keys and nonces come from.
            clock: nanoseconds since 1970.

        Raises:
            RollbackError: what is there is authentic, yet of another state.
            IntegrityError: nothing there is authentic under the key.
            ConflictError: it is open for writing already, and is to be once more.
            EnvironmentFault: it cannot be read.
        """
        kept = writable and scratch is None
        how = Opening(
            key=key, writable=kept, keeper=keeper, ordered=tag is None, random=random, clock=clock
        )  # fmt: skip
        backing = Backing(directory, writable=kept)
        try:
            with storage_faults(f"cannot read the volume in {directory}"):
                tags = () if tag is None else (tag,)
                protection = ProtectionFile.open(backing, _NAME, how, tags, where=str(directory / PROTECTION_FILE))
                region, root = protection.find(_PATH)
                return cls(protection, region, root, backing, writable=writable, scratch=scratch)
        except BaseException:
            backing.close()
            raise

    @property
    def tag(self) -> FspfTag | None:
        """The tag of the state that was committed last; None before the first commit."""
        return self._protection.tag

    @property
    def identity(self) -> bytes:
        """16 bytes that tell this volume's protection file from every other."""
        return self._protection.state.identity

    @property
    def failure(self) -> BannockError | None:
        """Why nothing can be changed any more, or None."""
        return self._protection.failure

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return self.keeps and self._protection.changed

    def commit(self) -> FspfTag:
        """Make every change durable and its tag the keeper's; return the tag in force.

        Raises:
            BannockError: the storage or the keeper refused; the last state stays, and this handle takes no more.
        """
        return self._protection.commit() if self.keeps else present(self.tag)

    def begin_commit(self) -> Commit | None:
        """Begin a commit (:meth:`ProtectionFile.begin_commit`); None if there is nothing to commit."""
        return self._protection.begin_commit() if self.keeps else None

    def end_commit(self, commit: Commit) -> FspfTag:
        """End a commit (:meth:`ProtectionFile.end_commit`)."""
        return self._protection.end_commit(commit)

    def confirmed(self) -> None:
        """Learn that the state in memory is the one in force."""
        self.inodes.confirmed()
        self.storage.unconfirmed.clear()
        self.chores.confirmed()

    def _recover(self) -> None:
        """Finish what a state that was cut short left to do: files without a name, ciphertext that nothing needs."""
        for key, _ in self._protection.tree.walk(*range_of(orphan_key(self.root))):
            self.inodes.purge(int.from_bytes(key[-8:], "big"))
        self.chores.confirmed()
        self.chores.sweep()

    def space(self) -> os.statvfs_result:
        """Return what statvfs(3) says of the storage."""
        return self.backing.space()

    def close(self) -> None:
        """Close the volume; what was not committed is lost."""
        self.backing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def add_region(protection: ProtectionFile, region: Region, backing: Backing, *, adopting: bool = False) -> Volume:
    """Make an empty region in a protection file, and return it."""
    root = protection.numbers.take()
    volume = Volume(protection, region, root, backing, writable=True, adopting=adopting)
    volume.inodes.new(stat.S_IFDIR | 0o755, uid=0, gid=0, number=root)
    volume.inodes.change(root).links = 2
    protection.add_region(region, root)
    return volume
