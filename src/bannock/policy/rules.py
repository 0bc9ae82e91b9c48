"""Access rules: who may do what to a session, as its document says.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from bannock.values import KeyHash

__all__ = [
    "AccessPolicy",
    "AccessRule",
    "CertificateHash",
    "Keyword",
    "SecretRule",
    "Signer",
    "Threshold",
]


class Keyword(StrEnum):
    """Entries of an access policy that are not one key."""

    CREATOR = "CREATOR"
    ANY = "ANY"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class CertificateHash:
    """SHA-256 over a certificate in PEM, in hexadecimal; how language version 0.2 names clients."""

    value: str


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that sessions are signed with: DER SubjectPublicKeyInfo of an Ed25519 or P-384 key."""

    public_key: bytes


@dataclass(frozen=True, slots=True)
class SecretRule:
    """A secret that holds CREATOR, a key hash or a certificate; one that cannot be had lets nobody in."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """``require-all`` and ``require-at-least-N``: at least ``required`` of the rules have to hold."""

    required: int
    rules: tuple[AccessRule, ...]


AccessRule: TypeAlias = Keyword | KeyHash | CertificateHash | Signer | SecretRule | Threshold


_CREATOR_ALONE: Final[tuple[AccessRule, ...]] = (Keyword.CREATOR,)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicy:
    """Who may do what; ``create_sessions`` None means whoever may update."""

    read: tuple[AccessRule, ...] = _CREATOR_ALONE
    update: tuple[AccessRule, ...] = _CREATOR_ALONE
    create_sessions: tuple[AccessRule, ...] | None = None
