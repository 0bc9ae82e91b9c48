"""The protection file: one tree of sealed pages for all regions, opened in one state and committed as a whole.

A commit has two phases. First the new state is written beside the old one, so that the disk holds both; then the
keeper of the tag (CAS, for a service) moves from the old tag to the new one in a single step. Whenever power is
lost, the state that the keeper names is on the disk; no other is ever accepted. See ``docs/formats/fspf.md``.

Not thread-safe, but for :meth:`Commit.finish`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, InputError, IntegrityError, RollbackError
from bannock.shield.commit import Commit, TagKeeper, lacks_room, present, storage_faults
from bannock.shield.format.inodes import Numbers
from bannock.shield.format.pages import Pager, holds_first_state_at_most, read_superblocks
from bannock.shield.format.records import ROOT, inode_key, range_of, region_key
from bannock.shield.format.seal import page_sealer, public_page_sealer
from bannock.shield.format.tree import Tree
from bannock.shield.regions import Protection, Region, decode_region, encode_region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bannock.shield.format.backing import Backing
    from bannock.shield.format.pages import Superblock
    from bannock.shield.format.seal import RandomBytes, Sealer
    from bannock.shield.volume import Volume
    from bannock.values import FspfKey, FspfTag

__all__ = ["Commit", "Opening", "ProtectionFile", "TagKeeper", "present", "storage_faults"]


#: How much of a protection file is fetched when a page of it is needed, and how many such windows are remembered.
_WINDOW_BYTES: Final = 256 << 10
_WINDOWS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a protection file is opened.

    Attributes:
        key: its key; None: it is not encrypted yet.
        writable: whether it may be changed.
        keeper: who remembers its state.
        ordered: whether the newest state on the disk has to be whole at every moment, because nobody will name the
            one to open; it is so without a keeper anyway.
        random: where keys and nonces come from.
        clock: nanoseconds since 1970.
    """

    key: FspfKey | None
    writable: bool = True
    keeper: TagKeeper | None = None
    ordered: bool = False
    random: RandomBytes
    clock: Callable[[], int]

    def sealer(self) -> Sealer:
        """Return what seals the pages."""
        return public_page_sealer(self.random) if self.key is None else page_sealer(self.key, self.random)


class ProtectionFile:
    """An open protection file; use :meth:`create` or :meth:`open`.

    Attributes:
        numbers: gives out the numbers of inodes.
        newer: the tag of an authentic state on the disk that is newer than the one that was opened; None if there is
            none.
        failure: why nothing can be changed any more, or None: a commit failed, or a change was stopped half-way, and
            what is in memory will not become a state.
    """

    def __init__(self, backing: Backing, name: bytes, state: Superblock, how: Opening) -> None:
        self._backing = backing
        self._name = name
        self._state = state
        self._how = how
        self._pager = Pager(_PageStorage(backing, name), how.sealer(), state)
        self.tag = state.tag
        self.newer: FspfTag | None = None
        self.tree = Tree(self._pager, state.root)
        self.numbers = Numbers(state.next_inode)
        self.failure: BannockError | None = None
        self._volumes: list[Volume] = []
        self._table_changed = False
        self._table = dict(self._read_table()) if state.tag is not None else {}

    @classmethod
    def create(cls, backing: Backing, name: bytes, how: Opening, *, where: str) -> ProtectionFile:
        """Make an empty one; it exists from the first commit.

        With a keeper, who then knows no state of it, what a first commit left that was never confirmed is written
        over.

        Raises:
            InputError: there is one already.
            ConflictError: somebody else is making one.
            OSError: the directory cannot be written.
        """
        created = backing.create(name)
        if created != name:
            backing.unlink(created)
        backing.lock(name)
        known_void = how.keeper is not None
        if created != name and not (
            known_void and holds_first_state_at_most(_PageStorage(backing, name), how.sealer())
        ):
            raise InputError(f"{where} holds a volume already", hint="name another directory, or remove it")
        return cls(backing, name, Pager.new_superblock(how.random, public=how.key is None), how)

    @classmethod
    def open(
        cls, backing: Backing, name: bytes, how: Opening, tags: tuple[FspfTag, ...], *, where: str
    ) -> ProtectionFile:
        """Open one in one of the states that ``tags`` name, and in no other; without tags in the newest.

        Raises:
            RollbackError: what is there is authentic, yet of another state.
            IntegrityError: nothing there is authentic under the key.
            ConflictError: it is open for writing already, and is to be once more.
            OSError: it cannot be read.
        """
        if how.writable:
            backing.lock(name)
        pages = _PageStorage(backing, name)
        states = read_superblocks(pages, how.sealer(), public=how.key is None)
        opened = cls(backing, name, _select(states, tags, where), how)
        opened.newer = states[0].tag if states[0].tag != opened.tag else None
        return opened

    @property
    def state(self) -> Superblock:
        """The state that was committed last."""
        return self._state

    @property
    def how(self) -> Opening:
        """How it was opened."""
        return self._how

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions, in the order of their paths."""
        return tuple(sorted((region for region, _ in self._table.values()), key=lambda region: region.path))

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return self.tag is None or self._table_changed or any(volume.inodes.changed for volume in self._volumes)

    def find(self, path: str) -> tuple[Region, int]:
        """Return a region and the inode of its topmost directory, 0 for one whose files are not kept here.

        Raises:
            InputError: there is no such region.
        """
        if (found := self._table.get(path)) is None:
            known = ", ".join(self._table) or "none"
            raise InputError(f"there is no region {path[:255]} in the protection file", hint=f"its regions: {known}")
        return found

    def add_region(self, region: Region, root: int) -> None:
        """Put a region into the table; ``root`` is the inode of its topmost directory, 0 if it has none."""
        self._table[region.path] = region, root
        self.tree.put(region_key(region.path.encode()), encode_region(region, root))
        self._table_changed = True

    def attach(self, volume: Volume) -> None:
        """Take the changes of a region into every commit from now on."""
        self._volumes.append(volume)

    def begin_commit(self) -> Commit | None:
        """Write the new state beside the old one; nothing may be changed until :meth:`end_commit`.

        Returns None if there is nothing to commit.

        Raises:
            BannockError: the storage refused, or a commit before did; the last state stays. Where there was no room,
                the next commit may find some; after anything else, this handle takes no more.
        """
        if self.failure is not None:
            # The keeper may have moved all the same, so the disk has to go on holding both states: a second attempt
            # would write over what one of them needs.
            raise self.failure
        if not self.changed:
            return None
        try:
            with storage_faults("cannot commit the volume"):
                return self._write_state()
        except BannockError as error:
            if not lacks_room(error):
                self.failure = error
            raise

    def end_commit(self, commit: Commit) -> FspfTag:
        """Take a commit that was finished for the state in force, and return its tag; or tell why it failed.

        What the state does not need any more is removed by :class:`Chores`.

        Raises:
            BannockError: it failed; the last state stays, and this handle takes no more, unless there was no room for
                the superblock alone.
        """
        if commit.failure is not None:
            if not commit.lacked_room:
                self.failure = commit.failure
            raise commit.failure
        self._state, self.tag = commit.state, commit.state.tag
        self._pager.confirmed()
        self._table_changed = False
        for volume in self._volumes:
            volume.confirmed()
        return present(self.tag)

    def commit(self) -> FspfTag:
        """Make every change durable and its tag the keeper's; return the tag in force.

        Raises:
            BannockError: the storage or the keeper refused (:meth:`begin_commit`, :meth:`end_commit`).
        """
        if (commit := self.begin_commit()) is not None:
            commit.finish()
            self.end_commit(commit)
            for volume in self._volumes:
                volume.chores.sweep()
        return present(self.tag)

    def _write_state(self) -> Commit:
        for volume in self._volumes:
            volume.inodes.flush()
        root = self.tree.flush()
        free = self._pager.flush_free()
        state = replace(
            self._state,
            generation=self._state.generation + 1,
            root=root,
            free=free,
            pages=self._pager.pages,
            next_inode=self.numbers.following,
            tag=None,
        )
        tag, block, offset = self._pager.seal_superblock(state)
        self._backing.written(self._name)
        backings = dict.fromkeys([self._backing, *(volume.backing for volume in self._volumes)])
        return Commit(
            state=replace(state, tag=tag),
            before=self.tag,
            pending=[backing.pending() for backing in backings],
            file=self._backing.open(self._name),
            superblock=(block, offset),
            keeper=self._how.keeper,
            ordered=self._how.ordered or self._how.keeper is None,
        )

    def _read_table(self) -> Iterator[tuple[str, tuple[Region, int]]]:
        start, end = range_of(region_key())
        if not self.tree.scan(start, end, 1) and self.tree.get(inode_key(ROOT)) is not None:
            # A volume may have no table: it is one encrypted region.
            yield "/", (Region(path="/", protection=Protection.ENCRYPTED, kernel=""), ROOT)
        for key, record in self.tree.walk(start, end):
            region, root = decode_region(key[len(start) :], record)
            yield region.path, (region, root)


class _PageStorage:
    """The protection file in its directory."""

    def __init__(self, backing: Backing, name: bytes) -> None:
        self._backing = backing
        self._name = name
        self._windows: set[int] = set()

    def pread(self, size: int, offset: int) -> bytes:
        file = self._backing.open(self._name)
        if (window := offset // _WINDOW_BYTES) not in self._windows:
            # Pages that belong together were written together as a rule, and are read one by one.
            if len(self._windows) >= _WINDOWS:
                self._windows.clear()
            self._windows.add(window)
            file.read_ahead(window * _WINDOW_BYTES, _WINDOW_BYTES)
        return file.pread(size, offset)

    def pwrite(self, data: bytes, offset: int) -> None:
        self._backing.open(self._name).pwrite(data, offset)


def _select(states: list[Superblock], tags: tuple[FspfTag, ...], where: str) -> Superblock:
    """Return the state that one of the tags names, or the newest one without tags."""
    if not states:
        raise IntegrityError(
            f"{where} is not authentic under the key of this volume",
            hint="the key is another volume's, or the file was changed",
        )
    for state in states:
        if not tags or state.tag in tags:
            return state
    expected = " or ".join(map(str, tags))
    raise RollbackError(
        f"{where} is in state {states[0].tag} (commit {states[0].generation}), expected state {expected}",
        hint="an older or a newer copy of the volume was put here; restore the one that was confirmed last",
    )
