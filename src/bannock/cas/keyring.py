"""The keys of a CAS: made at its first start, sealed under a master key that a file outside the database holds.

Whoever has the database alone can read nothing of it. The master key is never made anew beside a database that is
there already: what is sealed in it would be lost without a word.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select

from bannock.cas.schema import keys
from bannock.cas.sealing import KEY_BYTES, Sealer
from bannock.cas.slots import open_slot, renew_slots
from bannock.errors import EnvironmentFault, InputError, IntegrityError
from bannock.files import sync_directory
from bannock.net.tls import Identity
from bannock.policy.canonical import canonical_json
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from bannock.cas.master_key import MasterKeyFile

__all__ = ["Keyring", "adopt", "unlock"]

_DATA: Final = "data"
_INDEX: Final = "index"
_AUDIT: Final = "audit"
_IDENTITY: Final = "identity"

#: By this name clients of a CAS in the same network reach it, whatever its host is called.
_HOST_NAME: Final = "cas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """All keys of a CAS but the master key.

    Attributes:
        data: seals what is stored.
        index: finds rows.
        audit: signs the audit log.
        identity: who the CAS is to its clients.
    """

    data: Secret
    index: Secret
    audit: Ed25519PrivateKey
    identity: Identity

    @classmethod
    def generate(cls, random: Callable[[int], bytes], *, names: Sequence[str], addresses: Sequence[str]) -> Self:
        """Make the keys of a new CAS, whose certificate is for names and addresses."""
        every_name = dict.fromkeys(["localhost", _HOST_NAME, *names])
        return cls(
            data=Secret(random(KEY_BYTES)),
            index=Secret(random(KEY_BYTES)),
            audit=Ed25519PrivateKey.from_private_bytes(random(KEY_BYTES)),
            identity=Identity.generate("CAS", names=tuple(every_name), addresses=tuple(addresses)),
        )

    def save(self, connection: Connection, master: Sealer) -> None:
        """Write the keys into their table, in place of those that are there."""
        connection.execute(keys.delete())
        for name, value in self._values().items():
            sealed = master.seal(keys.name, name.encode("ascii"), value.reveal())
            connection.execute(insert(keys).values(name=name, sealed=sealed))
        renew_slots(connection, self.to_secret())

    @classmethod
    def load(cls, connection: Connection, master: Sealer) -> Self:
        """Read the keys from their table.

        Raises:
            IntegrityError: the master key is another one, or the table is damaged.
        """
        found: dict[str, bytes] = {}
        try:
            for name, sealed in connection.execute(select(keys.c.name, keys.c.sealed)):
                found[name] = master.open(keys.name, name.encode("utf-8"), sealed)
            return cls._of(found)
        except (IntegrityError, InputError, KeyError, ValueError) as error:
            raise IntegrityError(
                "the master key does not open the database: it belongs to another, or the database is damaged"
            ) from error

    def to_secret(self) -> Secret:
        """Serialise all keys, for a backup or another CAS."""
        return Secret(canonical_json({name: value.reveal().hex() for name, value in self._values().items()}))

    @classmethod
    def from_secret(cls, secret: Secret) -> Self:
        """Parse what :meth:`to_secret` gives.

        Raises:
            IntegrityError: it is anything else.
        """
        try:
            found = {str(name): bytes.fromhex(value) for name, value in json.loads(secret.reveal()).items()}
            return cls._of(found)
        except (AttributeError, InputError, KeyError, TypeError, ValueError, RecursionError):
            raise IntegrityError("the keys of a CAS are malformed") from None

    def with_data(self, data: Secret) -> Self:
        """Give the same keys but for the one that seals what is stored."""
        return replace(self, data=data)

    def _values(self) -> dict[str, Secret]:
        return {
            _DATA: self.data,
            _INDEX: self.index,
            _AUDIT: Secret(self.audit.private_bytes_raw()),
            _IDENTITY: self.identity.to_pem(),
        }

    @classmethod
    def _of(cls, found: Mapping[str, bytes]) -> Self:
        data, index = found[_DATA], found[_INDEX]
        if {len(data), len(index)} != {KEY_BYTES}:
            raise ValueError(len(data))
        return cls(
            data=Secret(data),
            index=Secret(index),
            audit=Ed25519PrivateKey.from_private_bytes(found[_AUDIT]),
            identity=Identity.from_pem(found[_IDENTITY]),
        )


def unlock(connection: Connection, file: MasterKeyFile, random: Callable[[int], bytes]) -> Keyring:
    """Read the keys with the master key that is in a file.

    Used within a transaction that changes something, so that nobody changes the master key meanwhile. If whoever
    changed it was stopped half-way, this brings the file to what the database says.

    Raises:
        InputError: the file is missing, open to others, or not a key.
        IntegrityError: the master key is another one, or the table is damaged.
    """
    try:
        found = Keyring.load(connection, Sealer(file.read(), random))
    except (InputError, IntegrityError):
        if (slot := _from_slot(connection, file)) is not None:
            return slot
        if not file.next.path.exists():
            raise
        found = Keyring.load(connection, Sealer(file.next.read(), random))
        adopt(file)
    else:
        # Nothing is written where a key may be mounted read-only.
        if file.next.path.exists():
            file.next.path.unlink(missing_ok=True)
    return found


def _from_slot(connection: Connection, file: MasterKeyFile) -> Keyring | None:
    """Read the keys from the slot of this master key: the database is that of another machine."""
    try:
        master = file.read()
    except (InputError, IntegrityError):
        return None
    found = open_slot(connection, master)
    return None if found is None else Keyring.from_secret(found)


def adopt(file: MasterKeyFile) -> None:
    """Put the file with the new master key in place of the one before, once the database is opened by the new one."""
    try:
        file.next.path.replace(file.path)
        sync_directory(file.path.parent)
    except FileNotFoundError:
        pass  # another process came first
    except OSError as error:
        raise EnvironmentFault(f"cannot put the new master key file in place: {error.strerror}") from error
