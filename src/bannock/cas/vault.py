"""Secrets of an Azure Key Vault as values of sessions: their kinds, and what is written there for CAS alone.

Pure, but for the client that it is given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.policy.certificates import CertificateBundle
from bannock.policy.secret_values import SecretValue, explicit_value
from bannock.policy.template import SecretKind
from bannock.values import Secret

if TYPE_CHECKING:
    from bannock.cas.azure import Azure
    from bannock.cas.requests import TokenRequest, VaultRequest

__all__ = ["fetch_token", "fetch_vault_secret"]

_HEX: Final = re.compile(rb"(?:[0-9A-Fa-f]{2})*")


def fetch_token(azure: Azure, request: TokenRequest) -> SecretValue:
    """Get a token.

    Raises:
        BannockError: as :meth:`~bannock.cas.azure.Azure.token`.
    """
    return SecretValue(kind=SecretKind.AAD_TOKEN, value=azure.token(request.token), generated=False)


def fetch_vault_secret(azure: Azure, request: VaultRequest) -> SecretValue:
    """Read a secret, as the kind that its session names, or as what it looks like.

    Raises:
        InputError: it is not of that kind.
        BannockError: as :meth:`~bannock.cas.azure.Azure.get`.
    """
    text = azure.get(request.vault, request.secret_name, request.token)
    kind = request.kind or _kind(text)
    try:
        return _value(kind, text)
    except InputError as error:
        raise InputError(
            f"secret {request.secret_name} of key vault {request.vault} is not of kind {kind}: {error.message}"
        ) from error


def _kind(text: Secret) -> SecretKind:
    """Infer a kind: certificates in PEM are certificates, with a key where one is beside them; all else is text."""
    try:
        CertificateBundle.from_pem(text.reveal())
    except InputError:
        return SecretKind.ASCII
    return SecretKind.X509


def _value(kind: SecretKind, text: Secret) -> SecretValue:
    if kind is SecretKind.BINARY:
        # As explicit values of binary secrets are written.
        if not _HEX.fullmatch(text.reveal()):
            raise InputError("expected hexadecimal digits")
        return SecretValue(kind=kind, value=Secret(bytes.fromhex(text.reveal().decode("ascii"))), generated=False)
    return explicit_value(kind, text)
