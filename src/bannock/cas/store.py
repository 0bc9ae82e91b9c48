"""The store: sessions, secret values, volume states and the audit log, sealed, in transactions.

Thread-safe. One narrow interface: :meth:`Store.reading` and :meth:`Store.changing` give a transaction that takes and
gives typed values. Decides nothing: who may do what is for the services above it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from bannock.cas.anchor import advance
from bannock.cas.audit.entry import Event
from bannock.cas.audit.gathering import Gathering
from bannock.cas.audit.journal import Journal
from bannock.cas.backup import Content, write_backup
from bannock.cas.counter_file import CounterFile
from bannock.cas.current import Current, State
from bannock.cas.database import Database, Plainly
from bannock.cas.freshness import Freshness
from bannock.cas.keyring import Keyring, adopt, unlock
from bannock.cas.migrations import is_new, migrate
from bannock.cas.opening import alone, new_master_key, to_backend
from bannock.cas.rekey import Resealed
from bannock.cas.sealing import KEY_BYTES, Sealer
from bannock.cas.slots import put_slot, recovery_key
from bannock.cas.tpm import Tpm
from bannock.cas.transaction import Change, View
from bannock.cas.vouching import vouched
from bannock.errors import Bug, InputError, IntegrityError, RollbackError
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from sqlalchemy import Connection

    from bannock.cas.audit.entry import Facts
    from bannock.cas.engines import Backend
    from bannock.cas.freshness import Accepted
    from bannock.cas.master_key import Passphrase, Protection
    from bannock.cas.opening import Place
    from bannock.net.tls import Identity

__all__ = ["Store"]

_log = logging.getLogger(__name__)

#: How long a reader waits for a state whose key it can have.
_PAUSES: Final = (0.0, 0.01, 0.05, 0.2)
#: The file that the audit log goes to, if it goes to one.
AUDIT_LOG_NAME: Final = "cas_audit.log"


class Store:
    """An open store; :meth:`open` it.

    Attributes:
        journal: writes the audit log.
        opening: what the audit log is to be told of how the store was opened.
    """

    def __init__(
        self,
        place: Place,
        backend: Backend,
        keyring: Keyring,
        freshness: Freshness,
        journal: Journal,
        *,
        random: Callable[[int], bytes],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._place = place
        self._backend = backend
        self._keyring = keyring
        self._freshness = freshness
        self._random = random
        self._clock = clock
        self._current = Current(keyring, freshness, journal, place.key_file, random)
        self._database = Database(backend, self._current)
        self.journal = journal
        self.opening: Sequence[Event] = ()
        self._gathering = Gathering(self._write)

    @classmethod
    def open(
        cls,
        place: Place,
        *,
        audit_path: Path | None = None,
        create: bool = True,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        names: Sequence[str] = (),
        addresses: Sequence[str] = ("127.0.0.1",),
    ) -> Self:
        """Open a store, or make it with all its keys where there is none.

        Args:
            place: where it is.
            audit_path: the file of the audit log, if it goes to one; beside the database unless it is given.
            create: whether a store is made where there is none.
            random: gives unpredictable bytes.
            clock: tells the time of audit entries.
            names: DNS names for the certificate of a new CAS.
            addresses: IP addresses for it.

        Raises:
            InputError: the directory or the key file is open to others, or the key or the store is missing.
            IntegrityError: the key does not open the database.
            RollbackError: the database is older than it was.
            EnvironmentFault: the files or the database cannot be had.
        """
        backend = to_backend(place)
        try:
            with alone(place), Database(backend, Plainly()).changing() as part:
                new = is_new(part.connection)
                if new and not create:
                    raise InputError(f"there is no CAS in {backend.name}")
                migrate(part.connection, backend.name)
                if new:
                    keyring = Keyring.generate(random, names=names, addresses=addresses)
                    keyring.save(part.connection, Sealer(new_master_key(place.key_file, random), random))
                else:
                    keyring = unlock(part.connection, place.key_file, random)
            freshness = Freshness(CounterFile(place.counter, keyring.index), backend.name)
            path = audit_path or place.database.parent / AUDIT_LOG_NAME
            journal = Journal(keyring.audit, keyring.identity, path, clock=clock)
            store = cls(place, backend, keyring, freshness, journal, random=random, clock=clock)
            store._require_fresh(is_new=new)
        except BaseException:
            backend.close()
            raise
        return store

    @property
    def identity(self) -> Identity:
        """Who the CAS is."""
        return self._keyring.identity

    @property
    def audit_key(self) -> Ed25519PublicKey:
        """What signatures of the audit log are verified with."""
        return self._keyring.audit.public_key()

    @property
    def changes(self) -> int:
        """How many transactions have changed the database since it was made, as far as this store has seen."""
        return self._freshness.highest

    @contextlib.contextmanager
    def reading(self) -> Iterator[View]:
        """Read from one consistent state.

        Raises:
            IntegrityError: a row is not what was written.
            RollbackError: the database is older than it was.
            EnvironmentFault: the database cannot be read now.
        """
        with contextlib.ExitStack() as stack:
            connection, state = self._state(stack)
            yield View(connection, state.sealer, self._keyring.index)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Change all or nothing, on the disk when this returns.

        Nothing else changes the store meanwhile. Changes that come at the same time share a transaction of the
        database, so what is read here may be undone, with this change, if it cannot be committed: nothing that was
        read may be told to anybody before this returns.

        Raises:
            IntegrityError: a row is not what was written.
            RollbackError: the database is older than it was.
            EnvironmentFault: the database cannot be written now.
        """
        with self._database.changing() as part:
            yield Change(part.connection, part.found.sealer, self._keyring.index, part.events)

    def tell(self, event: str, facts: Facts) -> None:
        """Tell the audit log of something that changes nothing else; it is on the disk when this returns.

        Raises:
            BannockError: as :meth:`changing`.
        """
        self._gathering.tell(Event(event=event, facts=facts))

    def close(self) -> None:
        """Close the database and the audit log."""
        self.journal.close()
        self._database.close()
        self._freshness.close()

    def recovery_key(self) -> X25519PublicKey:
        """Give what slots in the database of another CAS are made for, so that this machine can take it over.

        Raises:
            InputError: the file of the master key cannot be used.
        """
        return recovery_key(self._place.key_file.read()).public_key()

    def put_slot(self, key: X25519PublicKey, event: Event) -> bytes:
        """Let another machine take over the database, and give the number of its slot.

        Args:
            key: its recovery key.
            event: what the audit log is told.
        """
        # Not within a change that others share: the keys must not change meanwhile.
        with self._place.key_file.alone(), self._database.changing() as part:
            keyring = unlock(part.connection, self._place.key_file, self._random)
            number = put_slot(part.connection, keyring.to_secret(), key)
            part.events.append(event)
        return number

    def rekey(self, *, key: Secret | None = None, protection: Protection | None = None, data: bool = False) -> None:
        """Put another master key in force, and write it to the file of the one before.

        Other processes that use the database go on; those on other machines need the new file at their next start.

        Args:
            key: the new one; made if it is not given.
            protection: of the file from now on; None for that of now.
            data: whether the key that seals what is stored is replaced too, and all of it sealed anew.

        Raises:
            InputError: the file of the present key cannot be used.
            EnvironmentFault: the new one cannot be written.
        """
        file = self._place.key_file
        new = file if protection is None else replace(file, protection=protection)
        around = Resealed(self._current, self._random)
        # Nobody else puts a new file beside the old one before ours has its name.
        with file.alone():
            with Database(self._backend, around).changing() as part:
                keyring = unlock(part.connection, file, self._random)
                if data:
                    keyring = keyring.with_data(Secret(self._random(KEY_BYTES)))
                    around.reseal(part.connection, part.found, keyring)
                master = key or Secret(self._random(KEY_BYTES))
                new.next.write(master, self._random)
                keyring.save(part.connection, Sealer(master, self._random))
                part.events.append(Event(event="master_key_changed", facts={"data_key": "new" if data else "same"}))
            adopt(new)
        self._keyring = keyring

    def backup(self, path: Path, *, passphrase: Passphrase | None = None) -> None:
        """Write all that is stored, as it is at one moment, to one sealed file; CAS may run meanwhile.

        Args:
            path: of the file.
            passphrase: seals the keys in it in place of the master key.

        Raises:
            InputError: the file of the master key, or the passphrase, cannot be read.
            IntegrityError: the database is damaged.
            EnvironmentFault: the file cannot be written.
        """
        file = self._place.key_file
        with contextlib.ExitStack() as stack:
            connection, state = self._state(stack)
            master = file.read()
            keyring = Keyring.load(connection, Sealer(master, self._random))
            content = Content(connection=connection, keyring=keyring, changes=state.number, made=self._clock())
            write_backup(path, content, master, passphrase=passphrase, random=self._random)
        with self.changing() as change:
            change.audit("backup_written", {"changes": str(state.number)})

    def _state(self, stack: contextlib.ExitStack) -> tuple[Connection, State]:
        for pause in (*_PAUSES, None):
            floor = self._current.floor
            with contextlib.ExitStack() as attempt:
                connection = attempt.enter_context(self._database.reading())
                try:
                    state = self._current.state(connection, floor)
                except IntegrityError as error:
                    if pause is None or isinstance(error, RollbackError):
                        raise
                else:
                    stack.push(attempt.pop_all())
                    return connection, state
            # The state is from before the keys were changed, and the key to it is gone: there is a newer one.
            time.sleep(pause)
        raise Bug("unreachable")

    def _write(self, events: Sequence[Event]) -> None:
        with self.changing() as change:
            for each in events:
                change.audit(each.event, each.facts)

    def _require_fresh(self, *, is_new: bool) -> None:
        file, accept = self._place.key_file, self._place.accept_rollback
        tpm = file.protection if isinstance(file.protection, Tpm) else None
        sealer = Sealer(self._keyring.data, self._random)
        found: list[Accepted | None] = []
        peers = None if is_new or accept or not self._freshness.is_first_start else self._place.peers
        # Before the database is looked at, which only grows.
        known_by = None if peers is None else vouched(peers, self._keyring.identity)
        with file.alone() if tpm is not None else contextlib.nullcontext():
            with Database(self._backend, Plainly()).changing() as part:
                found.append(
                    self._freshness.start(part.connection, sealer, is_new=is_new, accept=accept, vouched=known_by)
                )
                if tpm is not None:
                    found.append(advance(tpm, part.connection, sealer, accept=accept))
            if tpm is not None:
                tpm.increment()
        for accepted in filter(None, found):
            known = None if accepted.known is None else str(accepted.known)
            what = self._backend.name
            _log.warning("%s was accepted at change %d, though %s was known", what, accepted.found, known)
            event = Event(event="rollback_accepted", facts={"found": str(accepted.found), "known": known})
            self.opening = [*self.opening, event]
        if known_by is not None:
            self.opening = [*self.opening, Event(event="replica_joined", facts={"changes": str(known_by)})]
