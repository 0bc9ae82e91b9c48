"""Whoever answers requests for what sessions have elsewhere: Azure, and other CASes.

Thread-safe. Few requests run at a time, so that a vault that hangs does not take every thread that there is.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final, assert_never

from bannock.cas.exchange import import_secret
from bannock.cas.requests import ImportRequest, TokenRequest, VaultRequest
from bannock.cas.vault import fetch_token, fetch_vault_secret
from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bannock.cas.azure import Azure
    from bannock.cas.requests import Request
    from bannock.net.tls import Identity
    from bannock.policy.secret_values import SecretValue
    from bannock.values import Secret

__all__ = ["RemoteSecrets"]

_AT_A_TIME: Final = 4
_WAIT_SECONDS: Final = 5.0


class RemoteSecrets:
    """Answers requests.

    Args:
        azure: a client of Azure.
        identity: who this CAS is to others.
        software: gives the key of the software that runs.
    """

    def __init__(self, azure: Azure, identity: Identity, software: Callable[[], Identity]) -> None:
        self._azure = azure
        self._identity = identity
        self._software = software
        self._slots = threading.BoundedSemaphore(_AT_A_TIME)

    def fetch(self, request: Request) -> SecretValue:
        """Answer a request.

        Raises:
            EnvironmentFault: too many others are waiting for answers.
            BannockError: it cannot be answered, and why.
        """
        with self._slot():
            match request:
                case TokenRequest():
                    return fetch_token(self._azure, request)
                case VaultRequest():
                    return fetch_vault_secret(self._azure, request)
                case ImportRequest():
                    return import_secret(self._identity, self._software, request)
                case _:
                    assert_never(request)

    def store(self, vault: str, name: str, token: Secret, text: str) -> None:
        """Put a text into a key vault.

        Raises:
            EnvironmentFault: as :meth:`fetch`.
            BannockError: it is not taken, and why.
        """
        with self._slot():
            self._azure.put(vault, name, token, text)

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=_WAIT_SECONDS):
            raise EnvironmentFault("too many secrets are being fetched from elsewhere", hint="try again in a moment")
        try:
            yield
        finally:
            self._slots.release()
