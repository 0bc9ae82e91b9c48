"""One commit of a protection file: written beside the state in force, made durable, and told to its keeper."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import BannockError, Bug, EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.shield.format.backing import BackingFile, Pending
    from bannock.shield.format.pages import Superblock
    from bannock.values import FspfTag

__all__ = ["Commit", "TagKeeper", "lacks_room", "present", "storage_faults"]

#: What the storage answers that may have room later: nothing that was there before was touched.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class TagKeeper(Protocol):
    """Who remembers the state of a protection file where the storage cannot reach it."""

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move from one tag to the next, durably, if the expected one is still in force (None: nothing is, yet).

        Raises:
            ConflictError: another tag is in force: somebody else has written, or this state is an old one.
            BannockError: it is not known whether the move took place; trying again is safe.
        """


class Commit:
    """A state that is written, and not yet in force."""

    def __init__(
        self,
        *,
        state: Superblock,
        before: FspfTag | None,
        pending: list[Pending],
        file: BackingFile,
        superblock: tuple[bytes, int],
        keeper: TagKeeper | None,
        ordered: bool,
    ) -> None:
        self.state = state
        self._before = before
        self._pending = pending
        self._file = file
        self._superblock = superblock
        self._keeper = keeper
        self._ordered = ordered
        self.failure: BannockError | None = None
        self.lacked_room = False

    def finish(self) -> None:
        """Make the state durable and have the keeper move to it; may run while the regions are read.

        What goes wrong is told by :meth:`ProtectionFile.end_commit`, which has to be called in any case.
        """
        try:
            with storage_faults("cannot commit the volume"):
                self._make_durable()
            if self._keeper is not None:
                self._keeper.advance(self._before, present(self.state.tag))
        except BannockError as error:
            self.failure = error
        finally:
            # Whoever keeps the commit does not keep files open that are removed meanwhile.
            self._pending = []

    def _make_durable(self) -> None:
        if self._ordered:
            # The superblock alone says which state is in force: it must not be there before what it refers to.
            _sync_all(self._pending)
            self._write_superblock()
            self._file.sync()
        else:
            self._write_superblock()
            _sync_all(self._pending)

    def _write_superblock(self) -> None:
        """Write it, or have the next commit do without what this one notes as written."""
        try:
            self._file.pwrite(*self._superblock)
        except OSError as error:
            _sync_all(self._pending)
            self.lacked_room = error.errno in _NO_ROOM
            raise


def _sync_all(pending: list[Pending]) -> None:
    for each in pending:
        each.sync()


def lacks_room(error: BannockError) -> bool:
    """Whether the storage had no room, and may have some later."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_ROOM


@contextmanager
def storage_faults(what: str) -> Iterator[None]:
    """Tell errors of the storage below as ours.

    Raises:
        EnvironmentFault: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"{what}: {error.strerror}") from error


def present(tag: FspfTag | None) -> FspfTag:
    """Return the tag of a state that was committed, so has one."""
    if tag is None:
        raise Bug("a state without a tag was taken for one that was committed")
    return tag
