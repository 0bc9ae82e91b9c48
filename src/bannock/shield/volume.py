"""A protected volume: opened at exactly the state that is expected, changed in memory, committed as a whole.

A commit has two phases. First the new state is written beside the old one, so that the disk holds both; then the
keeper of the tag (CAS, for a service) moves from the old tag to the new one in a single step. Whenever power is
lost, the state that the keeper names is on the disk; no other is ever accepted. See ``docs/formats/fspf.md``.

Not thread-safe: one caller at a time.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, Self

from bannock.errors import BannockError, EnvironmentFault, InputError, IntegrityError, RollbackError
from bannock.shield.format.backing import Backing
from bannock.shield.format.content import Storage
from bannock.shield.format.inodes import Inodes
from bannock.shield.format.names import Names
from bannock.shield.format.pages import Pager, Superblock, holds_first_state_at_most, read_superblocks
from bannock.shield.format.records import garbage_key, orphan_key, range_of
from bannock.shield.format.seal import RandomBytes, page_sealer
from bannock.shield.format.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from bannock.shield.format.seal import Sealer
    from bannock.values import FspfKey, FspfTag

__all__ = ["PROTECTION_FILE", "TagKeeper", "Volume"]

#: The protection file's name in the directory of a volume.
PROTECTION_FILE: Final = "volume.fspf"
_PATH: Final = os.fsencode(PROTECTION_FILE)


class TagKeeper(Protocol):
    """Who remembers the state of a volume where the storage cannot reach it."""

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move from one tag to the next, durably, if the expected one is still in force (None: nothing is, yet).

        Raises:
            ConflictError: another tag is in force: somebody else has written, or this state is an old one.
            BannockError: it is not known whether the move took place; trying again is safe.
        """


class Volume:
    """An open volume; use :meth:`create` or :meth:`open`, and as a context manager.

    Attributes:
        inodes, names: the content of the volume (:class:`Inodes`, :class:`Names`).
    """

    def __init__(
        self,
        backing: Backing,
        pager: Pager,
        state: Superblock,
        *,
        keeper: TagKeeper | None,
        random: RandomBytes,
        clock: Callable[[], int],
    ) -> None:
        self._backing = backing
        self._pager = pager
        self._state = state
        self._tag = state.tag
        self._keeper = keeper
        self._tree = Tree(pager, state.root)
        self._storage = Storage(self._tree, backing, random)
        self.inodes = Inodes(self._storage, state.next_inode, clock)
        self.names = Names(self._tree, self.inodes)

    @classmethod
    def create(
        cls,
        directory: Path,
        key: FspfKey,
        *,
        keeper: TagKeeper | None = None,
        random: RandomBytes = os.urandom,
        clock: Callable[[], int] = time.time_ns,
    ) -> Self:
        """Make an empty volume in a directory that has none; it exists from the first commit.

        With a keeper, who then knows no state of the volume, what a first commit left that was never confirmed is
        written over.

        Raises:
            InputError: there is a volume already.
            ConflictError: somebody else is making one.
            EnvironmentFault: the directory cannot be written.
        """
        sealer = page_sealer(key, random)
        with _faults(f"cannot make a volume in {directory}"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            backing = Backing(directory, writable=True)
            try:
                _claim(backing, sealer, directory, void=keeper is not None)
            except BaseException:
                backing.close()
                raise
        state = Pager.new_superblock(random)
        pager = Pager(_PageStorage(backing), sealer, state)
        volume = cls(backing, pager, state, keeper=keeper, random=random, clock=clock)
        root = volume.inodes.new(stat.S_IFDIR | 0o755, uid=0, gid=0)
        volume.inodes.change(root).links = 2
        return volume

    @classmethod
    def open(
        cls,
        directory: Path,
        key: FspfKey,
        tag: FspfTag,
        *,
        keeper: TagKeeper | None = None,
        writable: bool = True,
        random: RandomBytes = os.urandom,
        clock: Callable[[], int] = time.time_ns,
    ) -> Self:
        """Open a volume in the state that ``tag`` names, and in no other.

        Raises:
            RollbackError: what is there is authentic, yet of another state.
            IntegrityError: nothing there is authentic under the key.
            ConflictError: it is open for writing already, and is to be once more.
            EnvironmentFault: it cannot be read.
        """
        backing = Backing(directory, writable=writable)
        try:
            sealer = page_sealer(key, random)
            with _faults(f"cannot read the volume in {directory}"):
                if writable:
                    backing.lock(_PATH)
                state = _select(_PageStorage(backing), sealer, tag, directory)
                volume = cls(
                    backing, Pager(_PageStorage(backing), sealer, state), state,
                    keeper=keeper, random=random, clock=clock,
                )  # fmt: skip
                if writable:
                    volume._recover()
        except BaseException:
            backing.close()
            raise
        return volume

    @property
    def tag(self) -> FspfTag | None:
        """The tag of the state that was committed last; None before the first commit."""
        return self._tag

    @property
    def identity(self) -> bytes:
        """16 bytes that tell this volume from every other."""
        return self._state.identity

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return self._tag is None or self.inodes.changed

    def commit(self) -> FspfTag:
        """Make every change durable and its tag the keeper's; return the tag in force.

        Raises:
            BannockError: the storage or the keeper refused; the last state stays, and this handle takes no more.
        """
        if self.inodes.failure is not None:
            # The keeper may have moved all the same, so the disk has to go on holding both states: a second attempt
            # would write over what one of them needs.
            raise self.inodes.failure
        if self._tag is not None and not self.inodes.changed:
            return self._tag
        try:
            with _faults("cannot commit the volume"):
                state, tag = self._write_state()
            if self._keeper is not None:
                self._keeper.advance(self._tag, tag)
        except BannockError as error:
            self.inodes.failure = error
            raise
        self._state, self._tag = state, tag
        self.inodes.confirmed()
        self._storage.unconfirmed.clear()
        self._sweep()
        return tag

    def space(self) -> os.statvfs_result:
        """Return what statvfs(3) says of the storage."""
        return self._backing.space()

    def close(self) -> None:
        """Close the volume; what was not committed is lost."""
        self._backing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_state(self) -> tuple[Superblock, FspfTag]:
        """Write the new state beside the old one, durably."""
        self.inodes.flush()
        root = self._tree.flush()
        free = self._pager.flush_free()
        state = replace(
            self._state,
            generation=self._state.generation + 1,
            root=root,
            free=free,
            pages=self._pager.pages,
            next_inode=self.inodes.next_ino,
            tag=None,
        )
        tag = self._pager.write_superblock(state)
        self._backing.sync()
        return state, tag

    def _recover(self) -> None:
        """Finish what a state that was cut short left to do: files without a name, ciphertext that nothing needs."""
        for key, _ in self._tree.walk(*range_of(orphan_key())):
            self.inodes.purge(int.from_bytes(key[-8:], "big"))
        self._sweep()

    def _sweep(self) -> None:
        """Remove ciphertext files that the confirmed state does not need.

        The list itself shrinks in the next state; until then a file may be removed twice, which does no harm.
        """
        for key, path in self._tree.walk(*range_of(garbage_key())):
            with suppress(OSError):
                self._backing.unlink(path)
            self._tree.delete(key)


class _PageStorage:
    """The protection file in the volume's directory."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def pread(self, size: int, offset: int) -> bytes:
        return self._backing.open(_PATH).pread(size, offset)

    def pwrite(self, data: bytes, offset: int) -> None:
        self._backing.open(_PATH).pwrite(data, offset)
        self._backing.written(_PATH)


@contextmanager
def _faults(what: str) -> Iterator[None]:
    """Tell errors of the storage below as ours."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"{what}: {error.strerror}") from error


def _claim(backing: Backing, sealer: Sealer, directory: Path, *, void: bool) -> None:
    """Make the protection file, or take over one that holds no confirmed state if that is known to be so."""
    created = backing.create(_PATH)
    if created != _PATH:
        backing.unlink(created)
    backing.lock(_PATH)
    if created != _PATH and not (void and holds_first_state_at_most(_PageStorage(backing), sealer)):
        raise InputError(f"{directory} holds a volume already", hint="name another directory, or remove it")


def _select(file: _PageStorage, sealer: Sealer, tag: FspfTag, directory: Path) -> Superblock:
    """Return the state that the tag names."""
    states = read_superblocks(file, sealer)
    for state in states:
        if state.tag == tag:
            return state
    if not states:
        raise IntegrityError(
            f"{directory / PROTECTION_FILE} is not authentic under the key of this volume",
            hint="the key is another volume's, or the file was changed",
        )
    raise RollbackError(
        f"the volume in {directory} is in state {states[0].tag} (commit {states[0].generation}), expected state {tag}",
        hint="an older or a newer copy of the volume was put here; restore the one that was confirmed last",
    )
