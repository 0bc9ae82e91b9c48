"""The key by which a host knows its client: one for each host, so that two hosts do not know it for the same.

In OpenSSH's own formats: PROTOCOL.key of OpenSSH for the private one; RFC 4253, section 6.6, and RFC 8709 for the
public one.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.errors import InputError
from bannock.files import read_private, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["client_key", "pinned_fingerprints"]

_PREFIX: Final = "SHA256:"


def client_key(path: Path) -> str:
    """Return the public key of a file as a line of ``authorized_keys`` has it; the file is made at the first call.

    Raises:
        InputError: others can read the file, or it holds something else.
        EnvironmentFault: it cannot be written.
    """
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
        write_atomically(path, made.private_bytes(encoding, form, serialization.NoEncryption()))
    try:
        key = serialization.load_ssh_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"{path} is not a private key without a passphrase, as ssh keeps it",
            hint="remove it with its host (remove-host), and add the host again",
        ) from error
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode("ascii")


def pinned_fingerprints(known_hosts: bytes) -> tuple[str, ...]:
    """Return the fingerprints of the keys in a ``known_hosts`` file, as ``ssh-keygen -l`` writes them."""
    found: list[str] = []
    for line in known_hosts.decode("utf-8", errors="replace").splitlines():
        match line.split():
            case [name, _, key, *_] if not name.startswith(("#", "@")):
                try:
                    digest = hashlib.sha256(base64.b64decode(key, validate=True)).digest()
                except ValueError:
                    continue
                found.append(_PREFIX + base64.b64encode(digest).decode("ascii").rstrip("="))
            case _:
                pass
    return tuple(found)
