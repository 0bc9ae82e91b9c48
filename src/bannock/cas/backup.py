"""Backups: everything that a CAS has, at one moment, in one sealed file.

A backup holds the keys of the CAS, sealed under its master key, or under a passphrase where it is to be opened on a
machine that does not have that.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import LargeBinary

from bannock.cas.backup_file import Head, write_frames, write_head
from bannock.cas.master_key import seal_with_passphrase
from bannock.cas.migrations import revision
from bannock.cas.paging import pages
from bannock.cas.schema import METADATA, keys
from bannock.cas.sealing import Sealer
from bannock.files import atomic_writer
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Table

    from bannock.cas.keyring import Keyring
    from bannock.cas.master_key import Passphrase
    from bannock.values import Secret

__all__ = ["PLACE", "Content", "tables", "write_backup"]

#: What the keys in a backup are sealed for.
PLACE: Final = "backup"
_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a backup is made of.

    Attributes:
        connection: on which one state of the database is read.
        keyring: of the CAS.
        changes: number of the last change in the state.
        made: when this is.
    """

    connection: Connection
    keyring: Keyring
    changes: int
    made: dt.datetime


def write_backup(
    path: Path, content: Content, master: Secret, *, passphrase: Passphrase | None, random: Callable[[int], bytes]
) -> None:
    """Write a backup.

    Args:
        path: of the file, which is whole or not there.
        content: of the backup.
        master: seals the keys in the file.
        passphrase: seals them in place of the master key.
        random: gives unpredictable bytes.

    Raises:
        InputError: the passphrase cannot be read.
        IntegrityError: the database is damaged.
        EnvironmentFault: the file cannot be written.
    """
    salt = random(_SALT_BYTES)
    keyring = content.keyring
    if passphrase is None:
        sealed = Sealer(master, random).seal(PLACE, salt, keyring.to_secret().reveal())
        kept: dict[str, Any] = {"kind": "master-key", "sealed": base64.b64encode(sealed).decode("ascii")}
    else:
        kept = seal_with_passphrase(keyring.to_secret(), passphrase.read(), random)
    facts = {
        "made": content.made.isoformat(timespec="seconds"),
        "cas": str(keyring.identity.key_hash),
        "changes": str(content.changes),
        "schema": revision(content.connection),
    }
    head = Head(salt=salt, keyring=kept, facts=facts)
    with atomic_writer(path) as file:
        write_head(file, head)
        write_frames(file, head, keyring.data, _frames(content.connection))


def tables() -> dict[str, Table]:
    """Give what a backup has by itself: the keys travel in its head, and everything else goes on as it is sealed."""
    return {table.name: table for table in METADATA.sorted_tables if table is not keys}


def _frames(connection: Connection) -> Iterator[bytes]:
    for name, table in tables().items():
        binary = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
        for page in pages(connection, table):
            rows: list[Any] = [
                {
                    column: base64.b64encode(value).decode("ascii") if column in binary else value
                    for column, value in row.items()
                }
                for row in page
            ]
            yield canonical_json({"table": name, "rows": rows})
