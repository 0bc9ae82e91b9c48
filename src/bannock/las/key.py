"""The key of a LAS: made at its first start, kept in a file that only its owner reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bannock.errors import InputError
from bannock.files import private_directory, read_private, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["kept_key", "load_or_make_key"]

_KEY_FILE: Final = "las-key.pem"
_HINT: Final = "move it away, and a new one is made at the next start"


def kept_key(directory: Path) -> Ed25519PrivateKey:
    """Return the key of the LAS that has a directory; both are made at the first call.

    Raises:
        InputError, EnvironmentFault: the directory or the key in it is not usable.
    """
    return load_or_make_key(private_directory(directory) / _KEY_FILE)


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
