"""Restoring: the database of a CAS is made from a backup.

It is a new database, of either kind, and none that is older than what the machine has seen before.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import LargeBinary, insert

from bannock.cas.anchor import advance
from bannock.cas.backup import PLACE, tables
from bannock.cas.backup_file import read_frames, read_head
from bannock.cas.counter_file import CounterFile
from bannock.cas.database import Database, Plainly
from bannock.cas.freshness import Freshness
from bannock.cas.keyring import Keyring
from bannock.cas.master_key import open_with_passphrase
from bannock.cas.migrations import is_new, migrate
from bannock.cas.opening import alone, new_master_key, to_backend
from bannock.cas.sealing import Sealer
from bannock.cas.store import Store
from bannock.cas.tpm import Tpm
from bannock.errors import InputError, IntegrityError
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from bannock.cas.backup_file import Head
    from bannock.cas.config import CasConfig
    from bannock.cas.master_key import Passphrase
    from bannock.cas.opening import Place

__all__ = ["restore"]


def restore(
    path: Path, config: CasConfig, *, passphrase: Passphrase | None, random: Callable[[int], bytes] = os.urandom
) -> dict[str, str]:
    """Make the database of a CAS from a backup, and tell what is known of that.

    Args:
        path: of the file.
        config: of the CAS that is to be; there must be none.
        passphrase: opens the file, if it was sealed under one.
        random: gives unpredictable bytes.

    Raises:
        InputError: the file is no backup, is opened in another way, or there is a CAS already.
        IntegrityError: the file was changed or cut, or is opened by another key.
        RollbackError: this machine has seen a newer state of this CAS.
        EnvironmentFault: the database cannot be made.
    """
    facts = _make(path, config, passphrase, random)
    # The database is not older than it was any more.
    store = Store.open(replace(config, accept_rollback=False), audit_path=config.audit_path, create=False)
    try:
        store.journal.configure(config.audit_log)
        with store.changing() as change:
            change.audit("backup_restored", {**facts})
    finally:
        store.close()
    return facts


def _make(path: Path, place: Place, passphrase: Passphrase | None, random: Callable[[int], bytes]) -> dict[str, str]:
    backend = to_backend(place)
    counter: CounterFile | None = None
    try:
        with path.open("rb") as file, alone(place), Database(backend, Plainly()).changing() as part:
            head = read_head(file, str(path))
            if not is_new(part.connection):
                raise InputError(f"there is a CAS in {backend.name} already", hint="restore makes a new database")
            keyring, master = _open(head, str(path), place, passphrase, random)
            frames = read_frames(file, head, keyring.data, str(path))
            migrate(part.connection, backend.name, to=head.facts.get("schema", ""))
            for frame in frames:
                _insert(part.connection, frame)
            migrate(part.connection, backend.name)
            keyring.save(part.connection, Sealer(master, random))
            counter = CounterFile(place.counter, keyring.index)
            sealer = Sealer(keyring.data, random)
            accept = place.accept_rollback
            Freshness(counter, backend.name).start(part.connection, sealer, is_new=True, accept=accept)
            if isinstance(place.key_file.protection, Tpm):
                advance(place.key_file.protection, part.connection, sealer, accept=accept)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    finally:
        if counter is not None:
            counter.close()
        backend.close()
    return head.facts


def _open(
    head: Head, name: str, place: Place, passphrase: Passphrase | None, random: Callable[[int], bytes]
) -> tuple[Keyring, Secret]:
    """Open the keys in a backup, and give them with the master key that seals them from now on."""
    if head.keyring.get("kind") != "master-key":
        if passphrase is None:
            raise InputError(f"the backup {name} is sealed under a passphrase", hint="--passphrase says where that is")
        keyring = Keyring.from_secret(open_with_passphrase(head.keyring, passphrase.read(), f"the backup {name}"))
        return keyring, new_master_key(place.key_file, random)
    if passphrase is not None:
        raise InputError(f"the backup {name} is sealed under a master key, not under a passphrase")
    master = place.key_file.read()
    try:
        sealed = base64.b64decode(head.keyring["sealed"], validate=True)
        return Keyring.from_secret(Secret(Sealer(master, random).open(PLACE, head.salt, sealed))), master
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise InputError(f"{name} is not a backup of a CAS") from None
    except IntegrityError:
        raise IntegrityError(f"the master key does not open the backup {name}: it belongs to another CAS") from None


def _insert(connection: Connection, frame: bytes) -> None:
    if not frame:
        return
    document = json.loads(frame)  # authentic, so in the form that we write
    table = tables()[document["table"]]
    binary = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
    if table.name == "schema_version":
        connection.execute(table.delete())
    rows = [
        {column: base64.b64decode(value) if column in binary else value for column, value in row.items()}
        for row in document["rows"]
    ]
    connection.execute(insert(table), rows)
