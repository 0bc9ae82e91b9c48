"""What a start of a service shows besides its evidence: the service access token, and a one-time password.

Thread-safe. A password is spent in the transaction that releases the configuration. A service that lost its connection
shows, instead of a new password, that its start was let in: by what it was given then, which this CAS alone can make.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError
from bannock.policy.access_token import Side, prove_access_token, verify_access_token
from bannock.policy.one_time_password import shared_secret, verify_one_time_password
from bannock.values import Secret

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from bannock.cas.transaction import Change
    from bannock.net.peer import Peer
    from bannock.policy.claims import Claims
    from bannock.policy.session import Session
    from bannock.policy.template import Placeholder, Template

__all__ = ["SecondFactors", "Shown", "ShownBack"]

_log = logging.getLogger(__name__)

_CONTEXT: Final = b"bannock resumption 1\0"
_NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a start shows; all of it is secret.

    Attributes:
        access_proof: that it knows the service access token (:mod:`bannock.policy.access_token`).
        one_time_password: six digits.
        resumption: what an earlier attestation of this start was given.
    """

    access_proof: bytes | None = field(default=None, repr=False)
    one_time_password: str | None = field(default=None, repr=False)
    resumption: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBack:
    """What the CAS shows for it: the proof of the token, and what resumes the start after a lost connection."""

    access_proof: bytes | None = field(default=None, repr=False)
    resumption: bytes | None = field(default=None, repr=False)


class SecondFactors:
    """Decides on them.

    Args:
        key: of what resumes a start.
        random: gives unpredictable bytes.
        clock: tells the time that passwords are for.
    """

    def __init__(self, key: Secret, *, random: Callable[[int], bytes], clock: Callable[[], dt.datetime]) -> None:
        self._key = key
        self._random = random
        self._clock = clock

    def require_token(self, session: Session, shown: Shown, peer: Peer) -> bytes | None:
        """Check the proof of the service access token, if the session has one, and give our own.

        Raises:
            DeniedError: there is none, or it does not hold.
        """
        token = session.security.service_access_token
        if token is None:
            return None
        if peer.exporter is None:
            raise DeniedError("a service access token is proven on a connection by TLS, and this is none")
        verify_access_token(token, Side.SERVICE, peer.exporter, shown.access_proof)
        return prove_access_token(token, Side.CAS, peer.exporter)

    def secret_of(
        self, session: Session, service: Template | None, value: Callable[[Placeholder], bytes]
    ) -> Secret | None:
        """Give the shared secret of the one-time passwords of a service, if it has any; its own comes first.

        Raises:
            InputError: it is no such secret.
            BannockError: it cannot be had.
        """
        written = service or session.security.one_time_password_secret
        return None if written is None else shared_secret(Secret(written.fill(value)))

    def spend(self, change: Change, secret: Secret, shown: Shown, start: str, claims: Claims) -> bytes:
        """Accept a one-time password, or what resumes a start; give what resumes this one.

        Raises:
            DeniedError: there is none that is good; a wrong one is counted by :meth:`count_wrong`.
        """
        bound = _bound(start, secret, claims)
        if shown.resumption is not None:
            self._require_ours(shown.resumption, bound)
            return shown.resumption
        used = change.one_time_passwords(secret)
        now_used = verify_one_time_password(secret, shown.one_time_password, at=self._clock(), used=used)
        change.put_one_time_passwords(secret, now_used)
        return self.resumption(secret, start, claims)

    def resumption(self, secret: Secret | None, start: str, claims: Claims) -> bytes:
        """Make what resumes a start, never the same twice.

        Args:
            secret: the shared secret of the passwords that it stands for, if there are any.
            start: what the start is of.
            claims: of its evidence.
        """
        nonce = self._random(_NONCE_BYTES)
        return nonce + self._authenticator(nonce, _bound(start, secret, claims))

    def count_wrong(self, change: Change, secret: Secret, shown: Shown) -> None:
        """Remember that a password was refused, if there was one: so many are allowed in a step."""
        if shown.one_time_password is None or shown.resumption is not None:
            return
        change.put_one_time_passwords(secret, change.one_time_passwords(secret).after_failure(self._clock()))

    def _require_ours(self, resumption: bytes, bound: bytes) -> None:
        nonce, authenticator = resumption[:_NONCE_BYTES], resumption[_NONCE_BYTES:]
        if not hmac.compare_digest(self._authenticator(nonce, bound), authenticator):
            raise DeniedError(
                "this start was not let in before with a one-time password of this session",
                hint="start the service again, with a new password",
            )

    def _authenticator(self, nonce: bytes, bound: bytes) -> bytes:
        return hmac.digest(self._key.reveal(), _CONTEXT + nonce + bound, hashlib.sha256)


def _bound(start: str, secret: Secret | None, claims: Claims) -> bytes:
    """Give what a resumption is for: this service, as this program, as long as the shared secret is the same."""
    parts = (start.encode("utf-8"), b"" if secret is None else secret.reveal(), claims.measurement.value)
    return b"".join(hashlib.sha256(part).digest() for part in parts)
