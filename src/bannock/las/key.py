"""The key of a LAS: made at its first start, kept in a file that only its owner reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bannock.errors import InputError
from bannock.files import read_private, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_or_make_key"]

_HINT = "move it away, and a new one is made at the next start"


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in a file; make both if there is no such file.

    Raises:
        InputError: others can read the file, or there is no Ed25519 key in it.
        EnvironmentFault: the file cannot be written.
    """
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        write_atomically(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key
    try:
        loaded = load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # What the library says of the content stays here: it might repeat a part of the key.
        raise InputError(f"{path} holds no private key in PEM", hint=_HINT) from None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise InputError(f"{path} holds a {type(loaded).__name__}, expected an Ed25519 key", hint=_HINT)
    return loaded
