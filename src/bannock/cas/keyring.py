"""The keys of a CAS: made at its first start, sealed under a master key that a file outside the database holds.

Whoever has the database alone can read nothing of it. The master key is never made anew beside a database that is
there already: what is sealed in it would be lost without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select

from bannock.cas.schema import keys
from bannock.cas.sealing import KEY_BYTES, Sealer
from bannock.errors import InputError, IntegrityError
from bannock.files import read_private, write_atomically
from bannock.net.tls import Identity
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

__all__ = ["Keyring", "load_master_key"]

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
        """Write the keys into their table."""
        values = {
            _DATA: self.data,
            _INDEX: self.index,
            _AUDIT: Secret(self.audit.private_bytes_raw()),
            _IDENTITY: self.identity.to_pem(),
        }
        for name, value in values.items():
            sealed = master.seal(keys.name, name.encode("ascii"), value.reveal())
            connection.execute(insert(keys).values(name=name, sealed=sealed))

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
            return cls(
                data=Secret(found[_DATA]),
                index=Secret(found[_INDEX]),
                audit=Ed25519PrivateKey.from_private_bytes(found[_AUDIT]),
                identity=Identity.from_pem(found[_IDENTITY]),
            )
        except (IntegrityError, InputError, KeyError, ValueError) as error:
            raise IntegrityError(
                "the master key does not open the database: it belongs to another, or the database is damaged"
            ) from error


def load_master_key(path: Path, random: Callable[[int], bytes], *, create: bool) -> Secret:
    """Read the master key, or make it.

    Args:
        path: of the file, which nobody but its owner may read.
        random: gives unpredictable bytes.
        create: whether a missing file is made; not where a database is there that it would have to open.

    Raises:
        InputError: the file is missing, open to others, or not a key.
    """
    if create and not path.exists():
        write_atomically(path, random(KEY_BYTES).hex().encode("ascii") + b"\n")
    try:
        key = bytes.fromhex(read_private(path).decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(f"the master key file {path} does not hold {2 * KEY_BYTES} hexadecimal digits")
    return Secret(key)
