"""What the verbs of ``scone self`` tell."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from bannock.cli.state import StateFile

__all__ = ["certificate", "certificate_hash", "description", "document", "key_hash", "signing_key"]


def certificate(state: StateFile) -> str:
    """Give the certificate, PEM."""
    return state.identity().certificate_pem.decode("ascii")


def certificate_hash(state: StateFile) -> str:
    """Give the hash of the certificate, as session documents of version 0.2 name it."""
    return f"{hashlib.sha256(state.identity().certificate_pem).hexdigest()}\n"


def key_hash(state: StateFile) -> str:
    """Give the hash of the key, base58."""
    return f"{state.identity().key_hash}\n"


def signing_key(state: StateFile) -> str:
    """Give the public half of the session signing key, PEM."""
    return state.signing_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def description(state: StateFile) -> str:
    """Give all of it."""
    return (
        f"Certificate:\n{certificate(state)}\n"
        f"Public key hash: {key_hash(state)}\n"
        f"Session signing public key:\n{signing_key(state)}"
    )


def document(state: StateFile) -> dict[str, str]:
    """Give all of it, for programs."""
    return {
        "certificate": certificate(state),
        "certificate_hash": certificate_hash(state).strip(),
        "key_hash": key_hash(state).strip(),
        "session_signing_key": signing_key(state),
    }
