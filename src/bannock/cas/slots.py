"""Slots: the keys of a CAS once more, each time encrypted for another machine that may take over its database.

A CAS on that machine, with a master key of its own, has a recovery key that follows from the master key. Whoever is
given a slot can open the database with their master key; the database alone opens nothing. Every change of the keys
writes all slots anew.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import select

from bannock.cas.schema import slots
from bannock.cas.sealing import KEY_BYTES
from bannock.cas.upsert import upsert
from bannock.errors import IntegrityError
from bannock.values import Secret

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["open_slot", "put_slot", "recovery_key", "renew_slots"]

#: RFC 9180.
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_RECOVERY: Final = b"bannock cas recovery key 1"
_SLOT: Final = b"bannock cas slot 1\0"


def recovery_key(master: Secret) -> X25519PrivateKey:
    """Give the key for which slots are made that this master key opens."""
    derived = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=_RECOVERY).derive(master.reveal())
    return X25519PrivateKey.from_private_bytes(derived)


def put_slot(connection: Connection, keys: Secret, key: X25519PublicKey) -> bytes:
    """Let the owner of a recovery key open the database from now on, and give the number of its slot."""
    public = key.public_bytes_raw()
    number = hashlib.sha256(_SLOT + public).digest()
    wrapped = _SUITE.encrypt(keys.reveal(), key, _SLOT + number)
    upsert(connection, slots, {"slot": number}, {"key": public, "wrapped": wrapped})
    return number


def renew_slots(connection: Connection, keys: Secret) -> None:
    """Write all slots anew, after the keys changed."""
    for public in list(connection.execute(select(slots.c.key)).scalars()):
        put_slot(connection, keys, X25519PublicKey.from_public_bytes(bytes(public)))


def open_slot(connection: Connection, master: Secret) -> Secret | None:
    """Give the keys if there is a slot for this master key.

    Raises:
        IntegrityError: there is one, and it is not what was written.
    """
    key = recovery_key(master)
    number = hashlib.sha256(_SLOT + key.public_key().public_bytes_raw()).digest()
    wrapped = connection.execute(select(slots.c.wrapped).where(slots.c.slot == number)).scalar()
    if wrapped is None:
        return None
    try:
        return Secret(_SUITE.decrypt(bytes(wrapped), key, _SLOT + number))
    except (InvalidTag, ValueError):
        raise IntegrityError("the slot of this machine in the database is not what was written") from None
