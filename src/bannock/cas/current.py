"""What every transaction of a store begins and ends with: the state is the newest, its key is in force, it is logged.

Thread-safe. Another process may put another key in force at any time (:mod:`bannock.cas.rekey`); a state that was
sealed with the one before is then still read with that one.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bannock.cas.audit.rows import AuditRows
from bannock.cas.keyring import Keyring
from bannock.cas.sealing import Sealer
from bannock.errors import InputError, IntegrityError, RollbackError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from bannock.cas.audit.entry import Event
    from bannock.cas.audit.journal import Journal
    from bannock.cas.freshness import Freshness
    from bannock.cas.master_key import MasterKeyFile

__all__ = ["Current", "State"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A state of the store.

    Attributes:
        sealer: opens and seals its rows.
        number: of the last change in it.
    """

    sealer: Sealer
    number: int


class Current:
    """The key in force, and the newest state that was seen."""

    def __init__(
        self,
        keyring: Keyring,
        freshness: Freshness,
        journal: Journal,
        key_file: MasterKeyFile,
        random: Callable[[int], bytes],
    ) -> None:
        self._sealer = Sealer(keyring.data, random)
        self._freshness = freshness
        self._journal = journal
        self._key_file = key_file
        self._random = random

    @property
    def floor(self) -> int:
        """What a state that is read from now on is not older than."""
        return self._freshness.highest

    def state(self, connection: Connection, floor: int) -> State:
        """Look at a state that is to be read.

        Raises:
            RollbackError: it is older than the floor.
            IntegrityError: it cannot be opened with the key in force.
        """
        sealer = self._sealer
        try:
            return State(sealer=sealer, number=self._freshness.require(connection, sealer, floor))
        except RollbackError:
            raise
        except IntegrityError as error:
            sealer = self._reloaded(connection, error)
            number = self._freshness.require(connection, sealer, floor)
            if number >= self._freshness.highest:
                self._sealer = sealer
            return State(sealer=sealer, number=number)

    def begun(self, connection: Connection) -> State:
        """Look at the state that is to be changed."""
        return self.state(connection, self._freshness.highest)

    def finish(self, connection: Connection, found: State, events: Sequence[Event]) -> Callable[[], None]:
        """Write the one audit entry of a transaction that is about to be committed, and count it."""
        self._journal.append(AuditRows(connection, found.sealer), events)
        return self._freshness.advance(connection, found.sealer, found.number)

    def _reloaded(self, connection: Connection, error: IntegrityError) -> Sealer:
        # The new file may get the name of the one before while we look.
        for file in (self._key_file, self._key_file.next, self._key_file):
            with contextlib.suppress(IntegrityError, InputError):
                keyring = Keyring.load(connection, Sealer(file.read(), self._random))
                return Sealer(keyring.data, self._random)
        raise error
