"""What a session has elsewhere: requests for it, and what was answered.

A request says all that its answer depends on, so one answer serves whatever asks the same. Requests are never made
within a transaction: a vault that hangs must not keep anybody else waiting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from bannock.errors import BannockError, EnvironmentFault
from bannock.policy.secret_values import SecretValue

if TYPE_CHECKING:
    from bannock.policy.references import SessionReference
    from bannock.policy.secret_specs import AadToken
    from bannock.policy.template import SecretKind
    from bannock.values import Secret

__all__ = ["Fetched", "ImportRequest", "NoRemote", "Remote", "Request", "TokenRequest", "VaultRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """A token of Azure Active Directory."""

    token: AadToken


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRequest:
    """A secret of an Azure Key Vault; ``kind`` None: it is inferred."""

    vault: str
    secret_name: str
    token: Secret
    kind: SecretKind | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """A secret of a session on another CAS, for a session here; ``hops`` counts the CASes that it goes through."""

    exporter: SessionReference
    secret: str
    importer: str
    digest: str
    hops: int = 1


Request: TypeAlias = TokenRequest | VaultRequest | ImportRequest

Fetched: TypeAlias = Mapping[Request, SecretValue | BannockError]


class Remote(Protocol):
    """Whoever can answer requests."""

    def fetch(self, request: Request) -> SecretValue:
        """Answer a request.

        Raises:
            BannockError: it cannot be answered, and why.
        """
        ...

    def store(self, vault: str, name: str, token: Secret, text: str) -> None:
        """Put a text into a vault.

        Raises:
            BannockError: it is not taken, and why.
        """
        ...


class NoRemote:
    """Answers nothing."""

    def fetch(self, request: Request) -> SecretValue:
        """Refuse.

        Raises:
            EnvironmentFault: always.
        """
        raise EnvironmentFault(f"this CAS fetches no secrets from elsewhere: {type(request).__name__}")

    def store(self, vault: str, name: str, token: Secret, text: str) -> None:
        """Refuse.

        Raises:
            EnvironmentFault: always.
        """
        del name, token, text
        raise EnvironmentFault(f"this CAS keeps no secrets elsewhere: {vault}")
