"""A service, put together from the sessions that have a part in it, in the versions in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError, NotFoundError
from bannock.policy.inheritance import parts_of
from bannock.policy.session import Section
from bannock.policy.sharing import require_version

if TYPE_CHECKING:
    from bannock.cas.sessions import Sessions
    from bannock.cas.transaction import View
    from bannock.policy.inheritance import Parts
    from bannock.policy.references import SessionReference
    from bannock.policy.session import Session

__all__ = ["DECIDING", "find_parts"]

#: The sections of a session by which enclaves are trusted.
DECIDING: Final = frozenset({Section.ATTESTATION, Section.PLATFORMS, Section.SECURITY})


def find_parts(
    sessions: Sessions, view: View, session_name: str, service: str, *, instead: Session | None = None
) -> Parts:
    """Put a service together.

    Args:
        sessions: find the versions in force.
        view: of the store.
        session_name: of the session that has the service.
        service: its name.
        instead: a version of that session that is not in force, but asked about.

    Raises:
        NotFoundError: there is no such session, or it has no such service.
        DeniedError: something is imported that is not there, or not exported to the session.
    """
    session = sessions.newest(view, session_name)[1] if instead is None else instead

    def find(reference: SessionReference) -> Session:
        if reference.cas is not None:
            raise DeniedError(f"session {reference.name} is on another CAS, and services and images are from here")
        try:
            _, found = sessions.newest(view, reference.name)
        except NotFoundError as error:
            raise DeniedError(
                f"session {session.name} imports from session {reference.name}, which is not there"
            ) from error
        require_version(found, reference)
        return found

    return parts_of(session, service, find)
