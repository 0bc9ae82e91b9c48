"""The key that a service's program is signed with: a file beside the manifest, made where it is not there."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bannock.errors import InputError
from bannock.files import make_durable_directory, read_private, write_atomically
from bannock.identity.sigstruct import require_signing_key
from bannock.values import Measurement

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["mrsigner_of", "signer_at"]

_BITS: Final = 3072
#: SIGSTRUCT has it so (Intel SDM, volume 3D, table 38-19).
_EXPONENT: Final = 3


def signer_at(path: Path) -> rsa.RSAPrivateKey:
    """Read the key, or make it.

    Raises:
        InputError: the file is open to others, or holds no key that can sign enclaves.
        EnvironmentFault: it cannot be written.
    """
    if not path.exists():
        make_durable_directory(path.parent)
        made = rsa.generate_private_key(_EXPONENT, _BITS)
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(path, pem, mode=0o600)
        return made
    try:
        key = load_pem_private_key(read_private(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} holds no private key in PEM without a passphrase") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InputError(f"{path} is no RSA key", hint="make one: openssl genrsa -3 -out identity.pem 3072")
    require_signing_key(key)
    return key


def mrsigner_of(key: rsa.RSAPrivateKey) -> str:
    """Return the hash by which a signer is known, in hexadecimal."""
    modulus = key.public_key().public_numbers().n.to_bytes(_BITS // 8, "little")
    return str(Measurement(hashlib.sha256(modulus).digest()))
