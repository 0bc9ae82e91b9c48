"""What clients may know of sessions beyond their text: values that are public, and states of volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.errors import BannockError, NotFoundError
from bannock.policy.secret_values import public_values, shown

if TYPE_CHECKING:
    from bannock.cas.access import Client
    from bannock.cas.sessions import Sessions
    from bannock.cas.store import Store
    from bannock.policy.resolved import ResolvedSecrets
    from bannock.policy.session import Session
    from bannock.values import FspfTag

__all__ = ["Reading"]


class Reading:
    """Answers questions; changes nothing but certificates that are made anew. Thread-safe."""

    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions

    def values(self, name: str) -> dict[str, str]:
        """Give the secrets that a session exports to everybody, as far as they can be had.

        Raises:
            NotFoundError: there is no such session.
        """
        session, resolved = self._public(name, None)
        return public_values(session, resolved)

    def value(self, name: str, secret: str) -> str:
        """Give one secret that a session exports to everybody.

        Raises:
            NotFoundError: there is no such session, or no such secret that is exported, or it cannot be had.
        """
        session, resolved = self._public(name, secret)
        if not any(spec.name == secret and spec.export_public for spec in session.secrets):
            raise _not_readable(name, secret)
        try:
            return shown(resolved.find(secret))
        except BannockError as error:
            raise _not_readable(name, secret) from error

    def volume_tag(self, name: str, volume: str, client: Client) -> FspfTag | None:
        """Give the confirmed state of a volume to whoever may read the session; None before it is initialised.

        Raises:
            NotFoundError: there is no such session, or it has no such volume.
            DeniedError: the client may not read the session.
        """
        with self._store.reading() as view:
            self._sessions.require_readable(view, name, client)
            state = view.volume(name, volume)
        if state is None:
            raise NotFoundError(f"session {name} has no volume {volume[:128]!r}")
        return state.tag

    def _public(self, name: str, secret: str | None) -> tuple[Session, ResolvedSecrets]:
        """Find what of a session is public; without a name all of it."""
        secrets = self._sessions.secrets
        with self._store.reading() as view:
            _, session = self._sessions.newest(view, name)
            wanted = {spec.name for spec in session.secrets if spec.export_public and secret in {None, spec.name}}
        # Nobody makes this CAS ask others for what he may not have.
        fetched = secrets.fetch(session, wanted) if wanted else {}
        with self._store.reading() as view:
            renews = secrets.renewed(view, session, fetched, wanted)
        with self._store.changing() if renews else self._store.reading() as view:
            _, session = self._sessions.newest(view, name)
            return session, secrets.values(view, session, fetched, wanted=wanted)


def _not_readable(name: str, secret: str) -> NotFoundError:
    return NotFoundError(f"Secret not readable: session {name} exports no secret {secret[:128]!r} to the public")
