"""What clients may know of sessions beyond their text: values that are public, and states of volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.errors import NotFoundError
from bannock.policy.secret_values import public_values

if TYPE_CHECKING:
    from bannock.cas.sessions import Sessions
    from bannock.cas.store import Store
    from bannock.values import FspfTag, KeyHash

__all__ = ["Reading"]


class Reading:
    """Answers questions and changes nothing; thread-safe."""

    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions

    def values(self, name: str) -> dict[str, str]:
        """Give the secrets that a session exports to everybody.

        Raises:
            NotFoundError: there is no such session.
        """
        with self._store.reading() as view:
            _, session = self._sessions.newest(view, name)
            return public_values(session, view.secret_values(name))

    def value(self, name: str, secret: str) -> str:
        """Give one secret that a session exports to everybody.

        Raises:
            NotFoundError: there is no such session, or no such secret that is exported; which of the two is not told.
        """
        found = self.values(name).get(secret)
        if found is None:
            raise NotFoundError(
                f"Secret not readable: session {name} exports no secret {secret[:128]!r} to the public"
            )
        return found

    def volume_tag(self, name: str, volume: str, client: KeyHash | None) -> FspfTag | None:
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
